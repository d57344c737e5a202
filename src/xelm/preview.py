"""What a run will do before it does it (`--dry-run`), and where it stands (`xelm status`).

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
from xelm.launching.view import duration
from xelm.models.sizes import Size, size
from xelm.storage import atomic
from xelm.training.job import divided_batch

BYTES_PER_PARAMETER = 18  # bf16 weight, float32 gradient sum, master weight and both moments
_BYTES_OF_A_HELPER = 16  # bf16 weight, float32 gradient sum and master; what both see of the two
_USUAL_SHARE_OF_PEAK = 0.5
_FLOPS_PER_SECOND = {"cpu": 4.3e11, "cuda": 9e14}  # bf16 products: one AVX512-BF16 core, one H100


def describe(recipe: Recipe) -> dict[str, Any]:
    """The plan as data: arms with jobs, steps, tokens, FLOPs; time and memory by rule of thumb."""
    seed = _seed(recipe)
    device = recipe.launching.device
    arms = {arm: _arm(recipe, arm, seed) for arm in recipe.arms()}
    flops = sum(arm["flops"] or 0 for arm in arms.values()) * len(recipe.orders)
    workers = recipe.launching.workers or 1
    rate = _FLOPS_PER_SECOND[device.partition(":")[0]] * _USUAL_SHARE_OF_PEAK * workers
    return {
        "recipe": recipe.name,
        "seed": seed,
        "orders": len(recipe.orders),
        "arms": arms,
        "flops": flops or None,
        "hours_by_rule_of_thumb": round(flops / rate / 3600, 2) if flops else None,
        "training_memory_bytes": _memory(recipe, seed["parameters"]),
        "missing": _missing(recipe),
    }


def _arm(recipe: Recipe, arm: str, seed: dict[str, Any]) -> dict[str, Any]:
    settings = recipe.training.of(arm)
    windows = plan.budget_windows(recipe, settings)
    k = 1 if arm in recipe.controls else recipe.allocations[arm].k or 1
    batch = settings.batch
    if recipe.training.steps == "published":
        batch = divided_batch(batch, k)
    tokens = windows * recipe.corpus.context
    per_token = seed["flops_per_token"]
    return {
        "jobs": k,
        "batch": batch,
        "learning_rate": settings.learning_rate,
        "steps": -(-(windows // k) // batch),
        "tokens": tokens,
        "flops": per_token * tokens if per_token else None,
    }


def _seed(recipe: Recipe) -> dict[str, Any]:
    """Parameters of the seed and FLOPs a token (6N, attention aside), where they can be known."""
    if recipe.seed.size is not None:
        built: Size = size(recipe.seed.size, recipe.corpus.vocabulary)
        return _counts(recipe.seed.size, built.parameters)
    assert recipe.seed.folder is not None
    try:
        where = seeding.source(recipe.seed.folder)
    except UserError:
        return _counts(recipe.seed.folder, None)
    weights = sum(path.stat().st_size for path in Path(where).glob("*.safetensors"))
    return _counts(recipe.seed.folder, weights // 2 or None)


def _counts(name: str, parameters: int | None) -> dict[str, Any]:
    per_token = 6 * parameters if parameters else None
    return {"from": name, "parameters": parameters, "flops_per_token": per_token}


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
    for arm, row in about["arms"].items():
        cells = [row["jobs"], row["steps"], row["batch"], row["learning_rate"]]
        table.add_row(arm, *map(str, cells), f"{row['tokens']:,}")
    console.print(table)
    for line in _summary(about):
        console.print(line, highlight=False, markup=False)


def _summary(about: dict[str, Any]) -> list[str]:
    lines = [f"seed: {about['seed']['from']}, data orders: {about['orders']}"]
    if about["flops"]:
        hours = about["hours_by_rule_of_thumb"]
        lines.append(f"training: {about['flops']:.2e} FLOPs, about {duration(hours * 3600)} here")
    if about["training_memory_bytes"]:
        lines.append(f"memory: {about['training_memory_bytes'] / 1e9:.2f} GB and activations a job")
    return lines + [f"not there yet: {one}" for one in about["missing"]]


def status(folder: Path) -> dict[str, Any]:
    """Where a run stands: stages done, jobs done, jobs under way with their last logged step."""
    folder = Path(folder)
    if not (folder / "run.yaml").is_file():
        raise UserError(f"{folder}: no run here (no run.yaml); begin one with `xelm run RECIPE`")
    jobs = {}
    for path in sorted((folder / "training").glob("**/job.json")):
        name = path.parent.relative_to(folder / "training").as_posix()
        jobs[name] = _job_status(folder, name)
    return {
        "run": str(folder),
        "prepared": (folder / "corpus" / "manifest.json").is_file(),
        "allocated": _names(folder / "allocations"),
        "jobs": jobs,
        "bundles": _names(folder / "bundles"),
        "evaluated": (folder / "evaluation" / "summary.json").is_file(),
        "report": (folder / "report.html").is_file(),
    }


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _job_status(folder: Path, name: str) -> dict[str, Any]:
    if plan.is_finished(folder, name):
        ledger = atomic.read_json(folder / "models" / name / "ledger.json")
        return {"state": "done", "tokens": ledger["tokens"], "seconds": ledger["seconds"]}
    metrics = folder / "training" / name / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []
    for line in reversed(lines):
        try:
            last = json.loads(line)
        except ValueError:
            continue  # a line being written
        return {"state": "begun", "step": last["step"], "tokens": last["tokens"]}
    return {"state": "waiting"}


def show_status(folder: Path, *, as_json: bool = False) -> None:
    """Print where a run stands."""
    about = status(folder)
    if as_json:
        print(json.dumps(about, indent=1, ensure_ascii=False))
        return
    console = Console()
    console.print(
        f"{about['run']}: corpus {'prepared' if about['prepared'] else 'not prepared'}; "
        f"allocations {', '.join(about['allocated']) or 'none'}; "
        f"bundles {', '.join(about['bundles']) or 'none'}; "
        f"{'evaluated' if about['evaluated'] else 'not evaluated'}",
        highlight=False,
        soft_wrap=True,
    )
    for name, job in about["jobs"].items():
        state = job.pop("state")
        rest = "  ".join(f"{key} {value:,.0f}" for key, value in job.items())
        console.print(f"  {name}: {state}  {rest}".rstrip(), highlight=False, markup=False)
