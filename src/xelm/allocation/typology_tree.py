"""The tree of languages as Newick text, for programs, and as a picture, for people.

A branch point lies at the distance at which its two sides joined. The published pairing takes
left-overs early and at any distance, so a later join can be the closer one. A branch cannot have
negative length: in Newick such a join lies level with its sides, in the picture a step beyond.
"""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from xelm.allocation.typology_groups import Grouping
from xelm.corpus import languages
from xelm.errors import UserError
from xelm.storage import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#6a51a3", "#b2182b")
"""Of groups, in turn; told apart by colour-blind readers too."""
ABOVE = "#888888"
"""Of branches above the groups."""
STEP = 0.03
"""Of the picture's width: how far beyond its sides a join is drawn that was closer than they."""
FORMATS = ("svg", "png", "pdf")


def newick(grouping: Grouping) -> str:
    """The tree in Newick format, one line.

    The path between two languages that join directly is as long as their distance.
    """
    heights = _heights(grouping)
    written = [_quoted(language) for language in grouping.languages]
    for t, merge in enumerate(grouping.merges):
        top = heights[len(grouping.languages) + t]
        sides = [
            f"{written[side]}:{(top - heights[side]) / 2:.6f}" for side in (merge.left, merge.right)
        ]
        written.append(f"({','.join(sides)})")
    return written[-1] + ";\n"


def draw(grouping: Grouping, path: Path) -> None:
    """The tree as a picture, .svg, .png or .pdf: a colour a group, the axis is distance."""
    import matplotlib
    from matplotlib.figure import Figure

    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UserError(f"{path}: a picture ends in {', '.join('.' + one for one in FORMATS)}")
    n = len(grouping.languages)
    with matplotlib.rc_context({"svg.hashsalt": "xelm", "font.size": 10}):
        figure = Figure(figsize=(7.5, 1.1 + 0.27 * n), layout="constrained")
        axes = figure.add_subplot()
        _draw_tree(axes, grouping)
        drawn = BytesIO()
        undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
        figure.savefig(drawn, format=kind, dpi=150, metadata=undated)
    atomic.write_bytes(path, drawn.getvalue())


def _draw_tree(axes: "Axes", grouping: Grouping) -> None:
    n = len(grouping.languages)
    order, colours = _leaf_order(grouping), _colours(grouping)
    rows = [0.0] * n
    for row, leaf in enumerate(order):
        rows[leaf] = row
    farthest = max((merge.distance for merge in grouping.merges), default=0.0)
    heights = _heights(grouping, step=STEP * farthest)
    for t, merge in enumerate(grouping.merges):
        top, colour = heights[n + t], colours[n + t]
        for side in (merge.left, merge.right):
            axes.plot([heights[side], top], [rows[side]] * 2, color=colours[side], lw=2)
        axes.plot([top, top], [rows[merge.left], rows[merge.right]], color=colour, lw=2)
        rows.append((rows[merge.left] + rows[merge.right]) / 2)
    _label(axes, [grouping.languages[leaf] for leaf in order], [colours[leaf] for leaf in order])
    axes.set_title(
        f"{n} languages, k = {len(grouping.groups)}, {grouping.method}", loc="left", fontsize=11
    )
    axes.set_xlim(max(heights[-1] * 1.03, 0.01), 0)  # languages stand on the right


def _label(axes: "Axes", codes: list[str], colours: list[str]) -> None:
    axes.set_ylim(len(codes) - 0.5, -0.5)
    axes.yaxis.tick_right()
    axes.set_yticks(range(len(codes)), [f"{languages.name(code)}  {code}" for code in codes])
    for tick, colour in zip(axes.get_yticklabels(), colours, strict=True):
        tick.set_color(colour)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.set_xlabel("distance at which groups joined")


def _heights(grouping: Grouping, step: float = 0.0) -> list[float]:
    """Of all clusters: 0 for languages, else the distance of the join, or `step` above its sides
    where they are higher."""
    heights = [0.0] * len(grouping.languages)
    for merge in grouping.merges:
        sides = max(heights[merge.left], heights[merge.right])
        heights.append(merge.distance if merge.distance > sides else sides + step)
    return heights


def _leaf_order(grouping: Grouping) -> list[int]:
    """Languages from top to bottom, so that no branches cross."""
    below = [[leaf] for leaf in range(len(grouping.languages))]
    for merge in grouping.merges:
        first, second = sorted((below[merge.left], below[merge.right]), key=min)
        below.append(first + second)
    return below[-1]


def _colours(grouping: Grouping) -> list[str]:
    """Of every cluster and the branch to it: its group's, or grey above the groups."""
    n, k = len(grouping.languages), len(grouping.groups)
    group_of = {one: number for number, group in enumerate(grouping.groups) for one in group}
    groups = [group_of[language] for language in grouping.languages]
    for merge in grouping.merges[: n - k]:
        groups.append(groups[merge.left])
    inside = [COLOURS[group % len(COLOURS)] for group in groups]
    return inside + [ABOVE] * (k - 1)


def _quoted(label: str) -> str:
    plain = all(character.isalnum() or character in "-._" for character in label)
    return label if plain else "'" + label.replace("'", "''") + "'"
