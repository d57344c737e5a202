"""report.html: whole, self-contained, idempotent, and honest about what was measured."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from xelm.errors import UserError
from xelm.reporting import accounts, report
from xelm.reporting.run_files import RunFiles

_VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags in order, text, and whether every tag that opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes <{self.open[-1:]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"style", "title"}:
            self.text.append(data)


def page(run: Path) -> Page:
    return Page(report.write(run).read_text(encoding="utf-8"))


def test_the_page_begins_with_headline_and_budgets(run: Path, summary: dict[str, Any]) -> None:
    text = re.sub(r"\s+", " ", "".join(page(run).text))
    assert text.index(summary["headline"]["text"].split(":")[0]) < 200
    assert text.index(summary["budgets"]["text"]) < 400


def test_nothing_is_loaded_from_elsewhere(run: Path) -> None:
    found = page(run)
    for tag, attributes in found.tags:
        assert tag not in {"script", "link", "iframe", "object", "img"}
        for key in ("src", "href", "xlink:href", "data", "action"):
            value = attributes.get(key) or "#"
            assert value.startswith("#"), (tag, value)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(" not in text
    assert re.findall(r"https?://[^\"' ]+", text) == [] or set(
        re.findall(r"https?://[^\"' ]+", text)
    ) == {"http://www.w3.org/2000/svg"}  # a name, never fetched


def test_every_section_is_there_and_linked(run: Path) -> None:
    tags = page(run).tags
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    links = {str(attributes["href"])[1:] for tag, attributes in tags if tag == "a"}
    assert links == ids
    assert ids >= {"languages", "arms", "experts", "forgetting", "training", "sweep", "budgets"}
    assert ids >= {"samples", "made"}


def test_the_table_holds_the_figures(run: Path, summary: dict[str, Any]) -> None:
    text = "".join(page(run).text)
    for about in summary["arms"].values():
        for value in about["bits_per_byte"].values():
            assert f"{value:.3f}" in text
    assert "Example 9000, 1 thread" in text
    assert "0123456789ab" in text
    assert "torch 2.13.0" in text


def test_samples_carry_language_and_direction(run: Path, summary: dict[str, Any]) -> None:
    found = page(run)
    marked = [a["lang"] for tag, a in found.tags if tag == "p" and a.get("dir") == "auto"]
    assert set(marked) == set(summary["samples"])
    assert "渡轮去岛上的医院。" in "".join(found.text)


def test_text_of_models_is_escaped(run_of: Callable[[Any], Path], summary: dict[str, Any]) -> None:
    summary["samples"]["en"]["texts"]["dense"] = "</p><script>alert(1)</script> & {{ 7 * 7 }}"
    summary["name"] = "<b>name</b>"
    found = page(run_of(summary))
    assert not any(tag in {"script", "b"} and not a for tag, a in found.tags[5:] if tag == "script")
    assert "</p><script>alert(1)</script> & {{ 7 * 7 }}" in "".join(found.text)


def test_writing_again_does_nothing_until_something_changes(
    run: Path, summary: dict[str, Any]
) -> None:
    path = report.write(run)
    before = path.stat().st_mtime_ns
    assert report.write(run).stat().st_mtime_ns == before
    ledger = run / "models" / "dense" / "ledger.json"
    ledger.write_text(ledger.read_text().replace("Example 9000", "Example 9001"))
    assert report.write(run).stat().st_mtime_ns != before
    assert "Example 9001" in path.read_text(encoding="utf-8")
    path.write_text("damaged", encoding="utf-8")
    assert "Example 9001" in report.write(run).read_text(encoding="utf-8")


def test_only_the_summary_is_needed(tmp_path: Path, summary: dict[str, Any]) -> None:
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "summary.json").write_text(json.dumps(summary))
    ids = {attributes.get("id") for _, attributes in page(tmp_path).tags}
    assert "languages" in ids
    assert "training" not in ids


@pytest.mark.parametrize(
    "change",
    [
        {"matrix": {}},
        {"samples": {}},
        {"sweep": None},
        {"headline": None},
        {"routed": {}, "gains": {}, "means": [], "comparisons": []},
        {"seed": {}},
    ],
)
def test_what_was_not_measured_is_left_out(
    run_of: Callable[[Any], Path], summary: dict[str, Any], change: dict[str, Any]
) -> None:
    found = page(run_of(summary | change))
    ids = {attributes.get("id") for _, attributes in found.tags}
    for key, section in (("matrix", "forgetting"), ("samples", "samples"), ("sweep", "sweep")):
        assert (section in ids) == (key not in change)


def test_a_run_without_allocations(
    run_of: Callable[[Any], Path], summary_of: Callable[..., dict[str, Any]]
) -> None:
    text = "".join(page(run_of(summary_of(("en", "ru"), allocations=()))).text)
    assert "there are no experts to compare" in text


def test_unequal_budgets_are_marked(run_of: Callable[[Any], Path], summary: dict[str, Any]) -> None:
    summary["budgets"] |= {"equal": False, "text": "Budgets differ: dense 400,000, other 300,000."}
    found = page(run_of(summary))
    assert any("unfair" in (a.get("class") or "") for _, a in found.tags)
    assert "Budgets differ" in "".join(found.text)


def test_a_run_that_was_not_evaluated_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"summary\.json"):
        report.write(tmp_path)


def test_budget_rows_are_the_trained_arms(run: Path) -> None:
    rows = {row.arm: row for row in accounts.budgets(RunFiles(run))}
    assert list(rows) == ["dense", "dense-matched/typology-8", "typology-8", "tfidf-8"]
    assert rows["typology-8"].models == 8
    assert rows["dense"].models == 1
    assert rows["dense"].peak_memory == 9.1e8


def test_the_grid_of_the_sweep(summary: dict[str, Any]) -> None:
    grid = accounts.sweep(summary)[0]
    assert (grid.batches, grid.rates) == ([4, 8, 16], [0.001, 0.002, 0.004])
    assert [key for key, cell in grid.cells.items() if cell.chosen] == [(16, 0.002)]
    assert grid.at_edge == ["batch"]


def test_experts_that_chose_are_listed(
    run_of: Callable[[Any], Path], summary: dict[str, Any]
) -> None:
    def one(batch: int, score: float) -> dict[str, Any]:
        chosen = {"batch": batch, "learning_rate": 2e-3}
        return {"scores": {f"b{batch}-lr0.002": score}, "chosen": chosen, "at_edge": []}

    arm = summary["sweep"]["arms"]["typology-8"]
    arm["experts"] = {"en-es": one(8, 2.3456), "hi-ur": one(2, 1.2345)}
    summary["sweep"]["choose"] = "expert"
    (grid,) = [grid for grid in accounts.sweep(summary) if grid.arm == "typology-8"]
    assert [(one.expert, one.batch, one.rate, one.text) for one in grid.choices] == [
        ("en-es", 8, 0.002, "2.3456"),
        ("hi-ur", 2, 0.002, "1.2345"),
    ]
    assert not any(cell.chosen for cell in grid.cells.values())
    text = "".join(page(run_of(summary)).text)
    assert "each of them took its own best" in text and "1.2345" in text


def test_the_page_says_how_the_sweep_searched(
    run_of: Callable[[Any], Path], summary: dict[str, Any]
) -> None:
    said = "until none was better"
    assert said not in "".join(page(run_of(summary)).text)
    summary["sweep"]["search"] = "neighbours"
    del summary["sweep"]["arms"]["dense"]["scores"]["b4-lr0.001"]
    assert said in "".join(page(run_of(summary)).text)


def test_orders_and_sweep_are_no_arms_of_their_own(run: Path) -> None:
    for job in ("orders/1/dense", "sweep/dense/b8-lr0.002", "orders/1"):
        folder = run / "models" / job
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ledger.json").write_text("{}")
    assert all(job.split("/")[0] not in {"orders", "sweep"} for job in RunFiles(run).ledgers)


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.6, "42 s"), (119, "119 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert accounts.duration(seconds) == text
