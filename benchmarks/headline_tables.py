"""The tables and pictures of the sixteen languages: what was gained, of what it is made, on what it
depends. Markdown from the summaries that benchmarks/keep.py put into docs/results/.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from xelm.corpus.languages import name as language_name
from xelm.reporting import plots

Summary = Mapping[str, Any]
RESULTS = Path(__file__).parents[1] / "docs" / "results"
OWN, DENSE = "typology-8/own", "dense"


def overview(summary: Summary) -> str:
    """Every arm: its settings, mean bits per byte, and against dense."""
    lines = [
        "| arm | batch | learning rate | tokens | bits per byte | against dense | below dense |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    dense = summary["arms"][DENSE]["bits_per_byte"]
    for arm, row in summary["arms"].items():
        if row["documents"] == "all":
            ours = row["bits_per_byte"]
            below = f"{sum(ours[code] < dense[code] for code in ours)} of {len(ours)}"
            unsaid = "by expert" if row["tokens"] else ""
            settings = " | ".join(_setting(row[key], unsaid) for key in ("batch", "learning_rate"))
            figures = f"{row['tokens']:,} | {_mean(ours):.4f} | {_change(ours, dense)}"
            lines.append(f"| {arm} | {settings} | {figures} | {below} |")
    return "\n".join(lines)


def split(summary: Summary) -> str:
    """Gain over dense in percent by language: what the mixture of text gives, what separation."""
    teams = [name for name, gain in summary["gains"].items() if gain["separation"]]
    heads = [f"{team}: {part}" for team in teams for part in ("total", "mixture", "separation")]
    lines = ["| language | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    rows = {code: _parts(summary, teams, code) for code in summary["languages"]}
    for code, parts in rows.items():
        lines.append(
            f"| {language_name(code)} | " + " | ".join(f"{x:+.2f} %" for x in parts) + " |"
        )
    means = [fmean(column) for column in zip(*rows.values(), strict=True)]
    return "\n".join([*lines, "| **mean** | " + " | ".join(f"{x:+.2f} %" for x in means) + " |"])


def _parts(summary: Summary, teams: Sequence[str], code: str) -> list[float]:
    dense = summary["arms"][DENSE]["bits_per_byte"][code]
    gains = summary["gains"]
    return [
        100 * gains[team][part][code] / dense
        for team in teams
        for part in ("total", "mixture", "separation")
    ]


def dependence(summaries: Mapping[int, Summary], variable: str) -> str:
    """Means over languages for each value of what was varied, and how each arm was trained."""
    lines = [
        f"| {variable} | seed | dense | typology-8 | gain | below dense | dense: batch, rate "
        "| typology-8: batch, rate |",
        "|---:|" + "---:|" * 7,
    ]
    for value, summary in summaries.items():
        rows = [summary["arms"][arm] for arm in ("seed", DENSE, OWN)]
        arms = [row["bits_per_byte"] for row in rows]
        below = sum(arms[2][code] < arms[1][code] for code in arms[2])
        figures = " | ".join(f"{_mean(row):.4f}" for row in arms)
        gain = f"{100 * (1 - _mean(arms[2]) / _mean(arms[1])):+.2f} %"
        how = " | ".join(
            ", ".join(_setting(row[key], "by expert") for key in ("batch", "learning_rate"))
            for row in rows[1:]
        )
        lines.append(f"| {value:,} | {figures} | {gain} | {below} of {len(arms[2])} | {how} |")
    return "\n".join(lines)


def forgetting(summary: Summary, team: str = "typology-8") -> str:
    """Every expert on its own languages and on all others, against the seed."""
    matrix = summary["matrix"][team]
    lines = ["| expert | own languages | all others | worst of them |", "|---|---:|---:|---|"]
    for expert, row in matrix["bits_per_byte"].items():
        owned = summary["allocations"][team]["experts"][expert]
        change = {code: 100 * (row[code] / matrix["seed"][code] - 1) for code in row}
        own = fmean(change[code] for code in owned)
        others = {code: value for code, value in change.items() if code not in owned}
        worst = max(others, key=lambda code: others[code])
        lines.append(
            f"| {expert} | {own:+.1f} % | {fmean(others.values()):+.1f} % "
            f"| {language_name(worst)} {others[worst]:+.1f} % |"
        )
    return "\n".join(lines)


def pictures(main: Summary, seeds: Mapping[int, Summary], budgets: Mapping[int, Summary]) -> None:
    """Gain against k, seed and budget, and the forgetting matrix."""
    arms = {k: f"typology-{k}/own" for k in (2, 4, 8, 16)}
    by_k = [point for k, arm in arms.items() for point in plots.points({k: main}, arm)]
    series = {"by typology": by_k}
    plots.gain_against(series, "experts (k)", RESULTS / "sixteen-languages-k.svg")
    if "typology-8" in main["matrix"]:
        plots.forgetting(main, "typology-8", RESULTS / "sixteen-languages-forgetting.svg")
    for name, variable, found in (
        ("seeds", "tokens the seed was trained on", seeds),
        ("budgets", "tokens of every arm", budgets),
    ):
        if len(found) > 1:  # the headline alone depends on nothing
            ours = {OWN: plots.points(found, OWN)}
            plots.gain_against(ours, variable, RESULTS / f"sixteen-languages-{name}.svg")


def _mean(row: Mapping[str, float]) -> float:
    return fmean(row.values())


def _change(ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    return f"{100 * (_mean(ours) / _mean(theirs) - 1):+.2f} %"


def _setting(value: float | None, unsaid: str) -> str:
    return unsaid if value is None else f"{value:g}"
