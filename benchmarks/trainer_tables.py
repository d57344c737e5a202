"""Tables of the trainer from docs/results/training.json and preserve.json (see tables.py)."""

from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Any]
Figure = Callable[[Figures], float]
_OPEN = "not yet measured"
_METHODS = ("none", "freeze-middle", "revert-middle", "l2-to-seed", "lora")


def bars(training: Figures) -> str:
    """What was asked of the trainer, and what it does on each kind of core."""
    rows: list[tuple[str, str, str, Figure]] = [
        ("share of the peak of bf16 matrix products", "0.65", "loops", _share),
        ("against the best bare compiled loop", "1.0", "loops", _against("bare loop")),
        ("against Trainer at its fastest", "1.2", "trainer", _against("Trainer, bf16")),
        ("against Trainer on a bfloat16 model", "", "trainer", _against("Trainer, pure bf16")),
        ("against Trainer's defaults", "2", "defaults", _against("Trainer, defaults")),
        ("two experts on two cores against one", "1.8", "two-cores", _two),
        ("bytes a parameter, a micro-batch aside", "at most 18", "memory", _bytes),
    ]
    lines = ["| | bar | " + " | ".join(training) + " |", "|---|" + "---:|" * (1 + len(training))]
    for title, bar, part, figure in rows:
        cells = " | ".join(_of(on_core, part, figure) for on_core in training.values())
        lines.append(f"| {title} | {bar} | {cells} |")
    return "\n".join(lines)


def sides(training: Figures) -> str:
    """Tokens per second of every side; ours beside each as measured in the same run."""
    lines = [
        "| core | side | tokens a second | ours in the same run | ours against it |",
        "|---|---|---:|---:|---:|",
    ]
    for core, parts in training.items():
        for part in ("loops", "trainer", "defaults"):
            rates = parts.get(part, {}).get("tokens_per_second", {})
            for name, rate in rates.items():
                if name != "ours":
                    ours = rates["ours"]
                    figures = f"{rate:,.0f} | {ours:,.0f} | {ours / rate:.2f}"
                    lines.append(f"| {core} | {name} | {figures} |")
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


def _of(training: Figures, part: str, figure: Figure) -> str:
    return f"{figure(training[part]):.2f}" if part in training else _OPEN


def _share(part: Figures) -> float:
    return float(part["share_of_peak"])


def _against(kind: str) -> Figure:
    """Ours against the fastest of the sides whose name begins so."""

    def least(part: Figures) -> float:
        sides = part["ours_against"].items()
        return float(min(ratio for name, ratio in sides if name.startswith(kind)))

    return least


def _two(part: Figures) -> float:
    return float(part["two_against_one"])


def _bytes(part: Figures) -> float:
    return float(part["bytes_per_parameter_without_working"])
