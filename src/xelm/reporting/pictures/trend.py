"""A gain against what was varied: seed tokens, k, budget, model size."""

from collections.abc import Mapping, Sequence

from xelm.reporting import colours
from xelm.reporting.drawing import Dot, Label, Line, Scene
from xelm.reporting.gains import Gain
from xelm.reporting.pictures import frame
from xelm.reporting.scale import Scale, around, short, signed

Points = Sequence[tuple[float, Gain]]


def trend(
    series: Mapping[str, Points],
    variable: str,
    *,
    against: str = "dense",
    log: bool = True,
    width: float = 760.0,
) -> Scene:
    """One line a series through its points, with their intervals; zero is the control.

    Args:
        series: name -> (value of the variable, gain in percent).
        variable: what the horizontal axis counts, with its unit.
        log: the variable's axis is logarithmic; False for one that may be zero.
    """
    scene = Scene(width, 0, f"Gain over {against} against {variable}")
    hue = {name: colours.series(number) for number, name in enumerate(series)}
    entries = [(frame.key_dot(Dot(0, 0, colour=hue[name])), name) for name in series]
    top = frame.legend(scene, entries, 0, 10) + 24
    bottom, left = top + 260.0, 56.0
    found = [point for points in series.values() for point in points]
    x = _across([value for value, _ in found], log, left + 20, width - 24)
    bounds = [v for _, g in found for v in (g.percent, g.low, g.high) if v is not None]
    y = Scale(*around(bounds, include=0.0), bottom, top)
    scene.add(Label(0, top - 18, f"fewer bits per byte than {against}", "muted", frame.SMALL))
    digits = frame.digits(y.ticks(5))
    frame.y_grid(scene, y, left, width - 8, lambda v: f"{signed(v, digits)} %" if v else against)
    scene.add(Line(((left, y(0)), (width - 8, y(0))), "ink", 1.25))
    _places(scene, x, [value for value, _ in found], bottom)
    for name, points in series.items():
        _series(scene, name, sorted(points, key=lambda p: p[0]), hue[name], x, y)
    scene.add(Label(width - 8, bottom + 28, variable, "muted", 11.5, "end"))
    scene.height = bottom + 40
    return scene


def _across(values: Sequence[float], log: bool, start: float, end: float) -> Scale:
    return Scale(min(values), max(values), start, end, log)


def _places(scene: Scene, x: Scale, values: Sequence[float], bottom: float) -> None:
    """The values that were tried are the ticks: few, and what a reader asks for."""
    last = -1e9
    for value in sorted(set(values)):
        scene.add(Line(((x(value), bottom), (x(value), bottom + 4)), "muted"))
        if x(value) - last > 30:
            scene.add(Label(x(value), bottom + 13, short(value), "muted", 11.5, "middle"))
            last = x(value)


def _series(scene: Scene, name: str, points: Points, colour: str, x: Scale, y: Scale) -> None:
    scene.add(Line(tuple((x(v), y(gain.percent)) for v, gain in points), colour, 2.0))
    for value, gain in points:
        at = x(value)
        if gain.low is not None and gain.high is not None:
            scene.add(Line(((at, y(gain.low)), (at, y(gain.high))), colour, 1.25))
        hint = f"{name} at {short(value)}: {signed(gain.percent, 2)} %"
        scene.add(Dot(at, y(gain.percent), "circle", colour, 4.5, hint=hint))
