"""Tables of what a sweep found: bits per byte on dev of every setting tried, the best in bold."""

import re
from collections.abc import Mapping
from typing import Any

Scores = Mapping[str, float]
"""Setting, such as `b8-lr0.002` -> bits per byte."""


def by_arm(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """A row a setting, a column an arm: means over languages. As head and rows of texts."""
    arms = {arm: about["scores"] for arm, about in sweep["arms"].items()}
    rows = [[name, *(_cell(one, name) for one in arms.values())] for name in _settings(arms)]
    return {"head": ["setting", *arms], "rows": rows}


def by_expert(sweep: Mapping[str, Any], team: str) -> dict[str, Any]:
    """A row an expert, a column a setting: means over its own languages."""
    experts = {name: one["scores"] for name, one in sweep["arms"][team]["experts"].items()}
    settings = _settings(experts)
    rows = [[name, *(_cell(one, setting) for setting in settings)] for name, one in experts.items()]
    return {"head": ["expert", *settings], "rows": rows}


def _settings(tried: Mapping[str, Scores]) -> list[str]:
    """All that were tried, by batch and then rate."""
    names = {name for scores in tried.values() for name in scores}
    return sorted(names, key=lambda s: [float(x) for x in re.findall(r"[\d.]+(?:e-?\d+)?", s)])


def _cell(scores: Scores, setting: str) -> str:
    if setting not in scores:
        return ""
    text = f"{scores[setting]:.4f}"
    return f"**{text}**" if scores[setting] == min(scores.values()) else text
