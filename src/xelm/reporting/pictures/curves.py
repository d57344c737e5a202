"""Curves over tokens: training loss of every arm, or bits per byte on dev."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from xelm.reporting.drawing import Label, Line, Scene
from xelm.reporting.pictures import frame
from xelm.reporting.scale import Scale, around, short


@dataclass(frozen=True)
class Curve:
    """One line; `points` are (tokens, value)."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: str
    dashed: bool = False
    faint: bool = False
    """An expert behind the mean of its team: thin, no place in the legend."""


def curves(lines: Sequence[Curve], title: str, unit: str, width: float = 760.0) -> Scene:
    """Values over tokens consumed.

    Args:
        unit: what the vertical axis counts.
    """
    scene = Scene(width, 0, title)
    strong = [line for line in lines if not line.faint]
    entries = [(frame.key_line(c.colour, 2.0, c.dashed), c.name) for c in strong]
    top = frame.legend(scene, entries, 0, 10) + 22
    bottom = top + (190.0 if width < frame.NARROW else 260.0)
    left = 48.0
    x = Scale(0.0, max(t for line in lines for t, _ in line.points), left, width - 14)
    y = Scale(*_range(lines), bottom, top)
    scene.add(Label(0, top - 16, unit, "muted", frame.SMALL))
    frame.y_grid(scene, y, left, width - 14, lambda value: f"{value:g}")
    frame.x_ticks(scene, x, bottom, lambda value: short(value) if value else "0")
    for line in sorted(lines, key=lambda c: not c.faint):
        points = tuple((x(t), max(min(y(v), bottom), top)) for t, v in line.points)
        thick, opacity = (1.0, 0.4) if line.faint else (2.0, 1.0)
        scene.add(Line(points, line.colour, thick, opacity, line.dashed, line.name))
    scene.add(Label(width - 14, bottom + 27, "tokens of the arm's budget", "muted", 11.5, "end"))
    scene.height = bottom + 38
    return scene


def _range(lines: Sequence[Curve]) -> tuple[float, float]:
    """Without the first steep tenth's heights, which would press the rest flat."""
    late = [v for c in lines for v in [v for _, v in c.points][len(c.points) // 20 :]]
    return around(late, margin=0.04)


def smoothed(values: Sequence[float], share: float = 0.06) -> list[float]:
    """Running mean over a centred window of a `share` of the values, cut off at both ends."""
    reach = int(len(values) * share / 2)
    sums = [0.0, *accumulate(values)]
    means = []
    for i in range(len(values)):
        low, high = max(i - reach, 0), min(i + reach + 1, len(values))
        means.append((sums[high] - sums[low]) / (high - low))
    return means


def team_mean(
    members: Sequence[Sequence[tuple[float, float]]], points: int = 200
) -> list[tuple[float, float]]:
    """The team's curve: mean of its experts at equal shares of their own budgets.

    Returns (tokens of all experts together, mean value).
    """
    whole = sum(curve[-1][0] for curve in members)
    start = max(curve[0][0] / curve[-1][0] for curve in members)
    found = []
    for step in range(points):
        part = start + (1 - start) * step / (points - 1)
        values = [_at(curve, part * curve[-1][0]) for curve in members]
        found.append((part * whole, sum(values) / len(values)))
    return found


def _at(curve: Sequence[tuple[float, float]], tokens: float) -> float:
    """Value at `tokens`, between the two nearest points."""
    place = bisect_left(curve, (tokens,))
    if place <= 0:
        return curve[0][1]
    if place >= len(curve):
        return curve[-1][1]
    (t0, v0), (t1, v1) = curve[place - 1], curve[place]
    return v0 + (v1 - v0) * (tokens - t0) / (t1 - t0) if t1 > t0 else v1
