"""From a recipe to jobs: which models are trained, from what, on how many tokens, in which order.

Job names are folders under `models/`: `seed`, `dense`, `dense-matched/<allocation>`,
`<allocation>/<expert>`; a further data order n stands under `orders/<n>/`, a setting that the sweep
tries under `sweep/<arm>/<setting>/`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xelm.config import Recipe
from xelm.errors import UserError
from xelm.growth import rounds
from xelm.launching.task import Task
from xelm.storage import atomic
from xelm.training.job import Job, divided_batch, plan, plan_matched, spec_path
from xelm.training.settings import ArmSettings

SEED = "models/seed"
MATCHED = "dense-matched/"


@dataclass(frozen=True)
class Team:
    """An allocation as it stands on disk: expert -> its languages by tokens, and who owns what."""

    name: str
    experts: dict[str, dict[str, int]]
    owner: dict[str, str]

    @classmethod
    def read(cls, run: Path, name: str) -> "Team":
        """Read `allocations/<name>/allocation.json`; UserError when it is not there yet."""
        path = Path(run) / "allocations" / name / "allocation.json"
        if not path.is_file():
            raise UserError(f"{path}: not there yet; run `xelm allocate {run}` first")
        value = atomic.read_json(path)
        experts = {e: dict(about["languages"]) for e, about in value["experts"].items()}
        return cls(name, experts, dict(value["owner"]))


def order_prefix(recipe: Recipe, order: int) -> str:
    """Where the jobs of a data order stand: the first order is the run itself."""
    return "" if order == recipe.orders[0] else f"orders/{order}/"


Settings = Callable[[str | None], ArmSettings]
"""expert -> its settings; None -> those of the arm, for all that is no single expert."""


def settings_of(recipe: Recipe, run: Path, arm: str) -> Settings:
    """An arm's settings: those of the recipe, under those that the sweep chose."""
    path = Path(run) / "training" / "sweep.json"
    swept = recipe.sweep is not None and path.is_file()
    about = atomic.read_json(path)["arms"][arm] if swept else {"chosen": {}}

    def of(expert: str | None) -> ArmSettings:
        chosen = about.get("experts", {}).get(expert, about)["chosen"]
        return recipe.training.of(arm, expert).model_copy(update=chosen)

    return of


def jobs_of_arm(
    run: Path,
    recipe: Recipe,
    arm: str,
    settings: Settings,
    *,
    order: int = 0,
    share: float = 1.0,
    prefix: str = "",
) -> list[Job]:
    """All jobs of one arm: one for a control, one an expert for an allocation.

    Args:
        share: part of the budget (for the sweep).
        prefix: put before the jobs' names.
    """
    own = settings(None)
    windows = budget_windows(recipe, own, share)
    if arm == "dense":
        return [_job(f"{prefix}dense", windows, recipe, own, order)]
    if arm.startswith(MATCHED):
        name = arm.removeprefix(MATCHED)
        of_experts = settings_of(recipe, run, name)  # what they read depends on `alpha`
        experts = _experts(run, recipe, name, of_experts, windows, order, prefix)
        return [plan_matched(f"{prefix}{arm}", experts, own, order)]
    return _experts(run, recipe, arm, settings, windows, order, prefix)


def budget_windows(recipe: Recipe, settings: ArmSettings, share: float = 1.0) -> int:
    """Windows of one arm in all; whole batches when every arm takes the published steps."""
    windows = max(1, round(recipe.training.tokens * share / recipe.corpus.context))
    if recipe.training.steps == "published":
        windows = max(1, round(windows / settings.batch)) * settings.batch
    return windows


def _experts(
    run: Path,
    recipe: Recipe,
    name: str,
    settings: Settings,
    windows: int,
    order: int,
    prefix: str,
) -> list[Job]:
    if name in recipe.rounds:
        return rounds.jobs(
            run,
            name,
            recipe.rounds[name],
            recipe.allocations[name],
            settings(None),
            windows=windows,
            context=recipe.corpus.context,
            order=order,
            prefix=prefix,
            published=recipe.training.steps == "published",
        )
    team = Team.read(run, name)
    _require_experts(recipe, team)
    k = len(team.experts)
    jobs = []
    for number, expert in enumerate(team.experts):
        own = settings(expert)
        if recipe.training.steps == "published":
            own = own.model_copy(update={"batch": divided_batch(own.batch, k)})
        part = windows // k + (number < windows % k)
        path = f"allocations/{name}/shares/{expert}.json"
        jobs.append(_job(f"{prefix}{name}/{expert}", part, recipe, own, order, path))
    return jobs


def _require_experts(recipe: Recipe, team: Team) -> None:
    """The recipe may give an expert settings of its own; one by this name must be there."""
    for name in recipe.training.arms:
        allocation, _, expert = name.rpartition("/")
        if allocation == team.name and expert not in team.experts:
            raise UserError(
                f"training.arms: {team.name} has no expert `{expert}`; "
                f"it has {', '.join(team.experts)}"
            )


