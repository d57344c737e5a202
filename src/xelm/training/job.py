"""The specification of one training job: everything training needs, in one small JSON file.

It stands at `training/<name>/job.json` of a run; all paths in it are relative to the run folder,
so that a packed run trains anywhere.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xelm.errors import UserError
from xelm.storage import atomic
from xelm.training.settings import ArmSettings

_FORMAT = 1
ABOUT_THE_MACHINE = (
    "checkpoint_seconds",
    "dev_every",
    "dev_windows",
    "log_every",
    "trackers",
    "threads",
    "processes",
)
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*(/[A-Za-z0-9][\w.+-]*){0,5}")


@dataclass(frozen=True)
class ShareSpec:
    """What a job consumes of one share."""

    share: str | None
    """Path of the share file; None stands for everything in the train split."""
    windows: int
    alpha: float
    order_seed: int


@dataclass(frozen=True)
class Job:
    """One model to train; see `plan` and `plan_matched` for making them."""

    name: str
    """`seed`, `dense`, `dense-matched/<allocation>`, `<allocation>/<expert>`, ..."""
    parent: str | None
    """Folder of the model to branch from, such as `models/seed`; None: fresh, of `size`."""
    sources: tuple[ShareSpec, ...]
    context: int
    settings: ArmSettings
    order_seed: int = 0
    size: str | None = None
    """The dial (`2m`), for a job without parent."""
    initial_seed: int = 0
    """Of the random initialisation, for a job without parent."""
    corpus: str = "corpus"

    @property
    def windows(self) -> int:
        """Windows consumed, repeats counted."""
        return sum(source.windows for source in self.sources)

    @property
    def tokens(self) -> int:
        """Budget: tokens consumed, repeats counted."""
        return self.windows * self.context

    @property
    def steps(self) -> int:
        """Optimizer steps; the last may hold fewer windows than a batch."""
        return -(-self.windows // self.settings.batch)

    def as_json(self) -> dict[str, Any]:
        """The content of job.json."""
        return asdict(self) | {"settings": self.settings.model_dump(), "format": _FORMAT}

    def identity(self) -> dict[str, Any]:
        """The job without how it is carried out: where files lie, how often it speaks.

        Threads change the last bits, as the kind of machine does: flags of a checkpoint tell of it.
        """
        value = self.as_json()
        for name in ABOUT_THE_MACHINE:
            value["settings"].pop(name)
        value.pop("corpus")
        for source in value["sources"]:
            source.pop("share")
        return value

    def save(self, run: Path) -> None:
        """Write `training/<name>/job.json`."""
        atomic.write_json(spec_path(run, self.name), self.as_json())

    @classmethod
    def load(cls, run: Path, name: str) -> "Job":
        """Read a job; UserError when there is none or it is not one."""
        if not _NAME.fullmatch(name):
            raise UserError(f"{name!r}: not a job's name; write it as dense or typology-8/en-es")
        path = spec_path(run, name)
        if not path.exists():
            raise UserError(f"{path}: no such job; `xelm status {run}` lists what the run holds")
        return cls._parse(atomic.read_json(path), path)

    @classmethod
    def _parse(cls, value: Any, path: Path) -> "Job":
        try:
            if value.pop("format") != _FORMAT:
                raise UserError(f"{path}: written by another version of xelm; plan the run again")
            value["sources"] = tuple(ShareSpec(**source) for source in value["sources"])
            value["settings"] = ArmSettings(**value["settings"])
            return cls(**value)
        except (TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path}: not a training job ({error}); plan the run again") from error


def spec_path(run: Path, name: str) -> Path:
    """Where a job's specification stands."""
    return Path(run) / "training" / name / "job.json"


def plan(
    name: str,
    *,
    tokens: int,
    context: int,
    settings: ArmSettings,
    share: str | None = None,
    parent: str | None = "models/seed",
    size: str | None = None,
    order_seed: int = 0,
) -> Job:
    """A job on one share; the budget is rounded to whole windows, not to whole batches."""
    windows = max(1, round(tokens / context))
    source = ShareSpec(share, windows, settings.alpha, order_seed)
    return Job(name, parent, (source,), context, settings, order_seed, size)


def plan_matched(
    name: str, experts: Sequence[Job], settings: ArmSettings, order_seed: int = 0
) -> Job:
    """dense-matched: the windows that `experts` consume, no more and no less, in one order."""
    first = experts[0]
    sources = tuple(source for expert in experts for source in expert.sources)
    return Job(name, first.parent, sources, first.context, settings, order_seed)


def divided_batch(batch: int, k: int) -> int:
    """`steps: published`: an expert's batch, so that k experts take as many steps as dense."""
    if batch % k:
        raise UserError(
            f"batch: {batch} windows cannot be divided among {k} experts; "
            f"give a multiple of {k}, or count by tokens"
        )
    return batch // k
