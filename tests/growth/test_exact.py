"""Growth forgets nothing: figures of old languages before and after, equal to the last digit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_add import request, silent
from tiny import CONTEXT, snapshot, text_file, trained, unchanged

from xelm.ensemble import manifest as manifests
from xelm.ensemble.verify import verify
from xelm.growth import columns
from xelm.growth.add import add
from xelm.growth.adopt import adopt
from xelm.growth.history import checkout
from xelm.growth.measure import BundleFigures, Texts
from xelm.growth.remove import remove
from xelm.growth.unchanged import verify_history
from xelm.growth.upgrade import upgrade

Verb = Callable[[Path, Path, Any], Any]


def _adopt(bundle: Path, place: Path, pieces: Any) -> None:
    source = trained(pieces, place / "theirs", 5)
    column = columns.of_files(bundle, [str(text_file(place, "pl"))], ["pl"])
    adopt(bundle, source, ["pl"], columns=column, say=silent)


def _back_and_forth(bundle: Path, place: Path, pieces: Any) -> None:
    _adopt(bundle, place, pieces)
    remove(bundle, "pl")
    checkout(bundle, 2)


VERBS: dict[str, tuple[Verb, set[str]]] = {
    "add": (
        lambda bundle, place, _: add(request(bundle, place, controls=False), say=silent),
        {"en", "ru", "sw"},
    ),
    "adopt": (_adopt, {"en", "ru", "sw"}),
    "remove": (lambda bundle, *_: remove(bundle, "ru"), {"en", "sw"}),
    "upgrade": (
        lambda bundle, place, pieces: upgrade(
            bundle, "ru", trained(pieces, place / "more", 6), force=True
        ),
        {"en", "sw"},
    ),
    "checkout": (_back_and_forth, {"en", "ru", "sw"}),
}
"""Verb -> what it does, and the languages whose owner it leaves alone."""


@pytest.mark.parametrize("verb", VERBS)
def test_old_languages_are_as_they_were(
    verb: str, bundle: Path, run: Path, tmp_path: Path, pieces: Any
) -> None:
    change, languages = VERBS[verb]
    texts = Texts.of_shards(run / "corpus", "heldout", limit=None, languages=languages)
    figures = [BundleFigures(bundle, manifests.read(bundle), texts, CONTEXT)]
    before, owners = snapshot(bundle), figures[0].manifest
    change(bundle, tmp_path, pieces)
    after = verify(bundle)
    figures.append(BundleFigures(bundle, after, texts, CONTEXT))
    assert unchanged(before, bundle)
    assert figures[0].own() == figures[1].own() and set(figures[0].own()) == languages
    for expert in owners.experts:
        if languages & set(expert.languages):
            assert after.expert(expert.name) == expert
    verify_history(bundle)
    _few_go_elsewhere(figures, {expert.name for expert in owners.experts})


def _few_go_elsewhere(figures: list[BundleFigures], old: set[str]) -> None:
    """At most one in a hundred of the old languages' documents goes to a new expert."""
    first = [name for names in figures[1].first().values() for name in names]
    assert sum(name not in {*old, manifests.SEED} for name in first) <= 0.01 * len(first)
