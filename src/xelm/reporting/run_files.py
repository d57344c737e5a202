"""What a run's folder holds for a reader: figures, ledgers, curves, trees, and who made them when.

Only small files are read, and nothing is required but the summary: a run that is half there (other
experts train elsewhere) still has a report.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from xelm.storage import atomic
from xelm.training import metrics

_ASIDE = {"sweep", "orders"}  # folders of models/ that hold no arm of their own


@dataclass(frozen=True)
class RunFiles:
    """A run's folder, read as needed."""

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """evaluation/summary.json; UserError when the run has not been evaluated."""
        value: dict[str, Any] = atomic.read_json(self.folder / "evaluation" / "summary.json")
        return value

    @cached_property
    def made(self) -> dict[str, Any]:
        """run.yaml: recipe, versions, commit; {} when it is not there."""
        path = self.folder / "run.yaml"
        found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
        return found if isinstance(found, dict) else {}

    @cached_property
    def ledgers(self) -> dict[str, dict[str, Any]]:
        """Job -> ledger of every finished model of the first data order, by name."""
        return {
            path.parent.relative_to(self.folder / "models").as_posix(): atomic.read_json(path)
            for path in self._ledger_paths()
        }

    def curve(self, job: str) -> list[tuple[float, float]]:
        """(tokens, training loss in nats a token) of a finished job; [] without metrics."""
        return self._column(job, "loss")

    def dev_curve(self, job: str) -> list[tuple[float, float]]:
        """(tokens, bits per byte on dev), where it was measured while training."""
        return self._column(job, "dev_bits_per_byte")

    def tree(self, allocation: str) -> str | None:
        """The allocation's tree in Newick notation, where its method made one."""
        folder = self.folder / "allocations" / allocation
        for path in sorted(folder.glob("*.nwk")) + sorted(folder.glob("*.newick")):
            return path.read_text(encoding="utf-8")
        return None

    def fingerprint(self) -> str:
        """Of everything that a report is made from."""
        digest = hashlib.sha256()
        first = [self.folder / "evaluation" / "summary.json", self.folder / "run.yaml"]
        trees = sorted((self.folder / "allocations").glob("*/*.n*w*k*"))
        bundles = sorted((self.folder / "bundles").glob("*/xelm.json"))
        for path in [*first, *self._ledger_paths(), *trees, *bundles]:
            if path.is_file():
                digest.update(path.relative_to(self.folder).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _ledger_paths(self) -> Iterator[Path]:
        models = self.folder / "models"
        for path in sorted(models.glob("*/ledger.json")) + sorted(models.glob("*/*/ledger.json")):
            if path.relative_to(models).parts[0] not in _ASIDE:
                yield path

    def _column(self, job: str, key: str) -> list[tuple[float, float]]:
        rows = metrics.read(self.folder / "models" / job / "metrics.jsonl")
        return [(float(row["tokens"]), float(row[key])) for row in rows if row.get(key) is not None]


def jobs_of(arm: str, ledgers: Mapping[str, Any]) -> list[str]:
    """The jobs behind an arm that is trained (`dense`, `dense-matched/<a>`, `<a>`)."""
    return [job for job in ledgers if job == arm or job.rpartition("/")[0] == arm]
