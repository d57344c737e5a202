"""The sweep: every arm gets the same grid of (batch, learning rate); its best on dev trains it.

Without it a comparison says more about the settings than about the method: dense likes larger
batches than experts do. The choice reads the dev split only; held-out text cannot be reached here.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from xelm import plan
from xelm.config import Recipe
from xelm.evaluation import choose, scores
from xelm.growth import rounds
from xelm.launching.task import Task
from xelm.storage import atomic
from xelm.training.job import Job
from xelm.training.settings import ArmSettings


def grid(recipe: Recipe, arm: str) -> Iterator[tuple[str, ArmSettings]]:
    """The settings of one arm: (name, settings)."""
    assert recipe.sweep is not None
    for batch in recipe.sweep.batch:
        for rate in recipe.sweep.learning_rate:
            update = {"batch": batch, "learning_rate": rate}
            yield f"b{batch}-lr{rate:g}", recipe.training.of(arm).model_copy(update=update)


def jobs(run: Path, recipe: Recipe, arm: str) -> dict[str, list[Job]]:
    """Setting -> the jobs of the arm under it, on the sweep's part of the budget."""
    assert recipe.sweep is not None
    return {
        name: plan.jobs_of_arm(
            run,
            recipe,
            arm,
            settings,
            order=recipe.orders[0],
            share=recipe.sweep.share,
            prefix=f"sweep/{arm}/{name}/",
        )
        for name, settings in grid(recipe, arm)
    }


def tasks(run: Path, recipe: Recipe) -> list[Task]:
    """Train every setting of every arm, and score each on dev when it is trained."""
    found: list[Task] = []
    for arm in recipe.arms():
        for settings_jobs in jobs(run, recipe, arm).values():
            plan.write(run, settings_jobs)
            training = plan.tasks(run, settings_jobs)
            waiting = {task.name for task in training}
            found += training
            for job in settings_jobs:
                after = (job.name,) if job.name in waiting else ()
                languages = _languages(run, arm, job)
                found += scores.own_tasks(run, job.name, languages, after, recipe.launching.device)
    return found


def choose_best(run: Path, recipe: Recipe) -> dict[str, Any]:
    """Score the grid on dev and write `training/sweep.json`; returns its content.

    `{"share": x, "arms": {arm: {"scores": {setting: mean bits per byte over languages},
    "chosen": {"batch": n, "learning_rate": x}, "at_edge": [keys]}}}`
    """
    assert recipe.sweep is not None
    arms = {arm: _choose(run, recipe, arm) for arm in recipe.arms()}
    result = {"share": recipe.sweep.share, "split": "dev", "arms": arms}
    atomic.write_json(Path(run) / "training" / "sweep.json", result)
    return result


def _choose(run: Path, recipe: Recipe, arm: str) -> dict[str, Any]:
    found: dict[str, float] = {}
    for name, settings_jobs in jobs(run, recipe, arm).items():
        models = {
            language: job.name for job in settings_jobs for language in _languages(run, arm, job)
        }
        found[name] = fmean(choose.own_bits_per_byte(run, models).values())
    best = min(found, key=lambda name: (found[name], name))
    settings = dict(grid(recipe, arm))[best]
    chosen = {"batch": settings.batch, "learning_rate": settings.learning_rate}
    return {"scores": found, "chosen": chosen, "at_edge": _at_edge(recipe, chosen)}


def _at_edge(recipe: Recipe, chosen: dict[str, Any]) -> list[str]:
    """Keys whose best value is the least or the largest tried: the grid should be wider there."""
    assert recipe.sweep is not None
    tried: dict[str, list[float]] = {
        "batch": [float(batch) for batch in recipe.sweep.batch],
        "learning_rate": recipe.sweep.learning_rate,
    }
    return [
        key
        for key, values in tried.items()
        if len(values) > 1 and chosen[key] in (min(values), max(values))
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
