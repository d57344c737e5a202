"""Scenes as PNG, by matplotlib, for places that show no SVG. Light colours."""

import io
from typing import TYPE_CHECKING

from xelm.reporting.colours import LIGHT
from xelm.reporting.drawing import Box, Dot, Label, Line, Scene
from xelm.reporting.svg import outline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS_PER_PIXEL = 0.75
_ALIGN = {"start": "left", "middle": "center", "end": "right"}


def png(scene: Scene, scale: float = 2.0) -> bytes:
    """The scene at `scale` pixels for each of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((scene.width / 96, scene.height / 96), dpi=96, facecolor=LIGHT["paper"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, scene.width)
    axes.set_ylim(scene.height, 0)
    for order, mark in enumerate(scene.marks, start=1):
        _draw(axes, mark, order)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=96 * scale, metadata={"Software": None})
    return buffer.getvalue()


def _draw(axes: "Axes", mark: Line | Box | Dot | Label, order: int) -> None:
    match mark:
        case Line():
            _line(axes, mark, order)
        case Box():
            _box(axes, mark, order)
        case Dot():
            _dot(axes, mark, order)
        case Label():
            _label(axes, mark, order)


def _line(axes: "Axes", line: Line, order: int) -> None:
    axes.plot(
        [x for x, _ in line.points],
        [y for _, y in line.points],
        color=LIGHT[line.colour],
        linewidth=line.width * _POINTS_PER_PIXEL,
        linestyle=(0, (3, 3)) if line.dashed else "-",
        alpha=line.opacity,
        zorder=order,
    )


def _box(axes: "Axes", box: Box, order: int) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    fill = to_rgba(LIGHT[box.colour], box.opacity) if box.colour else "none"
    axes.add_patch(
        Rectangle(
            (box.x, box.y),
            box.width,
            box.height,
            facecolor=fill,
            edgecolor=LIGHT[box.outline] if box.outline else "none",
            linewidth=box.outline_width * _POINTS_PER_PIXEL,
            zorder=order,
        )
    )


def _dot(axes: "Axes", dot: Dot, order: int) -> None:
    from matplotlib.patches import Circle, Patch, Polygon

    edge = LIGHT[dot.colour]
    face = edge if dot.filled else LIGHT["paper"]
    shape: Patch
    if dot.shape == "circle":
        shape = Circle((dot.x, dot.y), dot.size)
    else:
        shape = Polygon(outline(dot), closed=dot.shape != "tick")
    shape.set(facecolor=face, edgecolor=edge, linewidth=1.3, alpha=dot.opacity, zorder=order)
    axes.add_patch(shape)


def _label(axes: "Axes", label: Label, order: int) -> None:
    axes.text(
        label.x,
        label.y + 0.36 * label.size,
        label.text,
        color=LIGHT[label.colour],
        fontsize=label.size * _POINTS_PER_PIXEL,
        fontweight="bold" if label.bold else "normal",
        ha=_ALIGN[label.anchor],
        va="baseline",
        zorder=order,
        parse_math=False,
    )
