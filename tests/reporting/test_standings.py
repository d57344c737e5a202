"""The table of results: winners, significance marks, the mean, and what a terminal shows of it."""

import io
import re
from collections.abc import Callable
from statistics import fmean
from typing import Any

import pytest
from rich.console import Console

from xelm.reporting import arms, gains, standings, terminal


def test_arms_stand_in_order_by_allocation(summary: dict[str, Any]) -> None:
    assert [arm.name for arm in arms.of(summary)] == [
        *("seed", "dense", "dense-matched/typology-8"),
        *("typology-8/own", "typology-8/mixture", "typology-8/top1"),
        *("tfidf-8/own", "tfidf-8/mixture", "tfidf-8/top1"),
    ]


def test_the_headline_leads(summary: dict[str, Any]) -> None:
    summary["headline"]["arm"] = "tfidf-8/own"
    assert arms.allocations(summary) == ["tfidf-8", "typology-8"]


@pytest.mark.parametrize(
    ("name", "allocation", "kind"),
    [
        ("seed", None, "seed"),
        ("dense-matched/a/b", "a/b", "dense-matched"),
        ("typology-8/top1", "typology-8", "top1"),
    ],
)
def test_names_have_parts(name: str, allocation: str | None, kind: str) -> None:
    arm = arms.parse(name)
    assert (arm.allocation, arm.kind) == (allocation, kind)


def test_the_least_of_each_row_is_best(summary: dict[str, Any]) -> None:
    (table,) = standings.tables(summary)
    for row in table.rows:
        best = [arm.name for arm, cell in row.cells.items() if cell.best]
        values = {
            name: about["bits_per_byte"][row.language]
            if row.language
            else fmean(about["bits_per_byte"].values())
            for name, about in summary["arms"].items()
        }
        assert best == [min(values, key=lambda name: values[name])]


def test_marks_say_what_was_significant(summary: dict[str, Any]) -> None:
    for row in summary["comparisons"]:
        row["p_adjusted"], row["difference"] = 1.0, -0.1

    def test(arm: str, against: str, language: str, difference: float, p: float) -> None:
        for row in summary["comparisons"]:
            if (row["arm"], row["against"], row["language"]) == (arm, against, language):
                row["p_adjusted"], row["difference"] = p, difference

    test("typology-8/own", "dense", "en", -0.1, 0.001)
    test("typology-8/own", "dense", "ru", -0.1, 0.001)
    test("typology-8/own", "dense-matched/typology-8", "ru", -0.1, 0.001)
    test("typology-8/own", "dense", "sw", 0.1, 0.001)
    test("typology-8/own", "dense-matched/typology-8", "zh", -0.1, 0.001)
    test("typology-8/own", "dense", "hi", -0.1, 0.01)  # not below alpha
    (table,) = standings.tables(summary)
    marks = {row.language: row.cells[arms.parse("typology-8/own")].mark for row in table.rows}
    assert {code: mark for code, mark in marks.items() if code and mark} == {
        **{"en": "*", "ru": "†", "sw": "↑"},
    }


def test_routed_arms_are_compared_on_their_own_documents(
    summary_of: Callable[..., dict[str, Any]],
) -> None:
    summary = summary_of(routed_bytes=30_000)
    assert "first 30,000 bytes of each language" in printed(summary, 200)
    whole, routed = standings.tables(summary)
    assert {arm.kind for arm in whole.arms} == {"seed", "dense", "dense-matched", "own"}
    assert len(routed.arms) == 9
    own = arms.parse("typology-8/own")
    figures = summary["routed_arms"]["typology-8/own"]
    assert {row.language: row.cells[own].value for row in routed.rows if row.language} == figures
    assert not any(row.cells[own].mark for row in routed.rows)  # tested on all documents only
    # Gains, too, never mix the two sets of documents.
    gain = gains.by_language(summary, "typology-8/mixture", "seed")["en"].percent
    seed, ours = (summary["routed_arms"][a]["en"] for a in ("seed", "typology-8/mixture"))
    assert gain == pytest.approx(100 * (seed - ours) / seed)


def test_routed_arms_of_all_documents_share_the_table(summary: dict[str, Any]) -> None:
    for name, about in summary["arms"].items():
        about["documents"] = "routed" if name.endswith(("top1", "mixture")) else "all"
    (table,) = standings.tables(summary)
    assert any(row.cells[arms.parse("typology-8/mixture")].mark for row in table.rows)
    summary["orders"] = 3  # then they stand for the first order, the others for the mean of three
    assert len(standings.tables(summary)) == 2
    assert "the first data order" in printed(summary, 200)


def test_an_arm_without_a_language_has_no_mean(summary: dict[str, Any]) -> None:
    del summary["arms"]["tfidf-8/own"]["bits_per_byte"]["sw"]
    (table,) = standings.tables(summary)
    arm = arms.parse("tfidf-8/own")
    assert arm not in table.rows[-1].cells
    assert [row.language for row in table.rows if arm not in row.cells] == ["sw", None]


def printed(summary: dict[str, Any], width: int, terminal_: bool = True) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal_, no_color=True)
    terminal.show(summary, console)
    return re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())


def test_the_first_line_is_headline_and_budgets(summary: dict[str, Any]) -> None:
    first = printed(summary, 80, terminal_=False).splitlines()[0].strip()
    assert first == f"{summary['headline']['text']} {summary['budgets']['text']}"


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_table_fits_the_terminal(summary: dict[str, Any], width: int) -> None:
    text = printed(summary, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    rows = [line for line in text.splitlines() if re.match(r"(Arabic|Swahili|Mean) ", line)]
    assert len(rows) == 3
    shown = len(re.findall(r"\d\.\d{3}", rows[0]))
    assert shown >= {40: 2, 60: 4, 80: 5}.get(width, 9)
    assert ("more arm" in text) == (shown < 9)


def test_the_headline_and_its_controls_are_kept_longest(summary: dict[str, Any]) -> None:
    (table,) = standings.tables(summary)
    chosen = [arm.name for arm in terminal.fitting(summary, table, 60)]
    assert chosen[:4] == ["seed", "dense", "dense-matched/typology-8", "typology-8/own"]


def test_a_pipe_gets_every_arm(summary: dict[str, Any]) -> None:
    text = printed(summary, 60, terminal_=False)
    (row,) = [line for line in text.splitlines() if line.startswith("Mean")]
    assert len(re.findall(r"\d\.\d{3}", row)) == 9


def test_a_run_without_experts_has_a_table(summary_of: Callable[..., dict[str, Any]]) -> None:
    summary = summary_of(("en", "zh"), allocations=())
    text = printed(summary, 80)
    assert "no experts to compare" in text
    assert "Chinese" in text
