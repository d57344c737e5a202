"""evaluation/summary.json: computed from stored scores and ledgers, in one go, after all scoring.

See schema.py for what stands in it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xelm.errors import UserError
from xelm.evaluation import arms, budgets, choose, comparisons, matrix, routing, samples, table
from xelm.evaluation.arms import Field
from xelm.evaluation.contest import (
    SEED,
    Asked,
    Contest,
    fingerprint_of,
    is_there,
    ledger,
)
from xelm.evaluation.schema import (
    Allocation,
    Arm,
    Comparison,
    MeanComparison,
    Routed,
    Summary,
)
from xelm.evaluation.text import documents
from xelm.storage import atomic, fingerprint

__all__ = ["Arm", "Comparison", "Summary", "is_current", "path", "read", "write"]
_FORMAT = 1  # counts up when the same scores would give another summary


def path(run: Path) -> Path:
    """Where a run's summary stands."""
    return Path(run) / "evaluation" / "summary.json"


def read(run: Path) -> Summary:
    """The summary of a run; UserError when it was not evaluated yet."""
    if not path(run).is_file():
        raise UserError(f"{path(run)}: not there yet; run `xelm evaluate {run}` first")
    value: Summary = atomic.read_json(path(run))
    return value


def is_current(run: Path, recipe: Asked) -> bool:
    """Is there a summary of the very models, corpus and settings that are there now?"""
    contest = Contest.of(run, recipe)
    if not path(run).is_file() or not all(is_there(contest.run, m) for m in contest.trained()):
        return False
    return bool(atomic.read_json(path(run)).get("fingerprint") == _fingerprint(contest))


def write(run: Path, recipe: Asked) -> Summary:
    """Compute the summary and write it.

    Raises:
        UserError: something was not trained or scored yet; the message says what to run.
    """
    contest = Contest.of(run, recipe)
    contest.require_trained()
    summary = build(contest)
    atomic.write_json(path(run), summary)
    return summary


def build(contest: Contest) -> Summary:
    """The summary of a contest whose scores are all there."""
    whole = {language: arms.whole(contest, language) for language in contest.languages}
    routed = _routed(contest, whole)
    compared, means = _compare(contest, whole, routed.fields)
    dev = choose.dev_table(contest)
    rows_of = {arm: table.arm_row(contest, arm, whole, "all") for arm in contest.single_arms()}
    for arm in routed.arms:
        rows_of[arm] = table.arm_row(contest, arm, routed.fields, "routed")
    return {
        "languages": contest.languages,
        "arms": rows_of,
        "comparisons": compared,
        "orders": len(contest.orders),
        "documents": {language: one.documents.count for language, one in whole.items()},
        "name": contest.name,
        "bytes": {language: int(one.documents.bytes.sum()) for language, one in whole.items()},
        "headline": table.headline(contest, dev, rows_of, means),
        "budgets": budgets.budgets(contest),
        "means": means,
        "significance": comparisons.significance(contest),
        "allocations": {name: _allocation(contest, name) for name in contest.allocations},
        "matrix": _matrices(contest),
        "gains": {name: table.gain(name, rows_of) for name in contest.allocations},
        "routed": routed.about,
        "routed_bytes": contest.settings.routed_bytes,
        "routed_documents": {code: one.documents.count for code, one in routed.fields.items()},
        "routed_arms": {
            arm: {code: one.bits_per_byte(arm) for code, one in routed.fields.items()}
            for arm in [*contest.single_arms(), *routed.arms]
        },
        "dev": dev,
        "sweep": _sweep(contest),
        "samples": samples.collect(contest),
        "seed": _seed(contest),
        "fingerprint": _fingerprint(contest),
    }


class _RoutedPart:
    """The routed arms, and all others on the same documents."""

    def __init__(self, fields: dict[str, Field], about: dict[str, Routed], arms: list[str]) -> None:
        self.fields, self.about, self.arms = fields, about, arms


def _routed(contest: Contest, whole: Mapping[str, Field]) -> _RoutedPart:
    cap = contest.settings.routed_bytes
    fields = {
        code: _first(one, documents(contest.heldout, code, cap)) for code, one in whole.items()
    }
    about: dict[str, Routed] = {}
    found: list[str] = []
    for name in contest.allocations if contest.settings.routed else ():
        result = routing.route(contest, name)
        about[name] = result.about
        for arm, by_language in result.bits.items():
            found.append(arm)
            for language, bits in by_language.items():
                fields[language].bits[arm] = bits
    return _RoutedPart(fields, about, found)


def _first(field: Field, chosen: Any) -> Field:
    """The same arms on the first documents only, in their first order."""
    bits = {arm: values[: chosen.count, :1] for arm, values in field.bits.items()}
    return Field(chosen, bits)


def _compare(
    contest: Contest, whole: Mapping[str, Field], routed: Mapping[str, Field]
) -> tuple[list[Comparison], list[MeanComparison]]:
    pairs = comparisons.pairs(contest)
    on_whole = [pair for pair in pairs if not comparisons.is_routed(pair)]
    on_routed = [pair for pair in pairs if comparisons.is_routed(pair)]
    rows, means = comparisons.compare(whole, on_whole, contest.settings)
    more_rows, more_means = comparisons.compare(routed, on_routed, contest.settings)
    return rows + more_rows, means + more_means


def _allocation(contest: Contest, name: str) -> Allocation:
    team = contest.teams[name]
    return {
        "method": team.method,
        "k": len(team.experts),
        "experts": team.experts,
        "owner": team.owner,
        "measured": team.measured,
    }


def _matrices(contest: Contest) -> dict[str, Any]:
    if not contest.settings.matrix:
        return {}
    return {name: matrix.matrix(contest, name) for name in contest.allocations}


def _sweep(contest: Contest) -> dict[str, Any] | None:
    place = contest.run / "training" / "sweep.json"
    return atomic.read_json(place) if place.is_file() else None


def _seed(contest: Contest) -> dict[str, Any]:
    about = ledger(contest.run, SEED)
    others = [model for model in contest.trained() if model != SEED]
    parameters = about.get("parameters")
    if parameters is None and others:  # the same architecture as all that branched from it
        parameters = ledger(contest.run, others[0]).get("parameters")
    return {"parameters": parameters, "tokens": about.get("tokens")}


def _fingerprint(contest: Contest) -> str:
    """Of all that the summary depends on."""
    run = contest.run
    bundles = [run / "bundles" / name / "xelm.json" for name in contest.allocations]
    teams = [run / "allocations" / name / "allocation.json" for name in contest.allocations]
    stats = atomic.read_json(run / "corpus" / "stats.json")
    return fingerprint.of_value(
        {
            "format": _FORMAT,
            "name": contest.name,
            "orders": contest.orders,
            "controls": contest.controls,
            "settings": contest.settings.model_dump(mode="json"),
            "models": {model: fingerprint_of(run, model) for model in contest.trained()},
            "corpus": stats["fingerprint"],
            "files": {
                str(file.relative_to(run)): fingerprint.of_file(file)
                for file in [*bundles, *teams]
                if file.is_file()
            },
            "sweep": _sweep(contest),
        }
    )
