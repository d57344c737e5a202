"""The results on a terminal: headline and budgets, the table, what the gain is made of."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xelm.reporting import arms, gains, standings
from xelm.reporting.arms import Arm
from xelm.reporting.pictures.frame import language_name
from xelm.reporting.scale import signed
from xelm.reporting.standings import Cell, Standings

_UNLIMITED = 10_000


def show(summary: Mapping[str, Any], console: Console | None = None) -> None:
    """Print everything a reader of a terminal wants, as wide as the terminal is.

    Where it is no terminal, every arm has its column.
    """
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=_UNLIMITED)
    _say(console, first_line(summary))
    for table in standings.tables(summary):
        console.print()
        chosen = fitting(summary, table, console.width)
        console.print(_drawn(summary, table, chosen))
        hidden = len(table.arms) - len(chosen)
        if hidden:
            _say(console, f"{hidden} more arms in report.html.")
        _say(console, standings.legend(summary, table))
    for line in _remarks(summary):
        _say(console, line)


def first_line(summary: Mapping[str, Any]) -> str:
    """Headline and budget statement."""
    headline = summary.get("headline")
    text = headline["text"] if headline else f"{summary['name']}: no experts to compare."
    return f"{text} {summary['budgets']['text']}".strip()


def fitting(summary: Mapping[str, Any], table: Standings, room: int) -> Sequence[Arm]:
    """The arms that fit beside each other: the headline's and its controls before all others."""
    headline = (summary.get("headline") or {}).get("arm")
    allocation = arms.parse(headline).allocation if headline else None

    def importance(arm: Arm) -> tuple[bool, bool, bool, bool]:
        return (
            arm.name not in {headline, table.control},
            arm.kind != "seed",
            arm.allocation != allocation,
            arm.kind in {"top1", "mixture"},
        )

    left = room - 4 - max(len(language_name(code)) for code in summary["languages"])
    chosen = set()
    for arm in sorted(table.arms, key=importance):
        left -= _width(arm)
        if left < 0:
            break
        chosen.add(arm)
    return [arm for arm in table.arms if arm in chosen]


def _width(arm: Arm) -> int:
    return max(7, *map(len, arm.lines)) + 2


def _drawn(summary: Mapping[str, Any], table: Standings, chosen: Sequence[Arm]) -> Table:
    title = f"bits per byte on {standings.title(summary, table)}, lower is better"
    drawn = Table(title=title, title_justify="left", title_style="dim", box=None, pad_edge=False)
    drawn.add_column("")
    for arm in chosen:
        drawn.add_column("\n".join(arm.lines), justify="right", vertical="bottom", no_wrap=True)
    for row in table.rows:
        name = language_name(row.language) if row.language else "Mean"
        if row.language is None:
            drawn.add_section()
        style = "bold" if row.language is None else ""
        drawn.add_row(name, *(_text(row.cells.get(arm)) for arm in chosen), style=style)
    return drawn


def _text(cell: Cell | None) -> str:
    """Figures end in one place for the mark; the winner is green, and pointed at without colour."""
    if cell is None:
        return "- "
    text = f"{'▸' if cell.best else ''}{cell.value:.3f}{cell.mark or ' '}"
    return f"[bold green]{text}[/]" if cell.best else text


def _remarks(summary: Mapping[str, Any]) -> list[str]:
    """Of each allocation: what its gain is made of, what was forgotten, how well it is routed."""
    lines = []
    for name in arms.allocations(summary):
        parts = [*_gain_parts(summary, name), *_forgetting(summary, name), *_routing(summary, name)]
        if parts:
            lines.append(f"{name}: {'; '.join(parts)}.")
    return lines


def _gain_parts(summary: Mapping[str, Any], name: str) -> list[str]:
    own, matched = f"{name}/own", f"{arms.MATCHED}/{name}"
    if not {own, "dense"} <= set(summary["arms"]):
        return []
    whole = gains.overall(summary, own, "dense").percent
    if matched not in summary["arms"]:
        return [f"gain over dense {signed(whole)} %"]
    mixture = gains.overall(summary, matched, "dense").percent
    return [
        f"gain over dense {signed(whole)} %, of it {signed(mixture)} by the mixture of text "
        f"and {signed(whole - mixture)} by separation"
    ]


def _forgetting(summary: Mapping[str, Any], name: str) -> list[str]:
    matrix = summary["matrix"].get(name)
    if not matrix or matrix.get("others") is None:
        return []
    return [f"outside their languages experts are {signed(matrix['others'], 3)} from the seed"]


def _routing(summary: Mapping[str, Any], name: str) -> list[str]:
    routed = summary["routed"].get(name)
    if not routed or not routed.get("first"):
        return []
    share = 100 * fmean(routed["first"].values())
    return [f"the router puts the owner first for {share:.1f} % of tokens"]


def _say(console: Console, line: str) -> None:
    if line:
        console.print(escape(line), highlight=False)
