"""A run: one recipe, one folder, the stages in order; what is done is not done again.

    run = Run.create(load("recipes/demo.yaml"), Path("runs/demo"))
    run.all()

Every stage is one method that can be called on its own, in another process, days later: stages meet
in files (see CONTRIBUTING.md), never in memory.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from xelm import plan, recipe_changes, seeding
from xelm.config import Recipe, validate
from xelm.errors import UserError
from xelm.launching.local import LocalPool, worker_count
from xelm.launching.task import Task
from xelm.launching.view import Steps, View
from xelm.storage import atomic

STAGES = ("prepare", "allocate", "train", "assemble", "evaluate", "report")
_LIBRARIES = ("xelm", "torch", "transformers", "tokenizers", "numpy", "scikit-learn")

Say = Callable[[str], None]


class Run:
    """A run folder with its recipe.

    Args:
        folder: the run's folder, `runs/<name>` by custom.
        recipe: validated settings.
        say: where one-line messages go.
    """

    def __init__(self, folder: Path, recipe: Recipe, say: Say = print) -> None:
        self.folder, self.recipe, self.say = Path(folder), recipe, say
        self._pool: LocalPool | None = None

    @classmethod
    def create(cls, recipe: Recipe, folder: Path, say: Say = print) -> "Run":
        """Begin a run, or go on with the one that is there.

        Raises:
            UserError: the folder holds work of another recipe; the message names what differs.
        """
        plan.check(recipe)
        path = Path(folder) / "run.yaml"
        if path.exists():
            there = validate(_read(path)["recipe"], str(path))  # keys newer than it get defaults
            recipe_changes.require_possible(Path(folder), there, recipe)
            if there.identity() != recipe.identity():
                atomic.write_text(path, _run_yaml(recipe))
        else:
            if Path(folder).exists() and any(Path(folder).iterdir()):
                raise UserError(f"{folder}: not empty and not a run; give another --out")
            atomic.write_text(path, _run_yaml(recipe))
        return cls(folder, recipe, say)

    @classmethod
    def open(cls, folder: Path, say: Say = print) -> "Run":
        """The run that is in a folder.

        Raises:
            UserError: there is none.
        """
        path = require_run(folder)
        return cls(Path(folder), validate(_read(path)["recipe"], str(path)), say)

    def all(self) -> None:
        """All stages in order."""
        with self._workers():
            for stage in STAGES:
                getattr(self, stage)()
        self.say(f"all is done; open {self.folder / 'report.html'}")
        for name in list(self.recipe.allocations)[:1]:
            bundle = self.folder / "bundles" / name
            self.say(f'talk to it: xelm generate {bundle} --prompt "..." --language xx')

    def prepare(self) -> None:
        """Text -> tokenizer and token shards in `corpus/`."""
        from xelm.corpus.prepare import prepare

        settings, seed = self.recipe.corpus, self.recipe.seed.folder
        if seed is not None:
            where = seeding.source(seed)
            if not (self.folder / "corpus").exists():
                seeding.require_fit(where, settings.tokenizer)
            # a seed reads with its own tokenizer
            own = settings.tokenizer or str(where)
            settings = settings.model_copy(update={"tokenizer": own})
        with Steps("prepare") as steps:
            prepare(settings, self.folder / "corpus", report=steps.report)

    def allocate(self) -> None:
        """Who gets which document: `allocations/<name>/` for each."""
        from xelm.allocation.stage import allocate

        for name, settings in self.recipe.allocations.items():
            allocate(settings, self.folder / "corpus", self.folder / "allocations" / name)

    def train(self, names: Sequence[str] | None = None) -> None:
        """Train the jobs named (default: all, after the sweep if there is one)."""
        with self._workers():
            self._run_tasks("seed", seeding.place(self.folder, self.recipe))
            if names == ["seed"]:
                return
            self._sweep()
            jobs = plan.all_jobs(self.folder, self.recipe)
            plan.write(self.folder, jobs)
            self._run_tasks("train", plan.tasks(self.folder, plan.select(jobs, names)))

    def assemble(self) -> None:
        """Bundles of the experts that are there: `bundles/<allocation>/`.

        Raises:
            UserError: no expert of any allocation is finished.
        """
        from xelm.ensemble.bundle import NothingFinished, assemble

        names, missing = list(self.recipe.allocations), []
        for name in names:
            try:
                assemble(self.folder, name, self.folder / "bundles" / name)
            except NothingFinished as none:
                missing.append(none)
                self.say(str(none))
        if names and len(missing) == len(names):
            raise missing[0]

    def evaluate(self) -> None:
        """Bits per byte of every arm -> `evaluation/summary.json`."""
        from xelm.evaluation import scores, summary

        if summary.is_current(self.folder, self.recipe):
            return
        self._run_tasks("score", scores.tasks(self.folder, self.recipe))
        summary.write(self.folder, self.recipe)

    def report(self) -> None:
        """The terminal's table and `report.html`."""
        from xelm.reporting import report

        report.write(self.folder, self.recipe)
        report.show(self.folder, self.recipe)

    def _sweep(self) -> None:
        if self.recipe.sweep is None:
            return
        from xelm.sweep import choose_settings, take_trained

        if not (self.folder / "training" / "sweep.json").is_file():
            choose_settings(self.folder, self.recipe, self._run_tasks)
        take_trained(self.folder, self.recipe)

    @contextmanager
    def _workers(self) -> Iterator[LocalPool]:
        """Workers, begun as tasks ask for them, that stay until the outermost user is done.

        So imports and compiled steps serve all stages, and every round of a sweep.
        """
        if self._pool is not None:
            yield self._pool
            return
        launching = self.recipe.launching
        count = worker_count(launching.workers, launching.device)
        with LocalPool(count, self.folder / "logs", launching.device) as self._pool:
            try:
                yield self._pool
            finally:
                self._pool = None

    def _run_tasks(self, title: str, tasks: Sequence[Task]) -> None:
        """Run tasks on this machine's free cores or GPUs, showing how they go."""
        if not tasks:
            return
        with self._workers() as pool, View(title, [task.name for task in tasks]) as view:
            pool.run(tasks, view.on_message)


def train_one(folder: Path, name: str) -> None:
    """Train one job of a folder that is no run of ours: a packed expert."""
    task = Task(name, "xelm.training.loop:train", {"run": str(folder), "name": name})
    with LocalPool(1, Path(folder) / "logs") as pool, View("train", [name]) as view:
        pool.run([task], view.on_message)


def require_run(folder: Path) -> Path:
    """The `run.yaml` of a run's folder.

    Raises:
        UserError: there is none.
    """
    path = Path(folder) / "run.yaml"
    if not path.is_file():
        raise UserError(f"{folder}: no run here (no run.yaml); begin one with `xelm run RECIPE`")
    return path


def _run_yaml(recipe: Recipe) -> str:
    value = {"recipe": recipe.model_dump(mode="json"), "versions": versions(), "commit": commit()}
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)


def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    return {name: metadata.version(name) for name in _LIBRARIES}


def commit() -> str | None:
    """The commit of this checkout, `+` appended when files differ; None outside one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _read(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {"recipe": value["recipe"]}
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
        raise UserError(f"{path}: damaged; give another --out or restore it") from None
