"""A picture as a list of marks, described once and drawn twice: as SVG and as PNG.

Coordinates are CSS pixels from the upper left corner. Colours are roles of `colours.py`, so the
same picture suits a light and a dark page. Labels are centred on their y.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Anchor = Literal["start", "middle", "end"]
Shape = Literal["circle", "square", "diamond", "triangle", "tick"]


@dataclass(frozen=True)
class Line:
    """A polyline through `points`."""

    points: tuple[tuple[float, float], ...]
    colour: str = "faint"
    width: float = 1.0
    opacity: float = 1.0
    dashed: bool = False
    hint: str = ""
    """Shown by a browser when the pointer rests on the mark."""


@dataclass(frozen=True)
class Box:
    """A rectangle, filled, outlined or both."""

    x: float
    y: float
    width: float
    height: float
    colour: str | None = "accent"
    opacity: float = 1.0
    outline: str | None = None
    outline_width: float = 1.5
    radius: float = 0.0
    hint: str = ""


@dataclass(frozen=True)
class Dot:
    """A marker; hollow ones are filled with the paper's colour. `size` is its half width."""

    x: float
    y: float
    shape: Shape = "circle"
    colour: str = "accent"
    size: float = 5.0
    filled: bool = True
    opacity: float = 1.0
    hint: str = ""


@dataclass(frozen=True)
class Label:
    """One line of text."""

    x: float
    y: float
    text: str
    colour: str = "ink"
    size: float = 13.0
    anchor: Anchor = "start"
    bold: bool = False
    hint: str = ""


Mark = Line | Box | Dot | Label


@dataclass
class Scene:
    """Marks in drawing order, on a canvas of `width` x `height`.

    `title` says in a sentence what is to be seen, for readers who cannot see it.
    """

    width: float
    height: float
    title: str
    marks: list[Mark] = field(default_factory=list)

    def add(self, *marks: Mark) -> None:
        """Draw over what is there."""
        self.marks.extend(marks)


def rule(x1: float, y1: float, x2: float, y2: float, colour: str = "faint") -> Line:
    """A hair line."""
    return Line(((x1, y1), (x2, y2)), colour)


def text_width(text: str, size: float = 13.0) -> float:
    """About how wide `text` is; scripts without spaces take a full em a character."""
    return sum(size * (1.0 if ord(character) > 0x2E80 else 0.56) for character in text)


def widest(texts: Iterable[str], size: float = 13.0) -> float:
    """The width of the widest; 0 of none."""
    return max((text_width(text, size) for text in texts), default=0.0)
