"""What a run will do before it does it (`--dry-run`).

Nothing heavy is imported unless the seed's size must be read; nothing is written.
"""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from xelm import plan, seeding
from xelm.config import Recipe
from xelm.corpus.readers import files
from xelm.errors import UserError
from xelm.launching.local import worker_count
from xelm.launching.view import duration
from xelm.models.sizes import size
from xelm.training.job import divided_batch

BYTES_PER_PARAMETER = 18  # bf16 weight, float32 gradient sum, master weight and both moments
_BYTES_OF_A_HELPER = 16  # bf16 weight, float32 gradient sum and master; what both see of the two
_FLOPS_PER_SECOND = {
    "cpu": 1.1e11,  # a core that trains 2M parameters at 9,500 tokens a second, 6N a token
    "cuda": 4.5e14,  # half of an H100's peak
}


def describe(recipe: Recipe) -> dict[str, Any]:
    """The plan as data: arms with jobs, steps, tokens, FLOPs; time and memory by rule of thumb.

    `seed` has the same of its own training, where it is trained here; `sweep` is None or says what
    the settings that are tried cost, at least.
    """
    seed = _seed(recipe)
    arms = {arm: _arm(recipe, arm, seed) for arm in recipe.arms()}
    sweep = _sweep(recipe, seed)
    # a sweep on the whole budget has trained the first order
    left = len(recipe.orders) - bool(sweep and sweep["share"] == 1)
    of_arms = sum(arm["flops"] or 0 for arm in arms.values()) * left
    of_arms += (sweep and sweep["flops"]) or 0
    flops = of_arms + (seed["flops"] or 0)
    return {
        "recipe": recipe.name,
        "seed": seed,
        "orders": len(recipe.orders),
        "arms": arms,
        "sweep": sweep,
        "flops": flops or None,
        "hours_by_rule_of_thumb": round(_hours(recipe, seed, of_arms), 2) if flops else None,
        "training_memory_bytes": _memory(recipe, seed["parameters"]),
        "missing": _missing(recipe),
    }


def _hours(recipe: Recipe, seed: dict[str, Any], flops_of_arms: float) -> float:
    """The seed trains alone, with the processes that it asks for; arms on all workers."""
    device = recipe.launching.device
    workers = worker_count(recipe.launching.workers, device)
    flops: float = (seed["flops"] or 0) / seed.get("processes", 1) + flops_of_arms / workers
    return flops / _FLOPS_PER_SECOND[device.partition(":")[0]] / 3600


