"""How much better one arm is than another, in percent of the other's bits per byte.

Percent, because a byte of Chinese carries more than a byte of Greek: absolute differences of
languages cannot stand on one axis. Above zero the arm has fewer bits: a gain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gain:
    """Of one language (or of the mean); `low` and `high` bound it when it was tested."""

    percent: float
    low: float | None = None
    high: float | None = None
    significant: bool = False
    p_adjusted: float | None = None


def by_language(summary: Mapping[str, Any], arm: str, against: str) -> dict[str, Gain]:
    """language -> gain of `arm` over `against`, for the languages both have.

    The arms are compared on the same documents: all held-out ones, or, where either of them was
    scored on the routed ones only, on those.
    """
    ours, theirs = same_documents(summary, arm, against)
    found = {
        code: Gain(100 * (theirs[code] - ours[code]) / theirs[code])
        for code in summary["languages"]
        if code in ours and code in theirs
    }
    alpha = summary["significance"]["alpha"]
    for row in summary["comparisons"]:
        if (row["arm"], row["against"]) == (arm, against) and row["language"] in found:
            found[row["language"]] = _tested(row, theirs[row["language"]], alpha)
    return found


def _tested(row: Mapping[str, Any], base: float, alpha: float) -> Gain:
    p = row["p_adjusted"]
    low, high = -100 * row["high"] / base, -100 * row["low"] / base
    return Gain(-100 * row["difference"] / base, low, high, p < alpha, p)


def same_documents(
    summary: Mapping[str, Any], arm: str, against: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Bits per byte of both arms by language, on the same documents."""
    arms = summary["arms"]
    if all(arms[name].get("documents", "all") == "all" for name in (arm, against)):
        return arms[arm]["bits_per_byte"], arms[against]["bits_per_byte"]
    routed = summary["routed_arms"]
    return routed[arm], routed[against]


def overall(summary: Mapping[str, Any], arm: str, against: str) -> Gain:
    """Gain of the mean over languages; with an interval where the pair was tested."""
    for row in summary["means"]:
        if (row["arm"], row["against"]) == (arm, against) and row["percent"]:
            base = 100 * row["difference"] / row["percent"]
            low, high = -100 * row["high"] / base, -100 * row["low"] / base
            significant = row["p"] < summary["significance"]["alpha"]
            return Gain(-row["percent"], low, high, significant, row["p"])
    ours, theirs = same_documents(summary, arm, against)
    both = [code for code in summary["languages"] if code in ours and code in theirs]
    base = sum(theirs[code] for code in both)
    return Gain(100 * (base - sum(ours[code] for code in both)) / base)


def control(summary: Mapping[str, Any]) -> str | None:
    """What gains are measured against: dense, else the headline's other arm, else the seed."""
    for name in ("dense", (summary.get("headline") or {}).get("against"), "seed"):
        if name in summary["arms"]:
            return str(name)
    return None
