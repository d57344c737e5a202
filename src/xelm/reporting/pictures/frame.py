"""What pictures with axes share: a legend that wraps, tick labels, names of languages."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from xelm.reporting.drawing import Dot, Label, Line, Mark, Scene, rule, text_width
from xelm.reporting.scale import Scale, signed

NARROW = 480.0
"""Below this width a picture is for a phone."""
SMALL = 11.5


@lru_cache(maxsize=512)
def language_name(code: str) -> str:
    """English name; the code itself where there is none."""
    from xelm.corpus import languages

    try:
        return languages.name(code)
    except ValueError:
        return code


def legend(
    scene: Scene,
    entries: Sequence[tuple[Callable[[float, float], Sequence[Mark]], str]],
    x: float,
    y: float,
) -> float:
    """Markers with their meaning from left to right, in as many lines as needed.

    Args:
        entries: a function from the marker's centre to its marks, and the words beside it.
    Returns:
        The y below the legend.
    """
    left, start = x, x
    for marker, words in entries:
        needed = 22 + text_width(words, SMALL)
        if left > start and left + needed > scene.width:
            left, y = start, y + 19
        scene.add(*marker(left + 8, y))
        scene.add(Label(left + 20, y, words, "muted", SMALL))
        left += needed + 14
    return y + 19


def key_dot(dot: Dot) -> Callable[[float, float], Sequence[Mark]]:
    """A legend's marker like `dot`, elsewhere."""

    def marks(x: float, y: float) -> Sequence[Mark]:
        return [Dot(x, y, dot.shape, dot.colour, min(dot.size, 5.0), dot.filled, dot.opacity)]

    return marks


def key_line(
    colour: str, width: float = 2.0, dashed: bool = False
) -> Callable[[float, float], Sequence[Mark]]:
    """A legend's short piece of line."""

    def marks(x: float, y: float) -> Sequence[Mark]:
        return [Line(((x - 7, y), (x + 7, y)), colour, width, dashed=dashed)]

    return marks


def percent_grid(scene: Scene, x: Scale, top: float, bottom: float, zero: str) -> None:
    """Vertical lines at round percentages with their figures above; zero carries a name."""
    middle, taken = x(0), text_width(zero, SMALL) / 2
    ticks = x.ticks(4 if scene.width < NARROW else 7)
    for value in ticks:
        at, text = x(value), f"{signed(value, digits(ticks))} %"
        if value == 0:
            continue
        scene.add(rule(at, top, at, bottom))
        half = text_width(text, SMALL) / 2
        if abs(at - middle) > taken + half + 4:
            inside = min(max(at, half), scene.width - half)
            scene.add(Label(inside, top - 9, text, "muted", SMALL, "middle"))
    scene.add(Line(((middle, top - 2), (middle, bottom)), "ink", 1.25))
    scene.add(Label(middle, top - 9, zero, "ink", SMALL, "middle", bold=True))


def digits(ticks: Sequence[float]) -> int:
    """Decimals that are needed to tell ticks apart."""
    for count in (0, 1):
        if all(abs(value - round(value, count)) < 1e-9 for value in ticks):
            return count
    return 2


def y_grid(
    scene: Scene, y: Scale, left: float, right: float, write: Callable[[float], str]
) -> None:
    """Horizontal lines at round values with their figures on the left."""
    for value in y.ticks(5):
        scene.add(rule(left, y(value), right, y(value)))
        scene.add(Label(left - 7, y(value), write(value), "muted", SMALL, "end"))


def x_ticks(scene: Scene, x: Scale, at: float, write: Callable[[float], str]) -> None:
    """Figures below the horizontal axis."""
    for value in x.ticks(4 if scene.width < NARROW else 7):
        scene.add(rule(x(value), at - 4, x(value), at, "muted"))
        scene.add(Label(x(value), at + 10, write(value), "muted", SMALL, "middle"))
