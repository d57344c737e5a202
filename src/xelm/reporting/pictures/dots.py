"""Gain per language: where every language stands against the control, and what its gain is of.

A row holds the hollow dot of dense-matched (the gain of other proportions alone), the full dot of
the experts, and a line from one to the other: the gain that separation adds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xelm.reporting import arms, gains
from xelm.reporting.drawing import Box, Label, Line, Mark, Scene, rule, widest
from xelm.reporting.gains import Gain
from xelm.reporting.pictures import frame
from xelm.reporting.scale import Scale, around, signed

_ROW = 23.0


@dataclass(frozen=True)
class Row:
    """A language's gains over the control; `matched` is None where there is no such arm."""

    name: str
    ours: Gain
    matched: Gain | None


def gain_dots(summary: Mapping[str, Any], arm: str, against: str, width: float = 760.0) -> Scene:
    """The picture for one arm of experts against a control, languages by falling gain."""
    ours = arms.parse(arm)
    matched = f"{arms.MATCHED}/{ours.allocation}"
    has_matched = matched in summary["arms"] and matched != against and ours.is_team
    rows = _rows(summary, arm, against, matched if has_matched else None)
    better = sum(row.ours.percent > 0 for row in rows[1:])
    title = f"{arm} against {against}: fewer bits per byte in {better} of {len(rows) - 1} languages"
    scene = Scene(width, 0, title)
    names = arms.allocations(summary)
    top = _legend(scene, arm, matched if has_matched else None, names) + 20
    left = widest(row.name for row in rows) + 14
    bottom = top + _ROW * (len(rows) + 0.6)
    x = Scale(*_range(rows), left + 8, width - 64)
    frame.percent_grid(scene, x, top, bottom, against)
    for position, row in enumerate(rows):
        y = top + _ROW * (position + 0.65 + (0.4 if position else 0))
        _row(scene, row, arms.parse(arm), names, x, y, mean=position == 0)
    scene.add(rule(0, top + _ROW * 1.3, width, top + _ROW * 1.3))
    scene.add(
        Label(width, bottom + 12, f"fewer bits per byte than {against} →", "muted", 11.5, "end")
    )
    scene.height = bottom + 24
    return scene


def _rows(summary: Mapping[str, Any], arm: str, against: str, matched: str | None) -> list[Row]:
    """The mean, then languages by falling gain."""
    ours = gains.by_language(summary, arm, against)
    theirs = gains.by_language(summary, matched, against) if matched else {}
    rows = [Row(frame.language_name(code), ours[code], theirs.get(code)) for code in ours]
    rows.sort(key=lambda row: -row.ours.percent)
    middle = gains.overall(summary, matched, against) if matched else None
    return [Row("Mean", gains.overall(summary, arm, against), middle), *rows]


def _range(rows: Sequence[Row]) -> tuple[float, float]:
    found = [g for row in rows for g in (row.ours, row.matched) if g is not None]
    values = [value for gain in found for value in (gain.percent, gain.low, gain.high)]
    return around((value for value in values if value is not None), include=0.0)


def _legend(scene: Scene, arm: str, matched: str | None, names: Sequence[str]) -> float:
    ours = arms.parse(arm)
    entries = [(frame.key_dot(arms.dot(ours, names, 0, 0)), arm)]
    if matched:
        entries.append((frame.key_dot(arms.dot(arms.parse(matched), names, 0, 0)), matched))
        entries.append((frame.key_line(arms.colour(ours, names)), "gain by separation"))
    entries.append((_band(arms.colour(ours, names)), "confidence interval"))
    return frame.legend(scene, entries, 0, 10)


def _band(colour: str) -> Callable[[float, float], Sequence[Mark]]:
    return lambda x, y: [Box(x - 7, y - 4.5, 14, 9, colour, 0.22, radius=2)]


def _row(
    scene: Scene, row: Row, arm: arms.Arm, names: Sequence[str], x: Scale, y: float, mean: bool
) -> None:
    colour = arms.colour(arm, names)
    scene.add(Label(0, y, row.name, "ink", 13, bold=mean))
    if row.ours.low is not None and row.ours.high is not None:
        start, end = x(row.ours.low), x(row.ours.high)
        scene.add(Box(start, y - 4.5, end - start, 9, colour, 0.22, radius=2))
    if row.matched is not None:
        scene.add(Line(((x(row.matched.percent), y), (x(row.ours.percent), y)), colour, 2.5))
        control = arms.Arm(f"{arms.MATCHED}/{arm.allocation}", arm.allocation, arms.MATCHED)
        scene.add(arms.dot(control, names, x(row.matched.percent), y, 4.5, _hint(row, row.matched)))
    scene.add(arms.dot(arm, names, x(row.ours.percent), y, 5.5, _hint(row, row.ours)))
    tone = "ink" if row.ours.significant or row.ours.p_adjusted is None else "muted"
    text = f"{signed(row.ours.percent)} %"
    scene.add(Label(scene.width, y, text, tone, 12.5, "end", bold=mean))


def _hint(row: Row, gain: Gain) -> str:
    text = f"{row.name}: {signed(gain.percent, 2)} %"
    if gain.low is not None and gain.high is not None:
        text += f" [{signed(gain.low, 2)}, {signed(gain.high, 2)}]"
    return text if gain.p_adjusted is None else f"{text}, p {p_value(gain.p_adjusted)}"


def p_value(p: float) -> str:
    """`= .012`, or `< .001`."""
    return "< .001" if p < 0.001 else f"= {p:.3f}".replace("0.", ".")
