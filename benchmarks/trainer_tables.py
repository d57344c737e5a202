"""Tables of the trainer from docs/results/training.json and preserve.json (see tables.py)."""

from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]
_OPEN = "not yet measured"
_METHODS = ("none", "freeze-middle", "revert-middle", "l2-to-seed", "lora")


def bars(training: Figures) -> str:
    """What was asked of the trainer, and what it does."""
    rows = [
        ("share of the peak of bf16 matrix products", "0.65", _of(training, "loops", _share)),
        ("against the best bare compiled loop", "1.0", _of(training, "loops", _against_best)),
        ("against Trainer at its fastest", "1.2", _of(training, "trainer", _against_best)),
        ("against Trainer's defaults", "2", _of(training, "defaults", _against_defaults)),
        ("two experts on two cores against one", "1.8", _of(training, "two-cores", _two)),
        ("bytes a parameter, a micro-batch aside", "at most 18", _of(training, "memory", _bytes)),
    ]
    return "\n".join(["| | bar | measured |", "|---|---:|---:|", *map(_row, rows)])


def sides(training: Figures) -> str:
    """Tokens per second of every side; ours beside each as measured in the same run."""
    lines = [
        "| side | tokens a second | ours in the same run | ours against it |",
        "|---|---:|---:|---:|",
    ]
    for part in ("loops", "trainer", "defaults"):
        rates = training.get(part, {}).get("tokens_per_second", {})
        for name, rate in rates.items():
            if name != "ours":
                ours = rates["ours"]
                lines.append(f"| {name} | {rate:,.0f} | {ours:,.0f} | {ours / rate:.2f} |")
    return "\n".join(lines)


def preserve(found: Figures) -> str:
    """Methods as rows: gain on own languages, forgetting of the others, in bits per byte."""
    plain = found["methods"]["none"]
    lines = [
        "| `preserve` | learning rate | gain on own languages | forgetting of others | "
        "gain kept | forgetting kept |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in _METHODS:
        row = found["methods"].get(name)
        if row is None:
            lines.append(f"| {name} | {_OPEN} | | | | |")
            continue
        kept = " | ".join(f"{row[key] / plain[key]:.0%}" for key in ("gain", "forgetting"))
        lines.append(
            f"| {name} | {row['learning_rate']:g} | {row['gain']:.4f} | {row['forgetting']:.4f} "
            f"| {kept} |"
        )
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _of(training: Figures, part: str, figure: Any) -> str:
    return f"{figure(training[part]):.2f}" if part in training else _OPEN


def _share(part: Figures) -> float:
    return float(part["share_of_peak"])


def _against_best(part: Figures) -> float:
    return float(min(x for name, x in part["ours_against"].items() if name != "ours"))


def _against_defaults(part: Figures) -> float:
    return float(part["ours_against"]["Trainer, defaults"])


def _two(part: Figures) -> float:
    return float(part["two_against_one"])


def _bytes(part: Figures) -> float:
    return float(part["bytes_per_parameter_without_working"])
