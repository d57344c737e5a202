"""The table of results: a row a language, a column an arm, the best of each row marked.

Terminal, page and model card show the same rows, so they are made once, here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from xelm.reporting import arms, gains
from xelm.reporting.arms import Arm

BETTER, BETTER_THAN_BOTH, WORSE = "*", "†", "↑"


@dataclass(frozen=True)
class Cell:
    """Bits per byte of an arm in a language."""

    value: float
    best: bool = False
    mark: str = ""
    """`*` significantly below the control, `†` below its dense-matched too, `↑` above."""


@dataclass(frozen=True)
class Row:
    """A language, or the mean (`language` None); arms without a figure are left out."""

    language: str | None
    cells: Mapping[Arm, Cell]


@dataclass(frozen=True)
class Standings:
    """One table; all its figures are of the same documents."""

    arms: Sequence[Arm]
    rows: Sequence[Row]
    """Languages as they are, the mean last."""
    control: str | None
    routed: bool
    """On the routed documents (the first of each language), first data order."""


def tables(summary: Mapping[str, Any]) -> list[Standings]:
    """One table; two where routed arms stand on fewer documents or data orders than the others."""
    everything = arms.of(summary)
    figures = {arm: summary["arms"][arm.name]["bits_per_byte"] for arm in everything}
    routed = [arm for arm in everything if is_routed(summary, arm)]
    if not routed or (summary["routed_bytes"] is None and summary["orders"] == 1):
        return [_table(summary, figures, everything, routed=False)]
    whole = [arm for arm in everything if arm not in routed]
    shared = {arm: summary["routed_arms"][arm.name] for arm in everything}
    return [
        _table(summary, {arm: figures[arm] for arm in whole}, whole, routed=False),
        _table(summary, shared, routed, routed=True),
    ]


def is_routed(summary: Mapping[str, Any], arm: Arm) -> bool:
    """Was the arm scored on the routed documents only, in the first data order?"""
    return bool(summary["arms"][arm.name].get("documents", "all") == "routed")


def _table(
    summary: Mapping[str, Any],
    figures: Mapping[Arm, Mapping[str, float]],
    tested: Sequence[Arm],
    routed: bool,
) -> Standings:
    """`tested` are the arms whose tests were made on these very figures: they get marks."""
    control = gains.control(summary)
    names = {arm.name for arm in tested}
    marks = {key: mark for key, mark in _marks(summary, control).items() if key[0] in names}
    rows = []
    for code in summary["languages"]:
        values = {arm: of[code] for arm, of in figures.items() if code in of}
        rows.append(_row(code, values, {arm: marks.get((arm.name, code), "") for arm in values}))
    complete = {
        arm: fmean(of[code] for code in summary["languages"])
        for arm, of in figures.items()
        if all(code in of for code in summary["languages"])
    }
    means = {
        arm: _mean_mark(summary, arm.name, control) if arm in tested else "" for arm in complete
    }
    return Standings(list(figures), [*rows, _row(None, complete, means)], control, routed)


def _row(code: str | None, values: Mapping[Arm, float], marks: Mapping[Arm, str]) -> Row:
    least = min(values.values(), default=0.0)
    cells = {arm: Cell(value, value == least, marks[arm]) for arm, value in values.items()}
    return Row(code, cells)


def _marks(summary: Mapping[str, Any], control: str | None) -> dict[tuple[str, str], str]:
    """(arm, language) -> mark, from the tests; Holm-adjusted."""
    alpha = summary["significance"]["alpha"]
    below: dict[tuple[str, str], set[str]] = {}
    marks: dict[tuple[str, str], str] = {}
    for row in summary["comparisons"]:
        if row["p_adjusted"] >= alpha:
            continue
        key = (row["arm"], row["language"])
        if row["difference"] < 0:
            below.setdefault(key, set()).add(row["against"])
        elif row["against"] == control:
            marks[key] = WORSE
    for (name, code), others in below.items():
        if control in others:
            matched = f"{arms.MATCHED}/{arms.parse(name).allocation}"
            marks[name, code] = BETTER_THAN_BOTH if matched in others else BETTER
    return marks


def _mean_mark(summary: Mapping[str, Any], name: str, control: str | None) -> str:
    if control is None:
        return ""
    matched = f"{arms.MATCHED}/{arms.parse(name).allocation}"
    outcome = {
        row["against"]: row["difference"]
        for row in summary["means"]
        if row["arm"] == name and row["p"] < summary["significance"]["alpha"]
    }
    if outcome.get(control, 0) > 0:
        return WORSE
    if outcome.get(control, 0) == 0:
        return ""
    return BETTER_THAN_BOTH if outcome.get(matched, 0) < 0 else BETTER


def title(summary: Mapping[str, Any], table: Standings) -> str:
    """What the figures are of: `the first 30,000 bytes of each language, first data order`."""
    if not table.routed:
        return "held-out text"
    parts = []
    if summary["routed_bytes"] is not None:
        parts.append(f"the first {summary['routed_bytes']:,} bytes of each language")
    if summary["orders"] > 1:
        parts.append("the first data order")
    return ", ".join(parts)


def legend(summary: Mapping[str, Any], table: Standings) -> str:
    """What the marks mean, and on what the figures stand."""
    if table.control is None or not summary["comparisons"]:
        return ""
    test = summary["significance"]
    with_matched = any(arm.kind == arms.MATCHED for arm in table.arms)
    parts = [f"{BETTER} significantly below {table.control}"]
    if with_matched:
        parts.append(f"{BETTER_THAN_BOTH} below {table.control} and its dense-matched")
    parts.append(f"{WORSE} significantly above {table.control}")
    how = f"paired bootstrap over {test['units']}, Holm over languages, p < {test['alpha']:g}"
    return f"{', '.join(parts)} ({how})."
