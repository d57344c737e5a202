"""The card of a bundle: made of what is there, silent about what is not, true after growth."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from xelm.errors import UserError
from xelm.reporting import model_card, origin, report

ROUTER = {"folder": "router/1234abcd", "kind": "unigram", "fingerprint": "a" * 64}


def make_bundle(
    folder: Path, experts: dict[str, dict[str, int]], parents: dict[str, str] | None = None
) -> Path:
    """A bundle without weights: manifest and one ledger an expert."""
    entries = [
        {
            **{"name": name, "folder": f"experts/{name}-0", "languages": list(tokens)},
            **{"tokens": tokens, "parent": (parents or {}).get(name, "seed")},
            "fingerprint": name * 3,
        }
        for name, tokens in experts.items()
    ]
    for entry in entries:
        ledger: dict[str, Any] = {"tokens": 50_000, "steps": 24, "batch": 8, "learning_rate": 0.002}
        ledger |= {"flops": 6e11, "seconds": 5.2, "parameters": 1_902_848}
        ledger |= {"hardware": {"cpu": "Example 9000", "threads": 1}}
        write(folder / str(entry["folder"]) / "ledger.json", ledger)
    manifest = {
        **{"format": 1, "revision": 1, "experts": entries, "tokenizer": "b" * 64, "files": {}},
        "seed": {"fingerprint": "c" * 64},
        "router": {**ROUTER, "settings": {"temperature": 0.05, "top_m": None}},
        "history": [{"action": "assemble", "time": "2026-11-23T10:00:00Z", "version": "0.1.0"}],
    }
    write(folder / "xelm.json", manifest)
    return folder


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def card(bundle: Path, run: Path | None = None) -> str:
    return model_card.write(bundle, run).read_text(encoding="utf-8")


def in_run(run: Path, summary: dict[str, Any]) -> Path:
    return make_bundle(
        run / "bundles" / "typology-8", summary["allocations"]["typology-8"]["experts"]
    )


def test_a_bundle_alone_has_a_card(tmp_path: Path) -> None:
    text = card(make_bundle(tmp_path / "team", {"en-es": {"en": 5, "es": 4}, "zh": {"zh": 7}}))
    head = yaml.safe_load(text.split("---")[1])
    assert head["language"] == ["en", "es", "zh"]
    assert head["pipeline_tag"] == "text-generation"
    assert "# team" in text
    assert "| en-es | English, Spanish | 50k | 24 | 8 | 0.002 | 5 s |" in text
    assert "100,000 tokens" in text
    assert "Results" not in text
    assert "{" not in text.split("```")[-1]


def test_ledgers_may_be_missing(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "team", {"en": {"en": 5_000}, "zh": {"zh": 7_000}})
    (bundle / "experts" / "zh-0" / "ledger.json").unlink()
    text = card(bundle)
    assert "| zh | Chinese | 7k | – | – | – | – |" in text
    assert "All experts together" not in text


def test_a_run_gives_results_and_recipe(run: Path, summary: dict[str, Any]) -> None:
    text = card(in_run(run, summary))
    assert summary["headline"]["text"] in text
    assert summary["budgets"]["text"] in text
    assert "name: demo" in text
    assert "allocated by typology" in text
    value = summary["arms"]["typology-8/own"]["bits_per_byte"]["sw"]
    (row,) = [line for line in text.splitlines() if line.startswith("| Swahili")]
    assert row.startswith("| Swahili | vi-sw |")
    assert f"{value:.3f}" in row
    assert "tfidf" not in text
    columns = re.search(r"^\| language.*$", text, re.M)
    assert columns
    assert columns[0].count("|") == row.count("|")


def test_tables_are_whole(run: Path, summary: dict[str, Any]) -> None:
    """Every row of a table has as many cells as its head."""
    block: list[str] = []
    for line in [*card(in_run(run, summary)).splitlines(), ""]:
        if line.startswith("|"):
            block.append(line.strip())
        elif block:
            assert len({row.replace("\\|", "").count("|") for row in block}) == 1, block[0]
            assert set(block[1]) <= set("|-: ")
            block = []


def test_growth_keeps_what_still_holds(run: Path, summary: dict[str, Any]) -> None:
    bundle = in_run(run, summary)
    old = json.loads((bundle / "xelm.json").read_text())
    write(bundle / "revisions" / "1.json", old)
    new = json.loads(json.dumps(old)) | {"revision": 2}
    added = old["experts"][0] | {"name": "sv", "languages": ["sv"], "parent": "en-es"}
    new["experts"] = [e for e in new["experts"] if e["name"] != "vi-sw"] + [added]
    event = {"action": "add", "expert": "sv", "languages": ["sv"], "time": "2026-11-24T08:00:00Z"}
    new["history"].append(event)
    write(bundle / "xelm.json", new)
    text = card(bundle)
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line[:2] == "| "}
    own = {c: f"{x:.3f}" for c, x in summary["arms"]["typology-8/own"]["bits_per_byte"].items()}
    assert own["en"] in rows["English"]  # an expert that is what it was
    assert own["sw"] not in rows["Swahili"]  # its expert has gone
    assert "mixture |" not in text.split("own: the expert")[0]  # another team routes otherwise
    assert "Measured at revision 1" in text
    assert "- sv" in text.split("---")[1]
    assert "│   └── sv: Swedish" in text or "    └── sv: Swedish" in text
    assert "| 2 | 2026-11-24 | add sv (Swedish) |" in text


def test_an_expert_whose_parent_has_gone_is_still_in_the_tree(tmp_path: Path) -> None:
    bundle = make_bundle(
        tmp_path / "team", {"en": {"en": 5}, "pl": {"pl": 4}}, parents={"pl": "ru-old"}
    )
    text = card(bundle)
    assert "ru-old (not in the bundle)\n└── pl: Polish" in text


def test_a_card_that_says_the_same_is_left_alone(run: Path, summary: dict[str, Any]) -> None:
    bundle = in_run(run, summary)
    before = model_card.write(bundle).stat().st_mtime_ns
    assert model_card.write(bundle).stat().st_mtime_ns == before


def test_the_report_writes_the_cards(run: Path, summary: dict[str, Any]) -> None:
    bundle = in_run(run, summary)
    report.write(run)
    assert (bundle / "README.md").is_file()


def test_names_break_no_table(run_of: Callable[[Any], Path], tmp_path: Path) -> None:
    text = card(make_bundle(tmp_path / "team", {"a|b<script>": {"en": 5}}))
    assert "a\\|b&lt;script>" in text


def test_no_folder_of_the_maker_is_published() -> None:
    value = {"train": ["/home/me/text", "C:\\data\\x", "~/more"], "k": 8, "seed": "hub/name"}
    assert origin.without_folders(value) == {
        "train": [".../text", ".../x", ".../more"],
        "k": 8,
        "seed": "hub/name",
    }


def test_no_bundle_no_card(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"xelm\.json"):
        model_card.write(tmp_path)
