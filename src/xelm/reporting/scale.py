"""From values to positions, and round numbers to write along an axis."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] onto [start, end], evenly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Position of a value; one level value stands in the middle."""
        low, high, value = (self._inner(x) for x in (self.low, self.high, value))
        if high == low:
            return (self.start + self.end) / 2
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def _inner(self, value: float) -> float:
        return math.log(value) if self.log else value

    def ticks(self, count: int = 5) -> list[float]:
        """Round values inside the range, at most about `count` of them."""
        if self.log:
            return _log_ticks(self.low, self.high, count)
        return _even_ticks(self.low, self.high, count)


def around(
    values: Iterable[float], *, include: float | None = None, margin: float = 0.06
) -> tuple[float, float]:
    """A range that holds all values with some air; never empty."""
    found = [value for value in values if math.isfinite(value)]
    if include is not None:
        found.append(include)
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    air = (high - low) * margin or abs(high) * margin or 1.0
    return low - air, high + air


def _even_ticks(low: float, high: float, count: int) -> list[float]:
    step = _round_step((high - low) / max(count, 1))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def _round_step(rough: float) -> float:
    if rough <= 0 or not math.isfinite(rough):
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * (1 - 1e-9))


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    """Powers of ten times 1, 2, 5, thinned to powers of ten when those are enough."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**p for p in powers for f in factors]
        inside = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) <= count + 2:
            return inside
    return inside


def short(value: float) -> str:
    """`4000000` -> `4M`, `0.5` -> `0.5`; a true minus sign."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return _plain(value / size) + letter
    return _plain(value)


def _plain(value: float) -> str:
    return f"{value:.3g}".replace("-", "−") if abs(value) < 1000 else f"{value:.0f}"


def signed(value: float | None, digits: int = 1) -> str:
    """`-2.34` -> `−2.3`, `0.7` -> `+0.7`; what rounds to zero has no sign, nothing is a dash."""
    if value is None:
        return "–"
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "−") + text
