"""Which arms are tested against which, language by language and on the mean of languages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from xelm.evaluation import bootstrap
from xelm.evaluation.arms import Field
from xelm.evaluation.contest import DENSE, MATCHED, MIXTURE, OWN, TOP1, Contest
from xelm.evaluation.schema import Comparison, MeanComparison, Significance
from xelm.evaluation.settings import EvaluationSettings

Pair = tuple[str, str]
_SEED = 20_240_110


def pairs(contest: Contest) -> list[Pair]:
    """(arm, against): X-ELM arms against controls, and each kind among its own."""
    controls, found = contest.controls, []
    for control in controls:
        if control.startswith(MATCHED) and DENSE in controls:
            found.append((control, DENSE))
    routed = (TOP1, MIXTURE) if contest.settings.routed else ()
    for name in contest.allocations:
        against = [one for one in (DENSE, MATCHED + name) if one in controls]
        found += [(name + kind, one) for kind in (OWN, *routed) for one in against]
        found += [(name + kind, name + OWN) for kind in routed]
    names = contest.allocations
    found += [(a + OWN, b + OWN) for i, a in enumerate(names) for b in names[i + 1 :]]
    return found


def is_routed(pair: Pair) -> bool:
    """Is it a comparison on the routed documents?"""
    return pair[0].endswith((TOP1, MIXTURE))


@dataclass(frozen=True)
class _Sample:
    """Resampled bits per byte of one language."""

    field: Field
    draws: NDArray[np.float64]  # [resamples, arms]
    arms: list[str]
    units: int

    def differences(self, pair: Pair) -> NDArray[np.float64]:
        arm, against = (self.draws[:, self.arms.index(one)] for one in pair)
        found: NDArray[np.float64] = arm - against
        return found


def compare(
    fields: Mapping[str, Field], wanted: Sequence[Pair], settings: EvaluationSettings
) -> tuple[list[Comparison], list[MeanComparison]]:
    """Test the pairs on the documents given (language -> field).

    The orders drawn are the same in all languages, as the models are; documents are drawn in each
    language by itself.
    """
    if not wanted:
        return [], []
    arms = sorted({arm for pair in wanted for arm in pair})
    resamples = bootstrap.enough(settings.resamples, len(fields), settings.alpha)
    orders = max(bits.shape[1] for field in fields.values() for bits in field.bits.values())
    weights = bootstrap.draw_orders(orders, resamples, np.random.default_rng(_SEED))
    samples = {
        language: _resample(language, field, arms, weights, settings)
        for language, field in fields.items()
    }
    rows: list[Comparison] = []
    means: list[MeanComparison] = []
    for pair in wanted:
        found = _rows(pair, samples, settings)
        rows += found
        means.append(_mean(pair, samples, found, settings))
    return rows, means


def significance(contest: Contest) -> Significance:
    """How `compare` tests."""
    settings = contest.settings
    orders = " and orders" if len(contest.orders) > 1 else ""
    return {
        "alpha": settings.alpha,
        "confidence": 1 - settings.alpha,
        "resamples": bootstrap.enough(settings.resamples, len(contest.languages), settings.alpha),
        "units": settings.resample + orders,
    }


def _resample(
    language: str,
    field: Field,
    arms: list[str],
    weights: NDArray[np.float64],
    settings: EvaluationSettings,
) -> _Sample:
    orders = weights.shape[1]
    shape = (field.documents.count, orders)
    bits = np.stack([np.broadcast_to(field.bits[arm], shape) for arm in arms], axis=1)
    sizes = field.documents.bytes.astype(np.float64)
    if settings.resample == "groups":
        bits = bootstrap.by_unit(bits, field.documents.groups)
        sizes = bootstrap.by_unit(sizes, field.documents.groups)
    name = int.from_bytes(blake2b(language.encode(), digest_size=8).digest(), "big")
    draws = bootstrap.ratios(bits, sizes, weights, np.random.default_rng([_SEED, name]))
    return _Sample(field, draws, arms, len(sizes))


def _rows(
    pair: Pair, samples: Mapping[str, _Sample], settings: EvaluationSettings
) -> list[Comparison]:
    rows: list[Comparison] = []
    p = {code: bootstrap.p_value(s.differences(pair), s.units) for code, s in samples.items()}
    adjusted = dict(zip(p, bootstrap.holm(list(p.values())), strict=True))
    for language, sample in samples.items():
        low, high = bootstrap.interval(sample.differences(pair), 1 - settings.alpha)
        rows.append(
            {
                "arm": pair[0],
                "against": pair[1],
                "language": language,
                "difference": _difference(sample.field, pair),
                "low": low,
                "high": high,
                "p": p[language],
                "p_adjusted": adjusted[language],
            }
        )
    return rows


def _difference(field: Field, pair: Pair) -> float:
    return field.bits_per_byte(pair[0]) - field.bits_per_byte(pair[1])


def _mean(
    pair: Pair,
    samples: Mapping[str, _Sample],
    rows: Sequence[Comparison],
    settings: EvaluationSettings,
) -> MeanComparison:
    differences = np.mean([sample.differences(pair) for sample in samples.values()], axis=0)
    low, high = bootstrap.interval(differences, 1 - settings.alpha)
    mean = float(np.mean([row["difference"] for row in rows]))
    base = float(np.mean([sample.field.bits_per_byte(pair[1]) for sample in samples.values()]))
    sure = [row["difference"] for row in rows if row["p_adjusted"] < settings.alpha]
    return {
        "arm": pair[0],
        "against": pair[1],
        "difference": mean,
        "low": low,
        "high": high,
        "p": bootstrap.p_value(differences, sum(sample.units for sample in samples.values())),
        "languages": len(rows),
        "better": sum(row["difference"] < 0 for row in rows),
        "significantly_better": sum(difference < 0 for difference in sure),
        "significantly_worse": sum(difference > 0 for difference in sure),
        "percent": 100 * mean / base,
    }
