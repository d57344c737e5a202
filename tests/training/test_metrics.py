"""metrics.jsonl: cut back on a resume, patient with a full disk."""

import io
import json
from pathlib import Path

import pytest

from xelm.training.metrics import Metrics, read
from xelm.training.trackers import flat


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = Metrics(path, 0)
    for step in (1, 2, 3, 4):
        first.add({"step": step})
    again = Metrics(path, 2)
    again.add({"step": 3, "again": True})
    assert list(read(path)) == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}]


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo', encoding="utf-8")
    Metrics(path, 5).add({"step": 2})
    assert [json.loads(line)["step"] for line in path.open()] == [1, 2]


class FullAfter(io.FileIO):
    """A file on a disk with room for a few bytes only."""

    room = 5

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        super().write(bytes(data)[: self.room])
        raise OSError(28, "no space left on device")


def test_a_line_without_room_is_written_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl", 0)
    metrics.add({"step": 1})
    real = Path.open
    with monkeypatch.context() as patch:
        failing = iter([True])
        patch.setattr(
            Path,
            "open",
            lambda self, mode: FullAfter(self, "ab") if next(failing, 0) else real(self, mode),
        )
        metrics.add({"step": 2})
    assert [row["step"] for row in read(metrics.path)] == [1]
    metrics.add({"step": 3})
    assert [json.loads(line)["step"] for line in metrics.path.open()] == [1, 2, 3]


def test_trackers_get_numbers_only() -> None:
    row = {"step": 3, "loss": 1.5, "dev": None, "dev_by_language": {"en": 2.0}}
    assert flat(row) == {"step": 3, "loss": 1.5, "dev_by_language/en": 2.0}
