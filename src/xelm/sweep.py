"""The sweep: every arm gets the same grid of (batch, learning rate); its best on dev trains it.

Without it a comparison says more about the settings than about the method: dense likes larger
batches than experts do. Experts are trained and scored alone, so each of them may take a best of
its own. The choice reads the dev split only; held-out text cannot be reached here.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from xelm import plan
from xelm.config import Recipe, SweepSettings
from xelm.evaluation import choose, scores
from xelm.growth import rounds
from xelm.launching.task import Task
from xelm.storage import atomic, manifest
from xelm.training.job import Job
from xelm.training.settings import ArmSettings

Cell = tuple[int, float]
"""A setting of the grid: (batch, learning rate)."""


@dataclass(frozen=True)
class Chooser:
    """Who takes a setting of its own: an arm, or one of its experts."""

    arm: str
    expert: str | None = None


Found = dict[Chooser, dict[Cell, dict[str, float]]]
"""Who tried what: bits per byte by language on dev."""


def choosers(run: Path, recipe: Recipe) -> list[Chooser]:
    """Every arm; in its place its experts, where the recipe has them choose and they can.

    Experts in rounds share the arm's setting; one that owns no language has no dev text.
    """
    assert recipe.sweep is not None
    found, dev = [], _dev_languages(run)
    for arm in recipe.arms():
        own: list[Chooser] = []
        if recipe.sweep.choose == "expert" and arm not in {*recipe.controls, *recipe.rounds}:
            team = plan.Team.read(run, arm)
            if {team.owner.get(language) for language in dev} >= set(team.experts):
                own = [Chooser(arm, expert) for expert in team.experts]
        found += own or [Chooser(arm)]
    return found


def choose_settings(
    run: Path, recipe: Recipe, run_tasks: Callable[[str, Sequence[Task]], None]
) -> dict[str, Any]:
    """Train and score settings, write `training/sweep.json`, and return its content.

    `{"share": x, "search": name, "choose": name, "split": "dev", "arms": {arm: {"scores": {setting:
    mean bits per byte over languages}, "chosen": {"batch": n, "learning_rate": x}, "at_edge":
    [keys]}}}`. Where experts choose, the arm has the same of each under "experts"; its own scores
    are of the settings that all of them tried, its own choice is the best of those.

    Args:
        run_tasks: runs tasks under a title; what is done already must give it none.
    """
    assert recipe.sweep is not None
    found: Found = {chooser: {} for chooser in choosers(run, recipe)}
    while wanted := _wanted(recipe, found):
        run_tasks("sweep", [task for who, cell in wanted for task in tasks(run, recipe, who, cell)])
        for who, cell in wanted:
            found[who][cell] = _bits_per_byte(run, recipe, who, cell)
    keys = ("share", "search", "choose")
    about = {key: getattr(recipe.sweep, key) for key in keys} | {"split": "dev"}
    result = about | {"arms": {arm: _of_arm(recipe, arm, found) for arm in recipe.arms()}}
    atomic.write_json(Path(run) / "training" / "sweep.json", result)
    return result


def _wanted(recipe: Recipe, found: Found) -> list[tuple[Chooser, Cell]]:
    assert recipe.sweep is not None
    wanted = []
    for who, cells in found.items():
        start = _own(recipe.training.of(who.arm, who.expert))
        wanted += [(who, cell) for cell in next_cells(recipe.sweep, start, _means(cells))]
    return wanted


def _means(cells: Mapping[Cell, Mapping[str, float]]) -> dict[Cell, float]:
    return {cell: fmean(bits.values()) for cell, bits in cells.items()}


def next_cells(settings: SweepSettings, start: Cell, found: Mapping[Cell, float]) -> list[Cell]:
    """What is to be tried next, given the scores so far; nothing when the search is at its end.

    A full search tries everything; one by neighbours the best cell so far (at first `start`) and
    those beside it in the grid, so that it ends on a cell none of whose neighbours is better.
    """
    batches, rates = sorted(set(settings.batch)), sorted(set(settings.learning_rate))
    cells = [(batch, rate) for batch in batches for rate in rates]
    if settings.search == "neighbours":
        batch, rate = min(found, key=lambda cell: (found[cell], cell), default=start)
        row, column = batches.index(batch), rates.index(rate)
        cells = [
            (batches[i], rates[j])
            for i, j in ((row, column), *_beside(row, column))
            if 0 <= i < len(batches) and 0 <= j < len(rates)
        ]
    return [cell for cell in cells if cell not in found]


def _beside(row: int, column: int) -> list[tuple[int, int]]:
    return [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]


def _own(settings: ArmSettings) -> Cell:
    return settings.batch, settings.learning_rate


def _name(cell: Cell) -> str:
    return f"b{cell[0]}-lr{cell[1]:g}"


def _prefix(arm: str, cell: Cell) -> str:
    return f"sweep/{arm}/{_name(cell)}/"


def take_trained(run: Path, recipe: Recipe) -> None:
    """Copy what the sweep has trained already: of a sweep on the whole budget, each arm's best.

    Only a model of the same job in all but its name; others, such as of a part of the budget or of
    a parent that lies elsewhere, are left to be trained.

    Raises:
        DamagedArtefact: a model of the sweep is not as it was written.
    """
    models = Path(run) / "models"
    for arm in recipe.arms():
        for job in plan.jobs_in_order(run, recipe, arm, recipe.orders[0]):
            trained = replace(job, name=_prefix(arm, _own(job.settings)) + job.name)
            there = plan.is_finished(run, trained.name) and plan.trains_same(run, trained)
            if there and not plan.is_finished(run, job.name):
                _copy(models / trained.name, models / job.name)


def _copy(source: Path, target: Path) -> None:
    atomic.remove_leftovers(target.parent)  # of a copy that was killed
    with atomic.folder(target, listed=False) as copy:
        shutil.copytree(source, copy, dirs_exist_ok=True)
        manifest.verify(copy)


def jobs(run: Path, recipe: Recipe, who: Chooser, cell: Cell) -> list[Job]:
    """The jobs of an arm or expert under one setting, on the sweep's part of the budget."""
    assert recipe.sweep is not None
    order, share, prefix = recipe.orders[0], recipe.sweep.share, _prefix(who.arm, cell)

    def settings(expert: str | None) -> ArmSettings:
        own = recipe.training.of(who.arm, expert)
        return own.model_copy(update={"batch": cell[0], "learning_rate": cell[1]})

    found = plan.jobs_of_arm(
        run, recipe, who.arm, settings, order=order, share=share, prefix=prefix
    )
    return [job for job in found if who.expert in (None, job.name.rsplit("/", 1)[-1])]


