"""top1 and mixture from stored scores: the router weighs, probabilities are mixed, nothing is run.

Which router, temperature and number of experts is chosen on dev alone: `choose` is given the dev
split and no other, and the held-out text is mixed with what it returned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xelm.corpus.shards import TokenShards
from xelm.evaluation import scores
from xelm.evaluation.arms import Bits, bits_of
from xelm.evaluation.contest import MIXTURE, TOP1, Contest
from xelm.evaluation.schema import Routed
from xelm.evaluation.settings import EvaluationSettings
from xelm.evaluation.text import Documents, documents

if TYPE_CHECKING:
    import torch

    from xelm.ensemble.routers.base import Router
    from xelm.ensemble.routers.data import RouterData

TEMPERATURES = {
    "tfidf": (0.02, 0.05, 0.1, 0.3, 1.0),
    "unigram": (0.5, 1.0, 3.0, 10.0),
    "posterior": (1.0, 3.0, 10.0, 30.0),
}
CHEAP = ("tfidf", "unigram")
"""Kinds that are tried unasked; a posterior would make every expert read every token."""
KEPT = (2, 4, None)
"""Numbers of experts that a mixture is tried with; None is all."""


@dataclass(frozen=True)
class Choice:
    """How an allocation's experts are weighed."""

    kind: str
    temperature: float
    top_m: int | None
    """Experts that are mixed; None is all."""
    exponent: int = 2
    """Of the distance (tfidf)."""


@dataclass(frozen=True)
class Reading:
    """One language of one split under every expert of an allocation."""

    documents: Documents
    logs: NDArray[np.float32]
    """Natural log-probabilities [k, tokens]."""
    ids: list[NDArray[Any]]
    """Token ids of each document."""


def router_data(contest: Contest, allocation: str) -> "RouterData":
    """The router of the allocation's bundle; UserError when it is not assembled yet."""
    from xelm.ensemble import manifest
    from xelm.ensemble.routers.data import RouterData

    bundle = contest.run / "bundles" / allocation
    return RouterData.load(bundle / manifest.read(bundle).router.folder)


def read(
    contest: Contest, allocation: str, experts: Sequence[str], split: str, language: str
) -> Reading:
    """Stored scores of the experts, in their order, on the routed documents of a language."""
    shards = TokenShards(contest.run / "corpus", split)
    chosen = documents(shards, language, contest.settings.routed_cap(split))
    logs = [
        scores.read(contest.run, contest.expert(allocation, expert), split, language, chosen)
        for expert in experts
    ]
    ids = [np.asarray(shards.document(language, int(i))) for i in chosen.index]
    return Reading(chosen, np.stack(logs), ids)


def choose(
    contest: Contest, allocation: str, data: "RouterData"
) -> tuple[Choice, list[dict[str, Any]]]:
    """The best choice on dev (mean bits per byte over languages), and all that were tried."""
    choices = [
        Choice(kind, temperature, top_m)
        for kind, temperature in _routers(contest.settings, data)
        for top_m in _kept(contest.settings, len(data.experts))
    ]
    found = measure(contest, allocation, data, choices, "dev")
    tried = [
        {
            "kind": choice.kind,
            "temperature": choice.temperature,
            "top_m": choice.top_m,
            "bits_per_byte": fmean(table.values()),
        }
        for choice, table in zip(choices, found, strict=True)
    ]
    best = min(range(len(tried)), key=lambda i: fmean(found[i].values()))
    return choices[best], tried


def measure(
    contest: Contest, allocation: str, data: "RouterData", choices: Sequence[Choice], split: str
) -> list[dict[str, float]]:
    """Bits per byte by language under each choice, on the routed documents of a split."""
    found: list[dict[str, float]] = [{} for _ in choices]
    known = TokenShards(contest.run / "corpus", split).languages
    routers = {one: router_of(data, one) for one in {replace(c, top_m=None) for c in choices}}
    for language in [code for code in known if code in contest.languages]:
        reading = read(contest, allocation, data.experts, split, language)
        sums: dict[str, list[torch.Tensor]] = {}
        for number, choice in enumerate(choices):
            router = routers[replace(choice, top_m=None)]
            if choice.kind not in sums:
                sums[choice.kind] = sums_of(router, reading)
            if number == 0 or replace(choices[number - 1], top_m=choice.top_m) != choice:
                weights = weights_from(router, sums[choice.kind])
            bits = mixed_bits(reading, weights, choice.top_m).sum()
            found[number][language] = float(bits / reading.documents.bytes.sum())
    return found


