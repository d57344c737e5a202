"""Pictures for documents: .svg (light and dark) or .png, by the file's ending.

from xelm.reporting import plots
summary = plots.read("runs/demo/evaluation/summary.json")
plots.gain_by_language(summary, "docs/gain.svg")
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xelm.errors import UserError
from xelm.reporting import gains, newick, raster, svg
from xelm.reporting.drawing import Scene
from xelm.reporting.gains import Gain
from xelm.reporting.pictures import dots, heat, strips, tree, trend
from xelm.storage import atomic

_MARGIN = 20.0


def read(path: str | Path) -> dict[str, Any]:
    """A summary.json; UserError names the file when it is missing or broken."""
    value: dict[str, Any] = atomic.read_json(Path(path))
    return value


def save(scene: Scene, path: str | Path) -> None:
    """Write a scene with a margin around it, as SVG or PNG.

    Raises:
        UserError: the file's ending is neither.
    """
    path, framed = Path(path), _with_margin(scene)
    if path.suffix == ".svg":
        atomic.write_text(path, svg.standalone(framed))
    elif path.suffix == ".png":
        atomic.write_bytes(path, raster.png(framed))
    else:
        raise UserError(f"{path}: a picture ends in .svg or .png")


def gain_by_language(
    summary: Mapping[str, Any],
    path: str | Path,
    *,
    arm: str | None = None,
    against: str | None = None,
) -> None:
    """Dot plot: gain of an arm (default: the headline's) over a control (default: dense)."""
    arm, against = _pair(summary, arm, against)
    save(dots.gain_dots(summary, arm, against), path)


def gain_by_arm(
    summary: Mapping[str, Any], path: str | Path, *, against: str | None = None
) -> None:
    """Strip plot: every arm over a control, a tick a language."""
    against = against or gains.control(summary)
    scene = strips.arm_strips(summary, against) if against else None
    if scene is None:
        raise UserError(f"{path}: this summary has no two arms to compare")
    save(scene, path)


def forgetting(summary: Mapping[str, Any], allocation: str, path: str | Path) -> None:
    """Heat map: each expert on each language against the seed."""
    if allocation not in summary["matrix"]:
        known = ", ".join(summary["matrix"]) or "none"
        raise UserError(f"{path}: no matrix of {allocation!r} in this summary; it has: {known}")
    save(heat.forgetting(summary, allocation), path)


def shares(summary: Mapping[str, Any], allocation: str, path: str | Path) -> None:
    """Heat map: which part of each language went to which expert."""
    save(heat.shares(summary, allocation), path)


def language_tree(text: str, owner: Mapping[str, str], path: str | Path) -> None:
    """The typological tree (Newick), coloured by the expert that owns each language."""
    save(tree.tree(newick.parse(text), owner), path)


def gain_against(
    series: Mapping[str, Sequence[tuple[float, Gain]]],
    variable: str,
    path: str | Path,
    *,
    against: str = "dense",
    log: bool = True,
) -> None:
    """Line plot: a gain against seed tokens, k, budget or size; see `points` for the series."""
    save(trend.trend(series, variable, against=against, log=log), path)


def points(
    summaries: Mapping[float, Mapping[str, Any]], arm: str, against: str = "dense"
) -> list[tuple[float, Gain]]:
    """One series of `gain_against`: value of the variable -> that run's summary."""
    return [(value, gains.overall(summaries[value], arm, against)) for value in sorted(summaries)]


def _pair(summary: Mapping[str, Any], arm: str | None, against: str | None) -> tuple[str, str]:
    headline = summary.get("headline") or {}
    arm = arm or headline.get("arm")
    against = against or gains.control(summary)
    if arm is None or against is None or not {arm, against} <= set(summary["arms"]):
        raise UserError(f"no such arms to compare: {arm}, {against}")
    return arm, against


def _with_margin(scene: Scene) -> Scene:
    from dataclasses import replace

    from xelm.reporting.drawing import Box, Dot, Label, Line, Mark

    def moved(mark: Mark) -> Mark:
        match mark:
            case Line():
                return replace(
                    mark, points=tuple((x + _MARGIN, y + _MARGIN) for x, y in mark.points)
                )
            case Box() | Dot() | Label():
                return replace(mark, x=mark.x + _MARGIN, y=mark.y + _MARGIN)

    marks = [moved(mark) for mark in scene.marks]
    return Scene(scene.width + 2 * _MARGIN, scene.height + 2 * _MARGIN, scene.title, marks)