def _arm(recipe: Recipe, arm: str, seed: dict[str, Any]) -> dict[str, Any]:
    settings = recipe.training.of(arm)
    windows = plan.budget_windows(recipe, settings)
    k = 1 if arm in recipe.controls else recipe.allocations[arm].k or 1
    batch = settings.batch
    if recipe.training.steps == "published":
        batch = divided_batch(batch, k)
    tokens = windows * recipe.corpus.context
    return {
        "jobs": k,
        "batch": batch,
        "learning_rate": settings.learning_rate,
        "steps": -(-(windows // k) // batch),
        "tokens": tokens,
        "flops": _flops(seed, tokens),
    }


def _sweep(recipe: Recipe, seed: dict[str, Any]) -> dict[str, Any] | None:
    """What a sweep tries at least: a search by neighbours goes on where one is better."""
    if recipe.sweep is None:
        return None
    from xelm.sweep import next_cells

    settings = {
        arm: len(next_cells(recipe.sweep, (own.batch, own.learning_rate), {}))
        for arm, own in ((arm, recipe.training.of(arm)) for arm in recipe.arms())
    }
    tokens = round(recipe.training.tokens * recipe.sweep.share) * sum(settings.values())
    return {
        "search": recipe.sweep.search,
        "share": recipe.sweep.share,
        "choose": recipe.sweep.choose,
        "settings": settings,
        "tokens": tokens,
        "flops": _flops(seed, tokens),
    }


def _seed(recipe: Recipe) -> dict[str, Any]:
    """Parameters of the seed and FLOPs a token (6N, attention aside), where they can be known."""
    if recipe.seed.size is not None:
        built = size(recipe.seed.size, recipe.corpus.vocabulary)
        about = _counts(recipe.seed.size, built.parameters)
        return about | _training_of_seed(recipe, about)
    assert recipe.seed.folder is not None
    try:
        where = seeding.source(recipe.seed.folder)
    except UserError:
        return _counts(recipe.seed.folder, None)
    weights = sum(path.stat().st_size for path in Path(where).glob("*.safetensors"))
    return _counts(recipe.seed.folder, weights // 2 or None)


def _counts(name: str, parameters: int | None) -> dict[str, Any]:
    per_token = 6 * parameters if parameters else None
    return {"from": name, "parameters": parameters, "flops_per_token": per_token, "flops": None}


def _training_of_seed(recipe: Recipe, about: dict[str, Any]) -> dict[str, Any]:
    job = plan.seed_job(recipe)
    assert job is not None
    return {
        "jobs": 1,
        "batch": job.settings.batch,
        "learning_rate": job.settings.learning_rate,
        "steps": job.steps,
        "tokens": job.tokens,
        "processes": job.settings.processes,
        "flops": _flops(about, job.tokens),
    }


def _flops(seed: dict[str, Any], tokens: int) -> int | None:
    return seed["flops_per_token"] * tokens if seed["flops_per_token"] else None


def _memory(recipe: Recipe, parameters: int | None) -> int | None:
    """Bytes of the largest job of an arm or of the seed, activations apart."""
    seed, device = plan.seed_job(recipe), recipe.launching.device
    settings = [recipe.training.of(arm) for arm in recipe.arms()]
    settings += [seed.settings] if seed is not None else []
    processes = max((each.processes for each in settings), default=1) if device == "cpu" else 1
    if not parameters:
        return None
    return parameters * (BYTES_PER_PARAMETER + _BYTES_OF_A_HELPER * (processes - 1))


def _missing(recipe: Recipe) -> list[str]:
    """Text that the recipe names and that is not there yet."""
    corpus, missing = recipe.corpus, []
    for key in ("train", "dev", "heldout"):
        patterns = getattr(corpus, key)
        if not patterns or patterns == "sample":
            continue
        try:
            files(list(patterns))
        except UserError as error:
            missing.append(f"corpus.{key}: {error}")
    return missing


def show(recipe: Recipe, folder: Path, *, as_json: bool = False) -> None:
    """Print the plan."""
    about = describe(recipe)
    if as_json:
        print(json.dumps(about, indent=1, ensure_ascii=False))
        return
    console = Console()
    table = Table(title=f"{recipe.name} -> {folder}", title_justify="left")
    for column in ("arm", "jobs", "steps", "batch", "learning rate", "tokens"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    trained = {"seed": about["seed"]} if about["seed"]["flops"] else {}
    for arm, row in (trained | about["arms"]).items():
        cells = [row["jobs"], row["steps"], row["batch"], row["learning_rate"]]
        table.add_row(arm, *map(str, cells), f"{row['tokens']:,}")
    console.print(table)
    for line in _summary(about):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _summary(about: dict[str, Any]) -> list[str]:
    lines = [f"seed: {about['seed']['from']}, data orders: {about['orders']}"]
    least = "at least " if about["sweep"] and about["sweep"]["search"] == "neighbours" else ""
    if about["sweep"]:
        lines.append(_sweep_line(about["sweep"], least))
    if about["flops"]:
        hours = about["hours_by_rule_of_thumb"]
        lines.append(
            f"training: {least}{about['flops']:.2e} FLOPs, about {duration(hours * 3600)} here"
        )
    if about["training_memory_bytes"]:
        lines.append(f"memory: {about['training_memory_bytes'] / 1e9:.2f} GB and activations a job")
    return lines + [f"not there yet: {one}" for one in about["missing"]]


def _sweep_line(sweep: dict[str, Any], least: str) -> str:
    count = sum(sweep["settings"].values())
    return (
        f"sweep: before the arms, {least}{count} settings on {sweep['share']:.0%} of the budget, "
        f"{sweep['tokens']:,} tokens; what is best on dev, by {sweep['choose']}, replaces what "
        "stands above"
    )
