"""Heat maps: rows by columns, a colour and where there is room a figure in every cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xelm.reporting.drawing import Box, Label, Scene, widest
from xelm.reporting.pictures import frame
from xelm.reporting.scale import signed

_STRONGEST = 0.68  # opacity at which ink on the colour still reads well, light and dark


@dataclass(frozen=True)
class Cell:
    """One cell; `strength` from 0 (paper) to 1."""

    text: str
    strength: float
    colour: str = "part"
    framed: bool = False
    hint: str = ""


def grid(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], Cell],
    title: str,
    width: float = 760.0,
) -> Scene:
    """A heat map that fills `width`; columns get their names on top, slanting never.

    Args:
        cells: (row, column) -> cell; missing ones stay empty.
    """
    label_size = 11.0 if width < frame.NARROW else 12.5
    left = min(widest(rows, label_size), 0.4 * width) + 10
    side = (width - left - 2) / max(len(columns), 1)
    height = min(max(side * 0.62, 19.0), 30.0)
    crowded = widest(columns, label_size) > side - 2
    top = 22.0 + (13.0 if crowded else 0.0)
    scene = Scene(width, top + height * len(rows) + 4, title)
    for number, column in enumerate(columns):
        lift = 13.0 if crowded and number % 2 else 0.0  # every other name one line up
        at = left + side * (number + 0.5)
        scene.add(Label(at, top - 10 - lift, column, "ink", label_size, "middle"))
    for number, row in enumerate(rows):
        y = top + height * number
        scene.add(
            Label(
                left - 8,
                y + height / 2,
                _cut(row, left, label_size),
                "ink",
                label_size,
                "end",
                hint=row,
            )
        )
        for position, column in enumerate(columns):
            cell = cells.get((row, column))
            if cell is not None:
                _cell(scene, cell, left + side * position, y, side, height)
    _frames(scene, rows, columns, cells, (left, top), (side, height))
    return scene


def _cut(text: str, room: float, size: float) -> str:
    fits = int((room - 8) / (size * 0.56))
    return text if len(text) <= fits else text[: fits - 1] + "…"


def _cell(scene: Scene, cell: Cell, x: float, y: float, side: float, height: float) -> None:
    strength = max(0.0, min(cell.strength, 1.0)) * _STRONGEST
    scene.add(
        Box(x + 1, y + 1, side - 2, height - 2, cell.colour, strength, radius=2, hint=cell.hint)
    )
    size = min(11.5, (side - 3) / (0.56 * max(len(cell.text), 1)))
    if size >= 8.5 and cell.text:
        scene.add(Label(x + side / 2, y + height / 2, cell.text, "ink", size, "middle"))


def _frames(
    scene: Scene,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], Cell],
    corner: tuple[float, float],
    size: tuple[float, float],
) -> None:
    """Over everything else, so that no neighbour covers a frame."""
    for number, row in enumerate(rows):
        for position, column in enumerate(columns):
            cell = cells.get((row, column))
            if cell is not None and cell.framed:
                x, y = corner[0] + size[0] * position, corner[1] + size[1] * number
                scene.add(
                    Box(x + 1, y + 1, size[0] - 2, size[1] - 2, None, outline="ink", radius=2)
                )


def forgetting(summary: Mapping[str, Any], allocation: str, width: float = 760.0) -> Scene:
    """Each expert on each language against the seed, percent of bits per byte; own cells framed."""
    matrix, owner = summary["matrix"][allocation], summary["allocations"][allocation]["owner"]
    shares = summary["allocations"][allocation]["experts"]
    experts, codes = list(matrix["bits_per_byte"]), list(matrix["seed"])
    change = {
        (expert, code): 100 * (matrix["bits_per_byte"][expert][code] / matrix["seed"][code] - 1)
        for expert in experts
        for code in codes
        if code in matrix["bits_per_byte"][expert]
    }
    full = _strong(change.values())
    cells = {
        (expert, code): Cell(
            signed(value, 1 if abs(value) < 9.95 else 0),
            abs(value) / full,
            "better" if value < 0 else "worse",
            owner.get(code) == expert,
            f"{expert} on {frame.language_name(code)}: {signed(value, 2)} % bits per byte "
            f"against the seed{'' if code in shares.get(expert, {}) else ' (not in its share)'}",
        )
        for (expert, code), value in change.items()
    }
    title = f"{allocation}: change of bits per byte against the seed, expert by language"
    return _turned(experts, codes, cells, title, width)


def shares(summary: Mapping[str, Any], allocation: str, width: float = 760.0) -> Scene:
    """Which part of each language's tokens went to which expert, percent."""
    experts = summary["allocations"][allocation]["experts"]
    codes = [code for code in summary["languages"] if any(code in e for e in experts.values())]
    whole = {code: sum(e.get(code, 0) for e in experts.values()) for code in codes}
    cells = {
        (name, code): Cell(
            f"{100 * tokens / whole[code]:.0f}" if tokens / whole[code] >= 0.005 else "",
            tokens / whole[code],
            hint=f"{name}: {100 * tokens / whole[code]:.1f} % of {frame.language_name(code)}",
        )
        for name, about in experts.items()
        for code, tokens in about.items()
        if whole.get(code)
    }
    title = f"{allocation}: percent of each language's tokens by expert"
    return _turned(list(experts), codes, cells, title, width)


def _strong(values: Any) -> float:
    """The change whose colour is full: the 90th percentile, lest one outlier bleach the rest."""
    ranked = sorted(abs(value) for value in values)
    return max(ranked[int(0.9 * (len(ranked) - 1))], 1e-9) if ranked else 1.0


def _turned(
    experts: Sequence[str],
    codes: Sequence[str],
    cells: Mapping[tuple[str, str], Cell],
    title: str,
    width: float,
) -> Scene:
    """Experts as rows; as columns where that many languages would not fit beside each other."""
    room = 30 if width >= frame.NARROW else 6
    if len(codes) <= room or len(experts) >= len(codes):
        return grid(experts, codes, cells, title, width)
    turned = {(frame.language_name(code), expert): cell for (expert, code), cell in cells.items()}
    return grid([frame.language_name(code) for code in codes], experts, turned, title, width)
