"""Write the tables and pictures of docs/ and README from the summaries kept in docs/results/.

    python benchmarks/tables.py [--check]

A table stands between `<!-- table NAME -->` and `<!-- end -->`; nothing else of a page is touched.
`--check` writes nothing and fails if a page would change.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import ensemble_tables
import growth_tables
import headline_tables
import sweep_tables
import trainer_tables
from xelm.corpus.languages import name as language_name
from xelm.reporting import plots

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
_MARK = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _series(variable: str) -> dict[int, Any]:
    """Value in tokens -> summary, of sixteen-languages-VARIABLE-<n>m."""
    found = {
        int(path.stem.rsplit("-", 1)[1].removesuffix("m")) * 1_000_000: _read(path.stem)
        for path in RESULTS.glob(f"sixteen-languages-{variable}-*m.json")
    }
    return dict(sorted(found.items()))


def _seeds() -> dict[int, Any]:
    """Tokens of the seed -> summary: the headline's seed, of 20M tokens, among the others."""
    return dict(sorted(({20_000_000: _read("sixteen-languages")} | _series("seed")).items()))


def arms_table(summary: Mapping[str, Any], arms: list[str]) -> str:
    """Bits per byte: languages as rows, arms as columns, and the first X-ELM arm against dense."""
    own = next(arm for arm in arms if arm.endswith("/own"))
    figures = {arm: summary["arms"][arm]["bits_per_byte"] for arm in arms}
    lines = [
        "| language | " + " | ".join(arms) + f" | {own} against dense |",
        "|---|" + "---:|" * (len(arms) + 1),
    ]
    for language in summary["languages"]:
        row = [figures[arm][language] for arm in arms]
        change = figures[own][language] / figures["dense"][language] - 1
        mark = _significance(summary, own, language)
        cells = " | ".join(f"{value:.4f}" for value in row)
        lines.append(f"| {language_name(language)} | {cells} | {change:+.2%}{mark} |")
    means = [fmean(figures[arm].values()) for arm in arms]
    change = means[arms.index(own)] / means[arms.index("dense")] - 1
    cells = " | ".join(f"{value:.4f}" for value in means)
    lines.append(f"| **mean** | {cells} | **{change:+.2%}** |")
    return "\n".join(lines)


def _significance(summary: Mapping[str, Any], arm: str, language: str) -> str:
    for row in summary["comparisons"]:
        if (row["arm"], row["against"], row["language"]) == (arm, "dense", language):
            return " *" if row["p_adjusted"] < 0.01 else ""
    return ""


def plain_table(table: Mapping[str, Any]) -> str:
    """A table kept as head and rows of texts."""
    head, rows = table["head"], table["rows"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


ALLOCATION = (
    "balance optimality speed large growth corpus terms silent experts"  # parts of its benchmark
)
DEMO = ["seed", "dense", "dense-matched/typology-8", "typology-8/own", "tfidf-8/own"]
SIX = ["seed", "dense", "dense-matched/typology-3", "typology-3/own", "random-3/own"]
SIXTEEN = ["seed", "dense", "dense-matched/typology-8", "typology-8/own"]
TABLES: dict[str, Callable[[], str]] = {
    "demo": lambda: arms_table(_read("demo-orders"), DEMO),
    "demo-sweep": lambda: plain_table(sweep_tables.by_arm(_read("demo-sweep"))),
    **{
        f"allocation-{part}": lambda part=part: plain_table(_read("allocation")[part])
        for part in ALLOCATION.split()
    },
    "training-bars": lambda: trainer_tables.bars(_read("training")),
    "training-sides": lambda: trainer_tables.sides(_read("training")),
    "preserve": lambda: trainer_tables.preserve(_read("preserve")),
    **{
        f"growth-{table.__name__}": lambda table=table: plain_table(table(_read("growth")))
        for table in growth_tables.TABLES
    },
    "rounds": lambda: plain_table(growth_tables.rounds(_read("rounds"))),
    "six": lambda: arms_table(_read("six-languages"), SIX),
    "sixteen": lambda: arms_table(_read("sixteen-languages"), SIXTEEN),
    "sixteen-orders": lambda: arms_table(_read("sixteen-languages-orders"), SIXTEEN),
    "sixteen-arms": lambda: headline_tables.overview(_read("sixteen-languages")),
    "sixteen-split": lambda: headline_tables.split(_read("sixteen-languages")),
    "sixteen-forgetting": lambda: headline_tables.forgetting(_read("sixteen-languages")),
    "sixteen-sweep": lambda: plain_table(sweep_tables.by_arm(_read("sixteen-languages-sweep"))),
    "sixteen-edges": lambda: plain_table(sweep_tables.by_arm(_read("sixteen-languages-edges"))),
    "sixteen-whole": lambda: headline_tables.overview(_read("sixteen-languages-budget-4m")),
    "sixteen-whole-sweep": lambda: plain_table(
        sweep_tables.by_arm(_read("sixteen-languages-budget-4m")["sweep"])
    ),
    "sixteen-whole-orders": lambda: arms_table(
        _read("sixteen-languages-whole-orders"), ["seed", "dense", "typology-16/own"]
    ),
    "sixteen-choose": lambda: arms_table(
        _read("sixteen-languages-choose"), ["seed", "dense", "typology-16/own"]
    ),
    "sixteen-choose-sweep": lambda: plain_table(
        sweep_tables.by_expert(_read("sixteen-languages-choose")["sweep"], "typology-16")
    ),
    "sixteen-seeds": lambda: headline_tables.dependence(_seeds(), "tokens of the seed"),
    "ensemble": lambda: ensemble_tables.cost(_read("ensemble")),
    "routing": lambda: ensemble_tables.routing(_read("routing")),
    "routing-languages": lambda: ensemble_tables.routing_by_language(
        _read("routing"), "unigram", "lingua"
    ),
    "routers": lambda: ensemble_tables.routers(_read("routers"), "typology-8"),
    "routers-tfidf": lambda: ensemble_tables.routers(_read("routers"), "tfidf-8"),
    "sixteen-budgets": lambda: headline_tables.dependence(_series("budget"), "tokens an arm"),
}


def main() -> int:
    """Rewrite the pages; 1 if `--check` finds one that would change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    changed = False
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        new = _MARK.sub(lambda m: m[1] + TABLES[m[2]]() + "\n" + m[3], text)
        if new != text:
            changed = True
            print(f"{page.relative_to(ROOT)}: {'would change' if check else 'written'}")
            if not check:
                page.write_text(new, encoding="utf-8")
    if not check:
        for name in ("demo-orders", "sixteen-languages"):
            summary = _read(name)
            path = RESULTS / f"{name}.svg"
            plots.gain_by_language(summary, path, arm="typology-8/own", against="dense")
        ensemble_tables.picture(_read("routers"), "typology-8", RESULTS / "routers.svg")
        headline_tables.pictures(_read("sixteen-languages"), _seeds(), _series("budget"))
    return int(check and changed)


if __name__ == "__main__":
    sys.exit(main())
