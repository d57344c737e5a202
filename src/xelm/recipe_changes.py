"""May a run go on under a changed recipe? Yes, where nothing that was begun depends on the change.

Arms get other settings while corpus and seed stay, an arm or a data order is added when the others
are done, figures are wanted in another way, the seed goes on with more processes. What was trained,
or begun, is never silently of another recipe. A recipe with a sweep chooses settings itself: of it
only `evaluation` may change.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xelm import plan
from xelm.config import Recipe
from xelm.errors import UserError
from xelm.training.job import ABOUT_THE_MACHINE, Job

_MAY_CHANGE = {"allocations", "controls", "evaluation", "orders", "training"}
_UNDER_A_SWEEP = {"evaluation"}
_HOW_THE_SEED_TRAINS = {f"seed.training.{name}" for name in ABOUT_THE_MACHINE}


def require_possible(run: Path, there: Recipe, here: Recipe) -> None:
    """Check that a run begun by the recipe `there` can go on by `here`.

    Raises:
        UserError: naming the keys that differ and, if these may change in principle, the job that
            was begun with other settings.
    """
    differing = sorted(_differences(there.identity(), here.identity()))
    kept = there.allocations.keys() & here.allocations.keys()
    free = _MAY_CHANGE if there.sweep is None and here.sweep is None else _UNDER_A_SWEEP
    if not all(_is_free(key, free, kept) for key in differing):
        raise _refusal(run, differing, "")
    for job in _begun(run, here) if differing else ():
        if not plan.trains_same(run, job):
            raise _refusal(run, differing, f", and {job.name} was begun by that")


def _is_free(key: str, free: set[str], kept: Any) -> bool:
    """Allocations may be added or left out, but not become others."""
    if key in _HOW_THE_SEED_TRAINS:
        return True
    section, _, rest = key.partition(".")
    return section in free and (section != "allocations" or rest.split(".")[0] not in kept)


def _begun(run: Path, recipe: Recipe) -> Iterator[Job]:
    """The jobs of the recipe of which something was trained."""
    for arm in recipe.arms():
        allocation = arm.removeprefix(plan.MATCHED)
        if arm == "dense" or (Path(run) / "allocations" / allocation / "allocation.json").is_file():
            for order in recipe.orders:
                jobs = plan.jobs_in_order(run, recipe, arm, order)
                yield from (job for job in jobs if plan.is_begun(run, job.name))


def _refusal(run: Path, differing: list[str], more: str) -> UserError:
    return UserError(
        f"{Path(run) / 'run.yaml'}: made by another recipe (differs in "
        f"{', '.join(differing[:5])}){more}; give another --out, or the recipe it was made by"
    )


def _differences(there: Any, here: Any, key: str = "") -> list[str]:
    """Dotted keys whose values differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            found
            for k in there.keys() | here.keys()
            for found in _differences(there.get(k), here.get(k), f"{key}.{k}" if key else k)
        ]
    return [] if there == here else [key]
