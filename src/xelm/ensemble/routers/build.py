"""From a router's settings and data to a router: the registry of kinds."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from xelm.ensemble.routers.abstaining import Abstaining
from xelm.ensemble.routers.base import Router
from xelm.ensemble.routers.constant import Fixed, Language, Uniform
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routers.posterior import Posterior
from xelm.ensemble.routers.tfidf import Tfidf
from xelm.ensemble.routers.unigram import Unigram, log_probabilities
from xelm.ensemble.routing import Routing
from xelm.errors import UserError

_TEMPERATURES = {"tfidf": 0.1, "unigram": 1.0, "posterior": 1.0}


def build(settings: Routing, data: RouterData) -> Router:
    """A router of `settings.kind`.

    Raises:
        UserError: the bundle holds nothing to build that kind from, or a setting does not fit.
    """
    kind = settings.kind
    if kind not in data.kinds():
        raise UserError(
            f"router {kind!r}: this bundle holds no data for it; it has {', '.join(data.kinds())}"
        )
    temperature = settings.temperature or _TEMPERATURES.get(kind, 1.0)
    router = _BUILDERS[kind](settings, data, temperature)
    if settings.abstain and data.fallback is not None and kind in data.bounds:
        return abstaining(settings, data, router, data.bounds[kind])
    return router


def abstaining(settings: Routing, data: RouterData, router: Router, bound: float) -> Abstaining:
    """A learnt router (unigram, or tfidf over pieces) with a bound on its fit."""
    if isinstance(router, Unigram):
        assert data.unigram is not None
        counts = torch.from_numpy(data.unigram.counts)
        return Abstaining(
            router, data.silent, log_probabilities(counts, settings.smoothing).mean(0), bound
        )
    assert isinstance(router, Tfidf), "only learnt routers have a fit"
    return Abstaining(router, data.silent, torch.zeros(len(router.vectors)), bound)


def _even(data: RouterData) -> torch.Tensor:
    """The same weight for every expert, none for the fallback."""
    return torch.tensor([float(name != data.fallback) for name in data.experts])


def _tfidf(settings: Routing, data: RouterData, temperature: float) -> Router:
    about = data.tfidf
    assert about is not None
    vectors = torch.from_numpy(about.idf).double()[:, None] * torch.from_numpy(about.rows).double()
    centroids = torch.from_numpy(about.centroids)
    how: dict[str, Any] = {"temperature": temperature, "exponent": settings.exponent}
    if about.words is not None:
        from xelm.ensemble.routers.words import WordTfidf

        assert about.pieces is not None, "words without the bytes of pieces"
        places = {word: row for row, word in enumerate(about.words)}
        return WordTfidf(
            data.experts, about.columns, vectors, centroids, places, about.pieces, **how
        )
    vectors[list(data.silent)] = 0.0
    return Tfidf(data.experts, about.columns, vectors, centroids, **how)


def _unigram(settings: Routing, data: RouterData, temperature: float) -> Router:
    assert data.unigram is not None
    return Unigram(
        data.experts,
        data.unigram.columns,
        torch.from_numpy(data.unigram.counts),
        silent=data.silent,
        smoothing=settings.smoothing,
        temperature=temperature,
    )


def _posterior(settings: Routing, data: RouterData, temperature: float) -> Router:
    return Posterior(data.experts, _even(data), temperature=temperature)


def _uniform(settings: Routing, data: RouterData, temperature: float) -> Router:
    return Uniform(data.experts, _even(data))


def _fixed(settings: Routing, data: RouterData, temperature: float) -> Router:
    if settings.weights is None:
        raise UserError("router 'fixed': give router.weights, such as {en-es: 0.5, de-el: 0.5}")
    return Fixed(data.experts, settings.weights)


def _language(settings: Routing, data: RouterData, temperature: float) -> Router:
    if settings.language is None:
        raise UserError("router 'language': give the language, such as --language sw")
    return Language(data.experts, data.languages, settings.language)


_BUILDERS: Mapping[str, Callable[[Routing, RouterData, float], Router]] = {
    "tfidf": _tfidf,
    "unigram": _unigram,
    "posterior": _posterior,
    "uniform": _uniform,
    "fixed": _fixed,
    "language": _language,
}
