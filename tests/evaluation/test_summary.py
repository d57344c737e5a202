"""summary.json as a whole: its shape, that it adds up, and that it is made once."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from pydantic import ConfigDict, TypeAdapter, with_config
from tiny_run import LANGUAGES, ORDERS, Recipe, perform, settings

from xelm.errors import UserError
from xelm.evaluation import comparisons, samples, summary, table
from xelm.evaluation.arms import Field
from xelm.evaluation.contest import Contest
from xelm.evaluation.schema import MeanComparison, Summary
from xelm.evaluation.text import Documents
from xelm.storage import atomic

ARMS = ["seed", "dense", "dense-matched/pair", "pair/own", "pair/top1", "pair/mixture"]


@pytest.fixture(scope="module")
def made(scored_run: Path) -> Summary:
    return summary.write(scored_run, Recipe())


def test_it_is_what_the_schema_says(made: Summary, scored_run: Path) -> None:
    stored = json.loads((scored_run / "evaluation/summary.json").read_text("utf-8"))
    strict = TypeAdapter(with_config(ConfigDict(extra="forbid"))(Summary))
    strict.validate_python(stored)
    assert summary.read(scored_run) == stored == json.loads(json.dumps(made))


def test_the_promised_fields(made: Summary) -> None:
    assert list(made["arms"]) == ARMS and made["languages"] == LANGUAGES
    assert made["orders"] == 2 and made["documents"] == dict.fromkeys(LANGUAGES, 5)
    for arm in made["arms"].values():
        assert {"bits_per_byte", "perplexity", "tokens", "flops", "seconds"} <= arm.keys()
        assert sorted(arm["bits_per_byte"]) == sorted(arm["perplexity"]) == LANGUAGES
    dense, own, seed = (made["arms"][arm] for arm in ("dense", "pair/own", "seed"))
    assert (dense["tokens"], own["tokens"], seed["tokens"]) == (320, 320, 0)
    assert (own["seconds"], own["flops"], own["batch"], seed["batch"]) == (4.0, 2e7, 4, None)
    assert own["orders"] == list(ORDERS) and seed["orders"] == []
    assert made["arms"]["pair/top1"]["documents"] == "routed"
    assert fmean(dense["by_order"].values()) == pytest.approx(
        fmean(dense["bits_per_byte"].values())
    )


def test_comparisons_add_up(made: Summary) -> None:
    pairs = {(one["arm"], one["against"]) for one in made["comparisons"]}
    assert pairs == {
        ("dense-matched/pair", "dense"),
        *((f"pair/{kind}", "dense") for kind in ("own", "top1", "mixture")),
        *((f"pair/{kind}", "dense-matched/pair") for kind in ("own", "top1", "mixture")),
        ("pair/top1", "pair/own"),
        ("pair/mixture", "pair/own"),
    }
    for one in made["comparisons"]:
        routed = one["arm"].endswith(("top1", "mixture"))
        bits = (
            made["routed_arms"] if routed else {a: made["arms"][a]["bits_per_byte"] for a in ARMS}
        )
        expected = bits[one["arm"]][one["language"]] - bits[one["against"]][one["language"]]
        assert one["difference"] == pytest.approx(expected, abs=1e-12)
        assert one["low"] <= one["high"] and one["p"] <= one["p_adjusted"] <= 1
    for mean in made["means"]:
        rows = [c for c in made["comparisons"] if c["arm"] == mean["arm"]]
        rows = [c for c in rows if c["against"] == mean["against"]]
        assert mean["difference"] == pytest.approx(fmean(row["difference"] for row in rows))
        assert mean["better"] == sum(row["difference"] < 0 for row in rows)


def test_gain_is_mixture_plus_separation(made: Summary) -> None:
    gain = made["gains"]["pair"]
    for language in LANGUAGES:
        parts = gain["mixture"][language] + gain["separation"][language]
        assert gain["total"][language] == pytest.approx(parts)


def test_headline_budgets_and_the_rest(made: Summary) -> None:
    assert made["headline"] is not None and made["headline"]["arm"] == "pair/own"
    assert "bits per byte than dense" in made["headline"]["text"]
    assert made["budgets"]["equal"] and made["sweep"] is None
    assert made["allocations"]["pair"]["measured"] == {"newick": "(a,b);"}
    assert made["seed"] == {"parameters": 1000, "tokens": 320}
    assert made["significance"]["units"] == "documents and orders"
    assert made["significance"]["resamples"] >= 20_000
    assert all(0 < n < 5 for n in made["routed_documents"].values())
    sample = made["samples"]["th"]
    assert set(sample["texts"]) == {"seed", "dense", "dense-matched/pair", "pair/own"}


def test_it_is_current_until_something_changes(run: Path) -> None:
    recipe = Recipe()
    assert not summary.is_current(run, recipe)
    perform(run, recipe)
    summary.write(run, recipe)
    assert summary.is_current(run, recipe)
    assert not summary.is_current(run, replace(recipe, evaluation=settings(routed_bytes=500)))
    assert not summary.is_current(run, replace(recipe, controls=["dense"]))
    atomic.write_json(run / "training/sweep.json", {"arms": {}})
    assert not summary.is_current(run, recipe)
    shutil.rmtree(run / "models/dense")
    assert not summary.is_current(run, recipe)


def test_written_twice_it_is_the_same(scored_run: Path, made: Summary) -> None:
    assert summary.build(Contest.of(scored_run, Recipe())) == made


def test_before_scoring_it_says_what_to_run(run: Path) -> None:
    with pytest.raises(UserError, match="not scored yet"):
        summary.write(run, Recipe())
    with pytest.raises(UserError, match="run `xelm evaluate"):
        summary.read(run)


def test_controls_only(run: Path) -> None:
    recipe = Recipe(controls=["dense"], allocations={}, evaluation=settings(sample_tokens=0))
    perform(run, recipe)
    found = summary.write(run, recipe)
    assert list(found["arms"]) == ["seed", "dense"] and found["headline"] is None
    assert found["comparisons"] == [] and found["samples"] == {} and found["gains"] == {}


def test_experts_only(run: Path) -> None:
    recipe = Recipe(controls=[], orders=[3], evaluation=settings(routed=False, matrix=False))
    perform(run, recipe)
    found = summary.write(run, recipe)
    assert list(found["arms"]) == ["seed", "pair/own"] and found["headline"] is None
    assert found["gains"]["pair"] == {"total": {}, "mixture": {}, "separation": {}}
    assert found["matrix"] == {} and found["routed"] == {}


def field(better: float, documents: int = 40, orders: int = 1) -> Field:
    """Arm `x/own` with `better` times the bits of dense, and a little noise."""
    chance = np.random.default_rng(documents)
    sizes = chance.integers(500, 2000, documents)
    dense = sizes[:, None] * 2.0 * np.ones(orders)
    own = dense * better + chance.normal(0, 5, dense.shape)
    groups = (np.arange(documents) // 2).astype(np.uint64)
    chosen = Documents(np.arange(documents), sizes, sizes // 3, groups)
    return Field(chosen, {"dense": dense, "x/own": own})


def test_a_true_gain_is_found_and_a_loss_is_told() -> None:
    pair = ("x/own", "dense")
    fields = {"a": field(0.97), "b": field(0.98, 30), "c": field(1.05), "d": field(1.0, 50)}
    rows, (mean,) = comparisons.compare(fields, [pair], settings())
    sure = {row["language"]: row["p_adjusted"] < 0.01 for row in rows}
    assert sure == {"a": True, "b": True, "c": True, "d": False}
    assert (mean["significantly_better"], mean["significantly_worse"]) == (2, 1)
    assert mean["low"] < mean["difference"] < mean["high"]


def test_groups_are_drawn_whole() -> None:
    """Documents that repeat each other prove no more than one of them."""
    one = field(0.999, 20)
    twice = Documents(
        np.arange(40),
        np.tile(one.documents.bytes, 2),
        np.tile(one.documents.tokens, 2),
        np.tile(np.arange(20, dtype=np.uint64), 2),
    )
    doubled = Field(twice, {arm: np.tile(bits, (2, 1)) for arm, bits in one.bits.items()})
    pair = [("x/own", "dense")]
    (alone,), _ = comparisons.compare({"en": one}, pair, settings())
    (grouped,), _ = comparisons.compare({"en": doubled}, pair, settings(resample="groups"))
    (naive,), _ = comparisons.compare({"en": doubled}, pair, settings())
    width = alone["high"] - alone["low"]
    assert grouped["high"] - grouped["low"] == pytest.approx(width, rel=0.05)
    assert naive["high"] - naive["low"] < 0.8 * width


def test_the_sentence_tells_wins_and_losses() -> None:
    mean: MeanComparison = {
        "arm": "t/own",
        "against": "dense",
        "difference": -0.05,
        "low": -0.06,
        "high": -0.04,
        "p": 0.001,
        "languages": 3,
        "better": 2,
        "significantly_better": 2,
        "significantly_worse": 1,
        "percent": -2.5,
    }
    rows = {"t/own": {"bits_per_byte": {"a": 1.95}}, "dense": {"bits_per_byte": {"a": 2.0}}}
    text = table._sentence(mean, rows, 0.01)  # type: ignore[arg-type]
    assert text == (
        "t/own needs 2.5 % fewer bits per byte than dense (1.950 against 2.000, mean of "
        "languages): fewer in 2 of 3 languages, significantly (Holm, 0.01) in 2, significantly "
        "more in 1."
    )
    mean["percent"], mean["difference"], mean["significantly_worse"] = 2.5, 0.05, 0
    assert "needs 2.5 % more bits" in table._sentence(mean, rows, 0.01)  # type: ignore[arg-type]


def test_prompts_are_cut_between_words(contest: Contest) -> None:
    for language in LANGUAGES:
        start = samples.prompt(contest.heldout, language)
        texts = [" ".join(text.split()) for text in contest.heldout.texts(language)]
        assert any(text.startswith(start) for text in texts) and 0 < len(start) <= 40
    english = samples.prompt(contest.heldout, "en")
    assert any(" ".join(t.split()).startswith(english + " ") for t in contest.heldout.texts("en"))


def test_samples_are_repeatable(run: Path, made: Summary) -> None:
    samples.write(run, "dense", ["en", "th"], 5)
    stored = atomic.read_json(run / "evaluation/samples/dense.json")["texts"]
    assert stored["en"] == made["samples"]["en"]["texts"]["dense"]