def _job(
    name: str,
    windows: int,
    recipe: Recipe,
    settings: ArmSettings,
    order: int,
    share: str | None = None,
) -> Job:
    context = recipe.corpus.context
    tokens = windows * context
    return plan(
        name,
        tokens=tokens,
        context=context,
        settings=settings,
        share=share,
        parent=SEED,
        order_seed=order,
    )


def seed_job(recipe: Recipe) -> Job | None:
    """The job that trains the seed from scratch; None when the seed is taken from a folder."""
    if recipe.seed.size is None:
        return None
    assert recipe.seed.tokens is not None
    return plan(
        "seed",
        tokens=recipe.seed.tokens,
        context=recipe.corpus.context,
        settings=seed_settings(recipe),
        parent=None,
        size=recipe.seed.size,
    )


def seed_settings(recipe: Recipe) -> ArmSettings:
    """What a seed from scratch trains with: its size's learning rate, a warm-up, weight decay."""
    from xelm.models.sizes import size

    assert recipe.seed.size is not None
    rate = size(recipe.seed.size, recipe.corpus.vocabulary).learning_rate
    usual: dict[str, Any] = {
        "batch": 32,
        "learning_rate": rate,
        "schedule": "cosine",
        "warmup": 0.02,
        "decay_to": 0.05,
        "weight_decay": 0.1,
    }
    return ArmSettings(**{**usual, **recipe.seed.training})


def check(recipe: Recipe) -> None:
    """Everything about a recipe that can be known to be wrong before any text is read.

    Raises:
        UserError: the seed's size cannot hold its vocabulary, k does not divide a batch, or is
            larger than the number of languages.
    """
    seed_job(recipe)
    languages = recipe.corpus.languages
    for name, allocation in recipe.allocations.items():
        k = allocation.k or 1
        if recipe.training.steps == "published":
            divided_batch(recipe.training.of(name).batch, k)
        if allocation.method == "typology" and languages is not None and k > len(languages):
            raise UserError(
                f"allocations.{name}.k: {k} experts for {len(languages)} languages "
                f"({', '.join(languages)}); give a smaller k"
            )


def all_jobs(run: Path, recipe: Recipe) -> list[Job]:
    """Every job but the seed's and the sweep's, for every data order."""
    return [
        job
        for order in recipe.orders
        for arm in recipe.arms()
        for job in jobs_in_order(run, recipe, arm, order)
    ]


def jobs_in_order(run: Path, recipe: Recipe, arm: str, order: int) -> list[Job]:
    """The jobs of one arm for one data order."""
    settings, prefix = settings_of(recipe, run, arm), order_prefix(recipe, order)
    return jobs_of_arm(run, recipe, arm, settings, order=order, prefix=prefix)


def write(run: Path, jobs: Iterable[Job]) -> None:
    """Write the jobs' specifications, leaving those alone that say the same already."""
    for job in jobs:
        if not is_same(run, job):
            job.save(run)


def as_read(job: Job) -> Any:
    """A job as JSON gives it back (tuples are lists there)."""
    import json

    return json.loads(json.dumps(job.as_json()))


def tasks(run: Path, jobs: Sequence[Job]) -> list[Task]:
    """One training task a job that is not finished; a child's after its parent's."""
    left = [job for job in jobs if not is_finished(run, job.name)]
    names = [job.name for job in left]
    return [
        Task(
            job.name,
            "xelm.training.loop:train",
            {"run": str(run), "name": job.name},
            after=rounds.after(job, names),
            cost=float(job.tokens),
        )
        for job in left
    ]


def is_begun(run: Path, name: str) -> bool:
    """Is there a model, or a checkpoint of one, by the specification that stands there?"""
    checkpoints = Path(run) / "training" / name / "checkpoints"
    return is_finished(run, name) or (checkpoints.is_dir() and any(checkpoints.iterdir()))


def is_same(run: Path, job: Job) -> bool:
    """Does the specification that stands in the run say the same, to the letter?"""
    path = spec_path(run, job.name)
    return path.is_file() and bool(atomic.read_json(path) == as_read(job))


def trains_same(run: Path, job: Job) -> bool:
    """Is it at least of the same model? How often it speaks or saves may differ."""
    there = spec_path(run, job.name).is_file()
    return there and Job.load(run, job.name).identity() == job.identity()


def is_finished(run: Path, name: str) -> bool:
    """A folder in models/ appears by rename, so it is whole when it is there."""
    return (Path(run) / "models" / name / "manifest.json").is_file()


def select(jobs: Sequence[Job], names: Sequence[str] | None) -> list[Job]:
    """The jobs named; UserError with the nearest name for one that does not exist."""
    import difflib

    if names is None:
        return list(jobs)
    by_name = {job.name: job for job in jobs}
    for name in names:
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=1, cutoff=0.3)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UserError(f"{name}: this run trains no such job{hint}")
    return [by_name[name] for name in names]
