"""Groups and donors of any languages: against plain loops, and under any order and number."""

import math
import random
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xelm.allocation.typology_features import syntax
from xelm.allocation.typology_groups import METHODS, Method, groups, measure, nearest
from xelm.errors import UserError

MANY = "am ar az bg bn ca cs de el en es eu fa fi fr he hi hu ja ka ko pl ru sv sw ta tr ur vi zh"
POOL = MANY.split()


CODES = {"en": "eng", "zh": "zho", "sw": "swa", "az": "aze", "ka": "kat"}


@pytest.mark.slow
def test_the_table_is_lang2vecs(monkeypatch: pytest.MonkeyPatch) -> None:
    here = [place for place in sys.path if not place.endswith("bin")]  # bin/lang2vec.py hides it
    monkeypatch.setattr(sys, "path", here)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lang2vec.lang2vec as database
    for code, values in database.get_features(list(CODES.values()), "syntax_average").items():
        wanted = [math.nan if value == "--" else value for value in values]
        assert np.array_equal(syntax().row(code), wanted, equal_nan=True)


def test_distances_against_plain_loops() -> None:
    rows = {code: syntax().row(code) for code in CODES.values()}
    found, notes = measure(list(CODES))
    assert not notes
    for i, one in enumerate(CODES.values()):
        for j, other in enumerate(CODES.values()):
            product = norm_one = norm_other = 0.0
            for x, y in zip(rows[one], rows[other], strict=True):
                product += 0.0 if math.isnan(x) or math.isnan(y) else x * y
                norm_one += 0.0 if math.isnan(x) else x * x
                norm_other += 0.0 if math.isnan(y) else y * y
            wanted = 1 - product / (norm_one * norm_other) ** 0.5
            assert found[i, j] == pytest.approx(wanted, abs=1e-12)


@given(
    st.lists(st.sampled_from(POOL), min_size=1, max_size=11, unique=True),
    st.sampled_from(METHODS),
    st.data(),
)
@settings(max_examples=40, deadline=None)
def test_any_languages_and_any_k(chosen: list[str], method: Method, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(chosen)))
    found = groups(chosen, k, method)
    assert len(found.groups) == k and all(found.groups)
    assert sorted(one for group in found.groups for one in group) == sorted(chosen)
    assert len(found.merges) == len(chosen) - 1
    shuffled = data.draw(st.permutations(chosen))
    again = groups(shuffled, k, method)
    assert (again.groups, again.merges) == (found.groups, found.merges)


@pytest.mark.parametrize("method", ["published", "average"])
def test_groups_of_a_smaller_k_are_unions(method: Method) -> None:
    finer = groups(POOL, len(POOL), method)
    for k in range(len(POOL) - 1, 0, -1):
        coarser = groups(POOL, k, method)
        assert all(any(set(a) <= set(b) for b in coarser.groups) for a in finer.groups)
        finer = coarser


def test_balanced_counts_languages_to_within_one() -> None:
    for k in (2, 3, 4, 7, 29):
        sizes = [len(group) for group in groups(POOL, k, "balanced").groups]
        assert max(sizes) - min(sizes) <= 1


def test_balanced_keeps_the_limit_of_tokens() -> None:
    rng = random.Random(3)
    tokens = {one: rng.lognormvariate(3, 1) for one in POOL[:12]}
    found = groups(POOL[:12], 4, "balanced", tokens=tokens, slack=0.2)
    held = [sum(tokens[one] for one in group) for group in found.groups]
    assert max(held) <= max(1.2 * sum(held) / 4, max(tokens.values()))
    assert not found.notes


def test_a_limit_that_cannot_be_kept_is_told() -> None:
    found = groups(["en", "de", "fr"], 2, "balanced", tokens={"en": 1, "de": 1, "fr": 1}, slack=0.0)
    assert "no 2 groups found that keep the limit of 2 tokens" in found.notes[0] or not found.notes
    found = groups(
        ["en", "de", "fr", "es", "it"],
        2,
        "balanced",
        tokens=dict.fromkeys(["en", "de", "fr", "es", "it"], 10),
        slack=0.0,
    )
    assert "keep the limit of 25 tokens; the largest has 30" in found.notes[0]
    assert sorted(map(len, found.groups)) == [2, 3]


def test_script_can_outweigh_syntax() -> None:
    seen = ["ru", "en", "de", "el"]
    assert nearest("pl", seen)[0][0] == "ru"
    assert nearest("pl", seen, script_weight=0.5)[0][0] in ("en", "de")
    alone = dict(nearest("pl", seen, script_weight=1.0))
    assert alone == {"ru": 1.0, "el": 1.0, "en": 0.0, "de": 0.0}


def test_nearest_leaves_the_language_itself_out() -> None:
    assert [one for one, _ in nearest("zh", ["cmn", "ja", "zh"])] == ["ja"]
    with pytest.raises(UserError, match="at least one other"):
        nearest("zh", ["cmn"])


def test_languages_of_one_row_are_told() -> None:
    found = groups(["nb", "nn", "sv"], 2)
    assert found.groups == (("nb", "nn"), ("sv",))
    assert found.distance("nb", "nn") == 0
    assert found.notes[0].startswith("nb, nn: one row of features (nor)")
    apart = groups(["yue", "zh"], 1, parents={"yue": "yue"})
    assert apart.distance("yue", "zh") > 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["en", "eng"], 1), "en and eng are one language"),
        ((["en", "de"], 3), "k = 3: must be between 1 and the number of languages, 2"),
        ((["en", "de"], 0), "k = 0"),
        (([], 1), "number of languages, 0"),
        ((["en", "klingonese"], 1), "klingonese"),
        ((["en", "und"], 1), "label them, give a parent"),
        ((["en", "de"], 1, "avrage"), "published, average, balanced"),
        ((["en", "de"], 1, "balanced", {"en": 1}), "none given for de"),
        ((["en", "de"], 1, "published", None, 1.5), "between 0 and 1"),
        ((["en", "de"], 1, "balanced", {"en": 1, "de": 1}, 0.0, -1.0), "must not be negative"),
    ],
)
def test_mistakes(arguments: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError, match=message):
        groups(*arguments)


def test_json() -> None:
    value = groups(["en", "es", "ja", "ko", "vi"], 3).as_json()
    assert value["k"] == 3
    assert value["groups"] == [["en", "es"], ["ja", "ko"], ["vi"]]
    assert np.round(value["distances"], 3).tolist() == [0.15, 0.19, 0.0]
    assert (
        value["pairs"]["ko"]["ja"] == value["pairs"]["ja"]["ko"] == pytest.approx(0.190, abs=1e-3)
    )