def tasks(run: Path, recipe: Recipe, who: Chooser, cell: Cell) -> list[Task]:
    """Train an arm or expert under one setting, and score it on dev when it is trained."""
    planned = jobs(run, recipe, who, cell)
    plan.write(run, planned)
    found = plan.tasks(run, planned)
    waiting = {task.name for task in found}
    reading = recipe.evaluation.reading(recipe.launching.device)
    for job in planned:
        after = (job.name,) if job.name in waiting else ()
        languages = _languages(run, who.arm, job)
        found += scores.own_tasks(run, job.name, languages, after, reading)
    return found


def _bits_per_byte(run: Path, recipe: Recipe, who: Chooser, cell: Cell) -> dict[str, float]:
    models = {
        language: job.name
        for job in jobs(run, recipe, who, cell)
        for language in _languages(run, who.arm, job)
    }
    reading = recipe.evaluation.reading(recipe.launching.device)
    return choose.own_bits_per_byte(run, models, reading=reading)


def _of_arm(recipe: Recipe, arm: str, found: Found) -> dict[str, Any]:
    """What was found of an arm, or of its experts and so of the arm."""
    assert recipe.sweep is not None
    parts = {who.expert: cells for who, cells in found.items() if who.arm == arm}
    if None in parts:
        return _about(recipe.sweep, _means(parts[None]))
    experts = {str(name): _about(recipe.sweep, _means(cells)) for name, cells in parts.items()}
    common = set.intersection(*(set(cells) for cells in parts.values()))
    together = {cell: _joined(cells[cell] for cells in parts.values()) for cell in common}
    about = _about(recipe.sweep, _means(together), _own(recipe.training.of(arm)))
    edges = sorted({key for expert in experts.values() for key in expert["at_edge"]})
    return about | {"at_edge": edges, "experts": experts}


def _joined(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    return {language: bits for part in parts for language, bits in part.items()}


def _about(
    settings: SweepSettings, means: Mapping[Cell, float], start: Cell | None = None
) -> dict[str, Any]:
    """Scores, and the best of them; `start` where experts that began apart have none in common."""
    best = min(means, key=lambda cell: (means[cell], cell), default=start)
    assert best is not None
    chosen = {"batch": best[0], "learning_rate": best[1]}
    named = {_name(cell): means[cell] for cell in sorted(means)}
    return {"scores": named, "chosen": chosen, "at_edge": at_edge(settings, chosen)}


def at_edge(settings: SweepSettings, chosen: Mapping[str, Any]) -> list[str]:
    """Keys whose best value is the least or the largest tried: the grid should be wider there.

    A batch of one window is no edge: there is nothing smaller.
    """
    tried: dict[str, list[float]] = {
        "batch": [float(batch) for batch in settings.batch],
        "learning_rate": settings.learning_rate,
    }
    return [
        key
        for key, values in tried.items()
        if len(values) > 1 and chosen[key] in (min(values), max(values))
        if (key, chosen[key]) != ("batch", 1)
    ]


def _languages(run: Path, arm: str, job: Job) -> list[str]:
    """The languages a job is scored on: those its expert owns; all of them for a control."""
    if rounds.is_inner(job.name):
        return []
    if arm == "dense" or arm.startswith(plan.MATCHED):
        return _dev_languages(run)
    team, expert = plan.Team.read(run, arm), job.name.rsplit("/", 1)[-1]
    return sorted(language for language, owner in team.owner.items() if owner == expert)


def _dev_languages(run: Path) -> list[str]:
    stats = atomic.read_json(Path(run) / "corpus" / "stats.json")
    return sorted(stats["splits"]["dev"])
