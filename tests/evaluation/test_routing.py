"""top1 and mixture against a mixture made by hand, prefix by prefix."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import EXPERTS, LANGUAGES, Recipe, settings

from xelm.errors import UserError
from xelm.evaluation import routing
from xelm.evaluation.contest import Contest
from xelm.evaluation.text import documents
from xelm.models import scoring, seed

UNIGRAM = Recipe(evaluation=settings(router="unigram", temperature=2.0, top_m=None))


def by_hand(contest: Contest, language: str, temperature: float, top_m: int | None) -> np.ndarray:
    """Bits of each document: the router asked for every prefix anew, probabilities added."""
    data = routing.router_data(contest, "pair")
    router = routing.router_of(data, routing.Choice("unigram", temperature, None))
    shards = contest.heldout
    models = [seed.load(contest.run / "models/pair" / expert) for expert in data.experts]
    bits = []
    for index in documents(shards, language, 700).index:
        ids = shards.document(language, int(index)).astype(np.int64)
        logs = [
            scoring.token_log_probabilities(m, [ids], end_of_text=0, context=shards.context)[0]
            for m in models
        ]
        total = 0.0
        for position in range(len(ids)):
            if position == 0:
                weights = router.prior.numpy().copy()
            else:
                prefix = torch.from_numpy(ids[None, :position])
                weights = router.weights(prefix)[0, -1].numpy().copy()
            if top_m == 1:
                weights = np.eye(len(weights))[weights.argmax()]
            total -= math.log2(sum(w * math.exp(p[position]) for w, p in zip(weights, logs)))  # noqa: B905
        bits.append(total)
    return np.array(bits)


@pytest.mark.parametrize("language", ["hi", "th"])
def test_routed_arms_equal_a_mixture_by_hand(scored_run: Path, language: str) -> None:
    contest = Contest.of(scored_run, UNIGRAM)
    found = routing.route(contest, "pair")
    for arm, top_m in (("pair/mixture", None), ("pair/top1", 1)):
        ours = found.bits[arm][language][:, 0]
        assert ours == pytest.approx(by_hand(contest, language, 2.0, top_m), rel=1e-5)


def test_the_choice_is_the_best_of_what_was_tried_on_dev(contest: Contest) -> None:
    found = routing.route(contest, "pair").about
    best = min(found["grid"], key=lambda one: one["bits_per_byte"])
    assert {key: found[key] for key in ("kind", "temperature", "top_m")} == {  # type: ignore[literal-required]
        key: best[key] for key in ("kind", "temperature", "top_m")
    }
    tried = {(one["kind"], one["temperature"]) for one in found["grid"]}
    assert tried == {("unigram", t) for t in routing.TEMPERATURES["unigram"]}
    assert set(found["first"]) == set(LANGUAGES) and max(found["first"].values()) > 0.9


def test_settings_given_are_not_chosen(contest: Contest, scored_run: Path) -> None:
    chosen, tried = routing.choose(
        Contest.of(scored_run, UNIGRAM), "pair", routing.router_data(contest, "pair")
    )
    assert (chosen.kind, chosen.temperature) == ("unigram", 2.0) and len(tried) == 1


def test_choosing_reads_dev_only(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    read = routing.read
    asked = []

    def watch(contest: Contest, allocation: str, experts: list[str], split: str, code: str):  # type: ignore[no-untyped-def]
        asked.append(split)
        return read(contest, allocation, experts, split, code)

    monkeypatch.setattr(routing, "read", watch)
    routing.choose(contest, "pair", routing.router_data(contest, "pair"))
    assert set(asked) == {"dev"} and len(asked) == len(LANGUAGES)


def test_the_router_is_chosen_on_as_much_of_dev_as_was_asked_for(
    contest: Contest, scored_run: Path
) -> None:
    few = Contest.of(scored_run, Recipe(evaluation=settings(routed_dev_bytes=1)))
    counts = {
        (name, split): [
            routing.read(one, "pair", one.teams["pair"].experts, split, code).documents.count
            for code in LANGUAGES
        ]
        for name, one in (("few", few), ("all", contest))
        for split in ("dev", "heldout")
    }
    assert set(counts["few", "dev"]) == {1} and sum(counts["all", "dev"]) > len(LANGUAGES)
    assert counts["few", "heldout"] == counts["all", "heldout"]


def test_a_router_that_is_not_there_is_refused(scored_run: Path) -> None:
    recipe = Recipe(evaluation=settings(router="tfidf"))
    with pytest.raises(UserError, match="tfidf"):
        routing.route(Contest.of(scored_run, recipe), "pair")


def test_the_order_of_experts_is_the_routers(contest: Contest) -> None:
    data = routing.router_data(contest, "pair")
    reading = routing.read(contest, "pair", data.experts, "heldout", "ar")
    swapped = routing.read(contest, "pair", data.experts[::-1], "heldout", "ar")
    assert np.array_equal(reading.logs, swapped.logs[::-1])
    weights = routing.weights_of(
        routing.router_of(data, routing.Choice("unigram", 1.0, None)), reading
    )
    assert weights.shape == (reading.logs.shape[1], len(EXPERTS))
    assert np.allclose(weights.sum(1), 1)


def test_a_posterior_is_bayes_over_the_experts_own_likelihoods(contest: Contest) -> None:
    data = routing.router_data(contest, "pair")
    reading = routing.read(contest, "pair", data.experts, "heldout", "th")
    weights = routing.weights_of(
        routing.router_of(data, routing.Choice("posterior", 1.0, None)), reading
    )
    start = 0
    for length in reading.documents.tokens:
        logs = reading.logs[:, start : start + length].astype(np.float64)
        likelihood = np.exp(logs.cumsum(1)[:, :-1] - logs.cumsum(1)[:, :-1].max(0))
        expected = (likelihood / likelihood.sum(0)).T
        assert np.allclose(weights[start], 1 / len(EXPERTS))
        assert np.allclose(weights[start + 1 : start + length], expected, atol=1e-9)
        start += length
    assert start == len(weights) and reading.documents.count > 1


def test_measure_equals_choosing_one_by_one(contest: Contest) -> None:
    data = routing.router_data(contest, "pair")
    choices = [routing.Choice("unigram", t, m) for t in (1.0, 5.0) for m in (1, None)]
    together = routing.measure(contest, "pair", data, choices, "dev")
    for choice, found in zip(choices, together, strict=True):
        assert routing.measure(contest, "pair", data, [choice], "dev") == [found]
        assert set(found) == set(LANGUAGES)
