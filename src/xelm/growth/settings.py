"""`--set key=value` of an addition: training settings as YAML values."""

from collections.abc import Sequence
from typing import Any

import yaml

from xelm.errors import UserError


def overrides(given: Sequence[str]) -> dict[str, Any]:
    """`["batch=16", "learning_rate=1e-3"]` -> plain values; UserError for what is not key=value."""
    found: dict[str, Any] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise UserError(f"--set {each}: write it as key=value, such as batch=16")
        found[key] = _number(yaml.safe_load(value))
    return found


def _number(value: Any) -> Any:
    """YAML reads `1e-3` as a string."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
