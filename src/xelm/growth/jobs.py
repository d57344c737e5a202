"""The training jobs of an addition: the new expert, and the controls it is compared with.

All read the same windows of the new language. The expert and its controls from the seed and from
dense read the donor's text beside it; `dense-replay` reads all old languages instead, which is what
a dense model needs so as not to forget.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.errors import UserError
from xelm.growth import fit
from xelm.training.job import Job, ShareSpec
from xelm.training.settings import ArmSettings

EXPERT, FROM_SEED, DENSE, REPLAY = "expert", "from-seed", "dense", "dense-replay"
PROBE = "probe"
EPOCHS = 2  # of the new text, when no budget is given
_RATE = 5.0
"""Learning rate of an addition, in those of the parent: a language that the parent never saw wants
larger steps than those that it read before (docs/results.md, Growth)."""
_WORTH_COMPILING = 1_000_000  # tokens; below, compiling takes longer than it saves


@dataclass(frozen=True)
class Budget:
    """Windows of an addition."""

    new: int
    """Of the new language."""
    kin: int
    """Of the donor's text beside it."""
    replay: int
    """Of all old languages, for dense with replay."""


def budget(
    tokens: int | None, there: int, context: int, with_donor: float, replay: float, donor: bool
) -> Budget:
    """Whole windows from tokens in all (default: two epochs of the new text and its kin).

    Args:
        there: train tokens of the new language.
        with_donor: share of the donor's text in what the expert reads.
        replay: share of old languages in what dense with replay reads.
        donor: is there any text of the donor?
    """
    kin_share = with_donor if donor else 0.0
    total = tokens if tokens is not None else EPOCHS * there / (1 - kin_share)
    new = max(1, round(total * (1 - kin_share) / context))
    return Budget(
        new,
        round(total * kin_share / context),
        round(new * replay / (1 - replay)),
    )


def require_share(name: str, share: float) -> None:
    """UserError when an option is no share of the budget."""
    if not 0 <= share < 1:
        raise UserError(f"{name} {share}: a share of the budget; give 0 or more, below 1")


def settings_for(parent: Path, changes: Mapping[str, Any], tokens: int) -> ArmSettings:
    """As the parent was trained but at a higher rate, with the user's changes.

    Not compiled where that does not pay.

    Raises:
        UserError: naming a change that is no setting or has a wrong value.
    """
    inherited = fit.ledger(parent).get("settings") or {}
    known = {key: value for key, value in inherited.items() if key in ArmSettings.model_fields}
    if "learning_rate" in known:
        known["learning_rate"] *= _RATE
    usual = {"compile": tokens >= _WORTH_COMPILING, "trackers": (), "dev_every": 0}
    try:
        return ArmSettings(**{**known, **usual, **changes})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"--set {key}: {first['msg']}; settings are those of xelm.training.settings"
        ) from None


def write_shares(
    work: Path, shards: TokenShards, language: str, kin: str | None, old: Sequence[str]
) -> None:
    """`shares/new.json`, `kin.json` and `old.json` of an addition's corpus."""
    parts = {"new": [language], "kin": [kin] if kin else [], "old": list(old)}
    for name, languages in parts.items():
        path = Path(work) / "shares" / f"{name}.json"
        if languages and not path.is_file():
            Share.of(shards, dict.fromkeys(languages)).save(path)


def plan(
    work: Path,
    parents: Mapping[str, Path],
    amount: Budget,
    settings: ArmSettings,
    context: int,
    *,
    old: bool,
) -> list[Job]:
    """The jobs by the models they branch from; written to `work`.

    Args:
        parents: EXPERT -> the donor's folder, FROM_SEED -> the seed's, DENSE -> dense's; those
            that are not there have no job.
        old: is there text of the old languages to replay?
    """
    beside = {name: [("kin", amount.kin)] for name in (EXPERT, FROM_SEED, DENSE)}
    if old and amount.replay and DENSE in parents:
        parents = {**parents, REPLAY: parents[DENSE]}
        beside[REPLAY] = [("old", amount.replay)]
    jobs = [
        Job(
            name=name,
            parent=os.path.relpath(parents[name].resolve(), Path(work).resolve()),
            sources=tuple(
                ShareSpec(f"shares/{share}.json", windows, settings.alpha, 0)
                for share, windows in [("new", amount.new), *beside[name]]
                if windows
            ),
            context=context,
            settings=settings,
        )
        for name in (EXPERT, FROM_SEED, DENSE, REPLAY)
        if name in parents
    ]
    for job in jobs:
        job.save(work)
    return jobs


def probes(
    work: Path, folders: Mapping[str, Path], tokens: int, settings: ArmSettings, context: int
) -> list[Job]:
    """A short job for each candidate on the new language alone, `probe/<candidate>`; written."""
    windows = max(1, round(tokens / context))
    found = [
        Job(
            name=f"{PROBE}/{name}",
            parent=os.path.relpath(folder.resolve(), Path(work).resolve()),
            sources=(ShareSpec("shares/new.json", windows, settings.alpha, 0),),
            context=context,
            settings=settings,
        )
        for name, folder in folders.items()
    ]
    for job in found:
        job.save(work)
    return found