def _routers(settings: EvaluationSettings, data: "RouterData") -> Iterator[tuple[str, float]]:
    kinds = [settings.router] if settings.router else [k for k in CHEAP if k in data.kinds()]
    for kind in kinds:
        for temperature in [settings.temperature] if settings.temperature else TEMPERATURES[kind]:
            yield kind, temperature


def _kept(settings: EvaluationSettings, k: int) -> list[int | None]:
    if settings.top_m is not None:
        return [settings.top_m]
    return [m for m in KEPT if m is None or m < k]


def router_of(data: "RouterData", choice: Choice) -> "Router":
    """A router from its data; UserError when the data holds nothing for that kind."""
    from xelm.ensemble.routers.build import build
    from xelm.ensemble.routing import parse

    settings = {name: getattr(choice, name) for name in ("kind", "temperature", "exponent")}
    return build(parse(settings), data)


def weights_of(router: "Router", reading: Reading) -> NDArray[np.float64]:
    """Weights of each token [tokens, k], from what stands before it in its document."""
    return weights_from(router, sums_of(router, reading))


def sums_of(router: "Router", reading: Reading) -> "list[torch.Tensor]":
    """What routers of one kind know after each token of each document [n, d]."""
    from xelm.ensemble.mixing import document_sums

    borders = np.cumsum(reading.documents.tokens)[:-1]
    return [
        document_sums(router, ids, logs)
        for ids, logs in zip(reading.ids, np.split(reading.logs, borders, axis=1), strict=True)
    ]


def weights_from(router: "Router", sums: "Sequence[torch.Tensor]") -> NDArray[np.float64]:
    """Weights of each token [tokens, k] from `sums_of`."""
    from xelm.ensemble.mixing import weights_of_sums

    parts = [weights_of_sums(router, each) for each in sums]
    return np.concatenate([np.zeros((0, len(router.experts))), *parts])


def mixed_bits(reading: Reading, weights: NDArray[np.float64], top_m: int | None) -> Bits:
    """Bits of each document [n] under the `top_m` experts of largest weight (None: all)."""
    from xelm.ensemble.mixing import mix

    return bits_of(mix(reading.logs, weights, top_m), reading.documents)


@dataclass(frozen=True)
class Routing:
    """What routing made of one allocation."""

    bits: dict[str, dict[str, Bits]]
    """arm (`<allocation>/top1`, `<allocation>/mixture`) -> language -> bits [n, 1]."""
    about: Routed


def route(contest: Contest, allocation: str) -> Routing:
    """top1 and mixture on the held-out text, as chosen on dev."""
    data = router_data(contest, allocation)
    choice, tried = choose(contest, allocation, data)
    router = router_of(data, choice)
    kept = {allocation + TOP1: 1, allocation + MIXTURE: choice.top_m}
    bits: dict[str, dict[str, Bits]] = {arm: {} for arm in kept}
    first: dict[str, float] = {}
    for language in contest.languages:
        reading = read(contest, allocation, data.experts, "heldout", language)
        weights = weights_of(router, reading)
        for arm, top_m in kept.items():
            bits[arm][language] = mixed_bits(reading, weights, top_m)[:, None]
        owner = data.experts.index(contest.teams[allocation].owner[language])
        first[language] = float((weights.argmax(1) == owner).mean())
    about: Routed = {
        "kind": choice.kind,
        "temperature": choice.temperature,
        "top_m": choice.top_m,
        "grid": tried,
        "first": first,
    }
    return Routing(bits, about)
