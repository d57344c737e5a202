"""Sums over documents, against plain loops; choices on dev; matrix; budgets."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_run import CONTEXT, EXPERTS, LANGUAGES, ORDERS, Recipe, settings

from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.evaluation import arms, budgets, choose, matrix
from xelm.evaluation.contest import Contest
from xelm.evaluation.text import Documents, documents
from xelm.models import scoring, seed
from xelm.storage import atomic


def by_scoring(contest: Contest, model: str, language: str, indices: list[int]) -> list[np.ndarray]:
    """Log-probabilities straight from the model, no file of ours between."""
    shards = contest.heldout
    return scoring.token_log_probabilities(
        seed.load(contest.run / "models" / model),
        [shards.document(language, i) for i in indices],
        end_of_text=shards.end_of_text,
        context=shards.context,
    )


def test_bits_of_documents_with_and_without_tokens() -> None:
    chosen = Documents(
        np.arange(3), np.array([4, 1, 2]), np.array([2, 0, 1]), np.zeros(3, dtype=np.uint64)
    )
    bits = arms.bits_of(np.log([0.5, 0.25, 0.125]), chosen)
    assert bits.tolist() == pytest.approx([3.0, 0.0, 3.0])


@pytest.mark.parametrize("arm", ["seed", "dense", "dense-matched/pair", "pair/own"])
def test_arms_equal_scoring_the_models_themselves(contest: Contest, arm: str) -> None:
    language = "th"
    field = arms.whole(contest, language)
    orders = ORDERS[:1] if arm == "seed" else ORDERS
    assert field.bits[arm].shape == (5, len(orders))
    size = int(contest.heldout.bytes(language).sum())
    bits, perplexities = [], []
    for order in orders:
        model = contest.model(arm, language, order)
        logs = by_scoring(contest, model, language, list(range(5)))
        bits.append(scoring.bits_per_byte(logs, size))
        perplexities.append(math.log(scoring.perplexity(logs)))
    assert field.bits_per_byte(arm) == pytest.approx(np.mean(bits), abs=1e-6)
    assert math.log(field.perplexity(arm)) == pytest.approx(np.mean(perplexities), abs=1e-6)


def test_own_bits_per_byte_scores_what_is_missing(run: Path) -> None:
    found = choose.own_bits_per_byte(run, {"ar": "pair/ar-hi", "en": "dense", "sv": "dense"})
    assert sorted(found) == ["ar", "en"]
    shards = TokenShards(run / "corpus", "dev")
    logs = scoring.token_log_probabilities(
        seed.load(run / "models/dense"),
        [shards.document("en", i) for i in range(shards.count("en"))],
        end_of_text=0,
        context=CONTEXT,
    )
    size = int(shards.bytes("en").sum())
    assert found["en"] == pytest.approx(scoring.bits_per_byte(logs, size), abs=1e-6)


def test_choosing_cannot_see_held_out_text(run: Path) -> None:
    """With held-out text and its scores gone, the dev table is still the same."""
    from xelm.evaluation import scores

    contest = Contest.of(run, Recipe())
    for arm in contest.single_arms():
        for language, model in contest.models(arm, ORDERS[0]).items():
            scores.score(run, model, "dev", {language: None})
    shutil.rmtree(run / "corpus/heldout")
    dev = choose.dev_table(Contest.of(run, Recipe()))
    assert set(dev) == {"seed", "dense", "dense-matched/pair", "pair/own"}
    assert all(sorted(row) == LANGUAGES for row in dev.values())
    assert choose.best_own(contest, dev) == "pair/own"
    assert choose.best_own(replace(contest, allocations=()), dev) is None


def test_best_own_has_the_fewest_bits() -> None:
    contest = Contest(Path(), "x", (), ("a", "b", "c"))
    dev = {"a/own": {"en": 2.0, "de": 2.0}, "b/own": {"en": 1.0, "de": 2.5}, "c/own": {"en": 3.0}}
    assert choose.best_own(contest, dev) == "b/own"


def test_matrix(contest: Contest) -> None:
    found = matrix.matrix(contest, "pair")
    some = documents(contest.heldout, "zh", 700)
    assert some.count < 5
    logs = by_scoring(contest, "pair/ar-hi", "zh", some.index.tolist())
    expected = scoring.bits_per_byte(logs, int(some.bytes.sum()))
    assert found["bits_per_byte"]["ar-hi"]["zh"] == pytest.approx(expected, abs=1e-6)
    assert found["perplexity"]["ar-hi"]["zh"] == pytest.approx(scoring.perplexity(logs), rel=1e-5)
    changes = [
        found["bits_per_byte"][expert][language] - found["seed"][language]
        for expert, codes in EXPERTS.items()
        for language in LANGUAGES
        if language not in codes
    ]
    assert len(changes) == 5
    assert found["others"] == pytest.approx(np.mean(changes))
    own = [
        found["bits_per_byte"][expert][language] - found["seed"][language]
        for expert, codes in EXPERTS.items()
        for language in codes
    ]
    assert found["own"] == pytest.approx(np.mean(own))
    assert set(found["others_by_language"]) == set(LANGUAGES)


def test_a_stray_page_does_not_make_a_language_ones_own() -> None:
    share = {"en": 990, "de": 9, "fr": 10}
    assert [matrix.is_foreign(code, share) for code in ("en", "de", "fr", "ru")] == [
        False,
        True,
        True,
        True,
    ]
    assert not matrix.is_foreign("de", {"en": 50, "de": 50})


def change_ledger(run: Path, model: str, **changes: object) -> None:
    path = run / "models" / model / "ledger.json"
    atomic.write_json(path, {**atomic.read_json(path), **changes})


def test_budgets_agree(run: Path) -> None:
    found = budgets.budgets(Contest.of(run, Recipe()))
    assert found["equal"] and found["tolerance"] == 4 * CONTEXT
    assert found["tokens"] == {"dense": 320, "dense-matched/pair": 320, "pair": 320}
    assert found["matched"] == {"dense-matched/pair": True}
    assert found["text"].startswith("Equal budgets: each arm consumed 320 tokens")
    assert "saw exactly the windows" in found["text"]


def test_budgets_within_one_batch_agree_and_beyond_do_not(run: Path) -> None:
    change_ledger(run, "orders/8/dense", tokens=320 + 4 * CONTEXT)
    assert budgets.budgets(Contest.of(run, Recipe()))["equal"]
    change_ledger(run, "orders/8/dense", tokens=320 + 4 * CONTEXT + 1)
    found = budgets.budgets(Contest.of(run, Recipe()))
    assert not found["equal"] and found["tokens"]["dense"] == 385
    assert found["text"].startswith("UNEQUAL BUDGETS") and "dense 385" in found["text"]


def test_other_windows_are_found_out_in_any_order(run: Path) -> None:
    change_ledger(run, "orders/8/pair/ar-hi", windows_hash=f"{6:032x}")
    found = budgets.budgets(Contest.of(run, Recipe()))
    assert found["matched"] == {"dense-matched/pair": False}
    assert "DID NOT SEE" in found["text"]


def test_a_damaged_ledger_is_named(run: Path) -> None:
    (run / "models/dense/ledger.json").unlink()
    with pytest.raises(UserError, match=r"dense/ledger\.json"):
        budgets.budgets(Contest.of(run, Recipe()))


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (320, "320"),
        (400_000, "400,000"),
        (4_000_000, "4 million"),
        (10_500_000_000, "10.5 billion"),
    ],
)
def test_readable(tokens: int, text: str) -> None:
    assert budgets.readable(tokens) == text


def test_arm_of() -> None:
    contest = Contest(Path(), "x", ("dense", "dense-matched/t-8"), ("t-8",), settings=settings())
    for arm, trained in {"t-8/own": "t-8", "dense-matched/t-8": "dense-matched/t-8"}.items():
        assert budgets.arm_of(contest, arm) == trained
