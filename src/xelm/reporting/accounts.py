"""What the figures cost and how settings were found: rows for the tables of budget and sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xelm.reporting import arms
from xelm.reporting.run_files import RunFiles, jobs_of
from xelm.reporting.scale import short

_TERMS = 6


@dataclass(frozen=True)
class Budget:
    """What one trained arm consumed; `models` are its jobs (one, or one an expert)."""

    arm: str
    models: int
    tokens: int
    flops: float
    seconds: float
    batch: int | None
    learning_rate: float | None
    peak_memory: int | None
    """Bytes, of the process that took most."""


@dataclass(frozen=True)
class Member:
    """One expert of a team, from its ledger."""

    name: str
    languages: Mapping[str, int]
    """By falling tokens trained on."""
    epochs: Mapping[str, float]
    tokens: int
    steps: int
    speed: float | None
    """Tokens per second."""
    terms: Sequence[str]
    """Pieces of text most typical of its share, where the allocation was measured."""


def budgets(files: RunFiles) -> list[Budget]:
    """One row an arm that was trained; own, top1 and mixture share their experts' row."""
    found = []
    for arm in arms.of(files.summary):
        if arm.kind in {"seed", "top1", "mixture"}:
            continue
        about = files.summary["arms"][arm.name]
        name = arm.allocation if arm.is_team and arm.allocation else arm.name
        ledgers = [files.ledgers[job] for job in jobs_of(name, files.ledgers)]
        peaks = [
            ledger["peak_memory_bytes"] for ledger in ledgers if ledger.get("peak_memory_bytes")
        ]
        found.append(
            Budget(
                name,
                len(ledgers) or 1,
                about["tokens"],
                about["flops"],
                about["seconds"],
                about["batch"],
                about["learning_rate"],
                max(peaks, default=0) or None,
            )
        )
    return found


def members(files: RunFiles) -> dict[str, list[Member]]:
    """Allocation -> its experts that are finished here."""
    found = {}
    for name in arms.allocations(files.summary):
        jobs = jobs_of(name, files.ledgers)
        terms = files.summary["allocations"][name].get("measured", {}).get("top_terms", {})
        if jobs:
            found[name] = [_member(job, files.ledgers[job], terms) for job in jobs]
    return found


def _member(job: str, ledger: Mapping[str, Any], terms: Mapping[str, list[str]]) -> Member:
    name = job.rpartition("/")[2]
    tokens = dict(sorted(ledger["tokens_by_language"].items(), key=lambda item: -item[1]))
    seconds = ledger.get("seconds")
    return Member(
        name,
        tokens,
        ledger.get("epochs_by_language", {}),
        ledger["tokens"],
        ledger["steps"],
        ledger["tokens"] / seconds if seconds else None,
        [text for term in terms.get(name, []) if (text := term.strip())][:_TERMS],
    )


@dataclass(frozen=True)
class Setting:
    """One setting of the sweep's grid, scored on dev."""

    text: str
    bits_per_byte: float | None
    chosen: bool


@dataclass(frozen=True)
class Choice:
    """The setting that an expert chose for itself, scored on dev of its own languages."""

    expert: str
    batch: int
    rate: float
    text: str


@dataclass(frozen=True)
class Grid:
    """An arm's grid: a row a batch, a column a learning rate."""

    arm: str
    batches: list[int]
    rates: list[float]
    cells: Mapping[tuple[int, float], Setting]
    at_edge: list[str]
    choices: list[Choice]
    """Where experts chose: one each; the cells are those that all of them tried."""


def sweep(summary: Mapping[str, Any]) -> list[Grid]:
    """One grid an arm; [] when there was no sweep."""
    about = summary.get("sweep") or {}
    return [_grid(arm, value) for arm, value in about.get("arms", {}).items()]


def _grid(arm: str, about: Mapping[str, Any]) -> Grid:
    scores = {_setting(name): value for name, value in about.get("scores", {}).items()}
    choices = [_choice(expert, one) for expert, one in about.get("experts", {}).items()]
    chosen = None if choices else _chosen(about)
    cells = {key: Setting(f"{value:.4f}", value, key == chosen) for key, value in scores.items()}
    return Grid(
        arm,
        sorted({batch for batch, _ in scores}),
        sorted({rate for _, rate in scores}),
        cells,
        [key.replace("_", " ") for key in about.get("at_edge", [])],
        choices,
    )


def _choice(expert: str, about: Mapping[str, Any]) -> Choice:
    batch, rate = _chosen(about)
    return Choice(expert, batch, rate, f"{min(about['scores'].values()):.4f}")


def _chosen(about: Mapping[str, Any]) -> tuple[int, float]:
    return about["chosen"]["batch"], about["chosen"]["learning_rate"]


def _setting(name: str) -> tuple[int, float]:
    """`b8-lr0.002` -> (8, 0.002)."""
    batch, _, rate = name.removeprefix("b").partition("-lr")
    return int(batch), float(rate)


def duration(seconds: float) -> str:
    """`42 s`, `3 min`, `2.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes: `1.9 GB`."""
    return f"{short(count)}B".replace("kB", " kB").replace("MB", " MB").replace("GB", " GB")
