"""The sweep: every arm gets the same grid of (batch, learning rate); its best on dev trains it.

Without it a comparison says more about the settings than about the method: dense likes larger
batches than experts do. The choice reads the dev split only; held-out text cannot be reached here.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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


def choose_settings(
    run: Path, recipe: Recipe, run_tasks: Callable[[str, Sequence[Task]], None]
) -> dict[str, Any]:
    """Train and score each arm's settings, write `training/sweep.json`, and return its content.

    `{"share": x, "search": name, "split": "dev", "arms": {arm: {"scores": {setting: mean bits per
    byte over languages}, "chosen": {"batch": n, "learning_rate": x}, "at_edge": [keys]}}}`

    Args:
        run_tasks: runs tasks under a title; what is done already must give it none.
    """
    assert recipe.sweep is not None
    found: dict[str, dict[Cell, float]] = {arm: {} for arm in recipe.arms()}
    while wanted := _wanted(recipe, found):
        run_tasks("sweep", [task for arm, cell in wanted for task in tasks(run, recipe, arm, cell)])
        for arm, cell in wanted:
            found[arm][cell] = _score(run, recipe, arm, cell)
    arms = {arm: _about(recipe.sweep, cells) for arm, cells in found.items()}
    about = {"share": recipe.sweep.share, "search": recipe.sweep.search, "split": "dev"}
    result = about | {"arms": arms}
    atomic.write_json(Path(run) / "training" / "sweep.json", result)
    return result


def _wanted(recipe: Recipe, found: Mapping[str, Mapping[Cell, float]]) -> list[tuple[str, Cell]]:
    assert recipe.sweep is not None
    return [
        (arm, cell)
        for arm, cells in found.items()
        for cell in next_cells(recipe.sweep, _own(recipe.training.of(arm)), cells)
    ]


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


def jobs(run: Path, recipe: Recipe, arm: str, cell: Cell) -> list[Job]:
    """The jobs of an arm under one setting, on the sweep's part of the budget."""
    assert recipe.sweep is not None
    batch, rate = cell
    settings = recipe.training.of(arm).model_copy(update={"batch": batch, "learning_rate": rate})
    prefix = _prefix(arm, cell)
    order, share = recipe.orders[0], recipe.sweep.share
    return plan.jobs_of_arm(run, recipe, arm, settings, order=order, share=share, prefix=prefix)


def tasks(run: Path, recipe: Recipe, arm: str, cell: Cell) -> list[Task]:
    """Train an arm under one setting, and score it on dev when it is trained."""
    planned = jobs(run, recipe, arm, cell)
    plan.write(run, planned)
    found = plan.tasks(run, planned)
    waiting = {task.name for task in found}
    for job in planned:
        after = (job.name,) if job.name in waiting else ()
        languages = _languages(run, arm, job)
        reading = recipe.evaluation.reading(recipe.launching.device)
        found += scores.own_tasks(run, job.name, languages, after, reading)
    return found


def _score(run: Path, recipe: Recipe, arm: str, cell: Cell) -> float:
    """Mean bits per byte over languages on dev."""
    models = {
        language: job.name
        for job in jobs(run, recipe, arm, cell)
        for language in _languages(run, arm, job)
    }
    reading = recipe.evaluation.reading(recipe.launching.device)
    return fmean(choose.own_bits_per_byte(run, models, reading=reading).values())


def _about(settings: SweepSettings, found: Mapping[Cell, float]) -> dict[str, Any]:
    """What was found of an arm, and the best of it."""
    best = min(found, key=lambda cell: (found[cell], cell))
    chosen = {"batch": best[0], "learning_rate": best[1]}
    named = {_name(cell): found[cell] for cell in sorted(found)}
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
    stats = atomic.read_json(Path(run) / "corpus" / "stats.json")
    if arm == "dense" or arm.startswith(plan.MATCHED):
        return sorted(stats["splits"]["dev"])
    team, expert = plan.Team.read(run, arm), job.name.rsplit("/", 1)[-1]
    return sorted(language for language, owner in team.owner.items() if owner == expert)
