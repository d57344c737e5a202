"""Markdown of what a sweep found: bits per byte on dev of every setting tried, the best in bold."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Scores = Mapping[str, float]
"""Setting, such as `b8-lr0.002` -> bits per byte."""


def by_arm(sweep: Mapping[str, Any]) -> str:
    """A row a setting, a column an arm: means over languages."""
    arms = {arm: about["scores"] for arm, about in sweep["arms"].items()}
    lines = _head("setting", list(arms))
    for setting in _settings(arms):
        lines.append(_row(setting, [_cell(scores, setting) for scores in arms.values()]))
    return "\n".join(lines)


def by_expert(sweep: Mapping[str, Any], team: str) -> str:
    """A row an expert, a column a setting: means over its own languages."""
    experts = {name: one["scores"] for name, one in sweep["arms"][team]["experts"].items()}
    settings = _settings(experts)
    lines = _head("expert", settings)
    for expert, scores in experts.items():
        lines.append(_row(expert, [_cell(scores, setting) for setting in settings]))
    return "\n".join(lines)


def _settings(tried: Mapping[str, Scores]) -> list[str]:
    """All that were tried, by batch and then rate."""
    names = {name for scores in tried.values() for name in scores}
    return sorted(names, key=lambda s: [float(x) for x in re.findall(r"[\d.]+(?:e-?\d+)?", s)])


def _cell(scores: Scores, setting: str) -> str:
    if setting not in scores:
        return ""
    text = f"{scores[setting]:.4f}"
    return f"**{text}**" if scores[setting] == min(scores.values()) else text


def _head(first: str, columns: Sequence[str]) -> list[str]:
    return [_row(first, columns), "|---|" + "---:|" * len(columns)]


def _row(first: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([first, *cells]) + " |"
