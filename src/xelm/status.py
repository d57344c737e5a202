"""Where a run stands (`xelm status`): what is done, what trains, what waits."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from xelm import plan
from xelm.run import require_run
from xelm.storage import atomic


def status(folder: Path) -> dict[str, Any]:
    """Where a run stands: stages done, jobs done, jobs under way with their last logged step."""
    folder = Path(folder)
    require_run(folder)
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


def show(folder: Path, *, as_json: bool = False) -> None:
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
