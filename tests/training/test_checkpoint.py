"""Checkpoints under fire: damage has a name, the one before is used, nothing is lost."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xelm.errors import UserError
from xelm.storage.lock import Lock
from xelm.training import checkpoint
from xelm.training.events import Event, Notice, Progress, Stopped, ignore
from xelm.training.job import Job
from xelm.training.loop import train

NAME = "pair/en-sw"
DAMAGES = {
    "flipped": lambda file: _flip(file),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-7]),
    "missing": lambda file: file.unlink(),
}


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "models" / NAME / "model.safetensors")


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


def stop_at(run: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until `step` and be stopped."""
    monkeypatch.setattr("xelm.training.watch._REPORT_SECONDS", 0.0)

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        train(run, NAME, report=report)


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        ("flipped", "state.safetensors"),
        ("truncated", "state.safetensors"),
        ("missing", "state.safetensors"),
        ("flipped", "state.json"),
        ("missing", "manifest.json"),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name_and_the_one_before_used(
    whole: Path,
    run: Path,
    planned: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
    name: str,
) -> None:
    planned()
    stop_at(run, 3, monkeypatch)
    stop_at(run, 6, monkeypatch)
    folder = run / "training" / NAME / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["00000003", "00000006"]
    DAMAGES[damage](folder / "00000006" / name)
    events: list[Event] = []
    train(run, NAME, report=events.append)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert any("00000006" in text and name in text for text in notices)
    assert any("from step 3" in text for text in notices)
    assert equal(weights(whole), weights(run))


def test_two_checkpoints_are_kept(
    run: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(checkpoint_seconds=0)
    stop_at(run, 5, monkeypatch)
    folder = run / "training" / NAME / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["00000004", "00000005"]


def test_a_full_disk_keeps_the_old_checkpoint_and_training_goes_on(
    whole: Path, run: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(checkpoint_seconds=0)
    saved, real = [], checkpoint.save

    def save(folder: Path, step: int, *rest: object) -> None:
        if 3 <= step <= 6:
            raise OSError(errno.ENOSPC, "no space left on device")
        saved.append(step)
        real(folder, step, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoint, "save", save)
    events: list[Event] = []
    train(run, NAME, report=events.append)
    assert saved == [1, 2, 7, 8, 9]
    assert sum("no room" in e.message for e in events if isinstance(e, Notice)) == 4
    assert equal(weights(whole), weights(run))


def test_a_full_disk_at_the_end_waits_for_room(
    whole: Path, run: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned()
    tries, real = [], checkpoint.atomic.folder
    monkeypatch.setattr("xelm.training.session._WAIT_SECONDS", 0.01)

    def folder(path: Path, **more: bool):  # type: ignore[no-untyped-def]
        tries.append(path)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "no space left on device")
        return real(path, **more)

    monkeypatch.setattr("xelm.training.session.atomic.folder", folder)
    train(run, NAME)
    assert len(tries) == 3
    assert equal(weights(whole), weights(run))


def test_too_little_disk_is_said_before_the_first_step(
    run: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned()
    usage = shutil._ntuple_diskusage(10**9, 10**9, 1000)  # type: ignore[attr-defined]
    monkeypatch.setattr("xelm.storage.disk.shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="training pair/en-sw needs"):
        train(run, NAME)


def test_a_second_worker_says_who_trains_and_leaves_the_first_alone(
    whole: Path, run: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xelm.training.watch._REPORT_SECONDS", 0.0)
    planned()
    code = "import sys; from xelm.training import loop; loop.train(sys.argv[1], sys.argv[2])"
    said: list[str] = []

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.step == 5:
            second = [sys.executable, "-c", code, str(run), NAME]
            said.append(subprocess.run(second, capture_output=True, text=True).stderr)

    train(run, NAME, report=report)
    assert f"{NAME}/lock: locked by process {os.getpid()} on" in said[0]
    assert equal(weights(whole), weights(run))


def test_a_worker_whose_lock_was_taken_over_stops(
    run: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned()
    monkeypatch.setattr(Lock, "lost", True, raising=False)
    monkeypatch.setattr(Lock, "_take", lambda lock: setattr(lock, "lost", True))
    with pytest.raises(UserError, match="another took over"):
        train(run, NAME)
    assert not (run / "models" / NAME).exists()


CHANGES = {
    "models/seed/config.json": "models/seed",
    "corpus/train/en/tokens.bin": "tokens.bin",
    "corpus/tokenizer/tokenizer.json": "tokenizer.json",
}


@pytest.mark.parametrize("file", CHANGES)
def test_changed_files_under_a_checkpoint_are_named(
    run: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    planned()
    stop_at(run, 3, monkeypatch)
    _flip(run / file)
    with pytest.raises(UserError, match=CHANGES[file]):
        train(run, NAME)


def test_another_seed_or_other_settings_under_a_checkpoint_are_named(
    run: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned()
    stop_at(run, 3, monkeypatch)
    planned(learning_rate=5e-3)
    with pytest.raises(UserError, match=r"job\.json \(job\): changed since"):
        train(run, NAME)
    planned()
    planned("pair/ru")
    train(run, "pair/ru")
    shutil.rmtree(run / "models/seed")
    shutil.copytree(run / "models/pair/ru", run / "models/seed")
    with pytest.raises(UserError, match=r"models/seed \(seed\): changed since"):
        train(run, NAME)


def test_other_threads_than_before_are_told(
    run: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(threads=2)
    stop_at(run, 3, monkeypatch)
    planned(threads=1)
    events: list[Event] = []
    train(run, NAME, report=events.append)
    notices = " ".join(event.message for event in events if isinstance(event, Notice))
    assert "going on with other flags than before" in notices and "'threads': 2" in notices
    ledger = json.loads((run / "models" / NAME / "ledger.json").read_text())
    assert ledger["hardware"]["threads"] == 1 == torch.get_num_threads()


@pytest.mark.parametrize("kills", [6, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_result_is_the_same_to_the_bit(
    run: Path, planned: Callable[..., Job], tmp_path: Path, kills: int
) -> None:
    planned(checkpoint_seconds=0, windows=20 * kills)
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    train(whole, NAME)
    killer = [sys.executable, str(Path(__file__).with_name("killer.py")), str(run), NAME]
    said = subprocess.run([*killer, str(kills)], stdout=subprocess.PIPE, text=True, check=True)
    killed, saving = json.loads(said.stdout)
    print(f"{killed} kills, {saving} of them inside a save")
    assert killed == kills and saving >= kills // 6
    assert equal(weights(whole), weights(run))


def test_latest_of_nothing_is_nothing(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path / "none", "job", ignore) is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 6 MB; skipped where one may not be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs leave to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> None:
    """Leave no byte free."""
    with suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_real_full_disk_loses_nothing(
    whole: Path,
    run: Path,
    planned: Callable[..., Job],
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xelm.training.watch._REPORT_SECONDS", 0.0)
    monkeypatch.setattr("xelm.training.session._WAIT_SECONDS", 0.05)
    planned(checkpoint_seconds=0, log_every=1)
    there = Path(shutil.copytree(run, small_disk / "run"))
    notices: list[str] = []

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.step in (3, 10):
            fill(small_disk)
        if isinstance(event, Progress) and event.step == 7:
            (small_disk / "filler").unlink()
        if isinstance(event, Notice):
            notices.append(event.message)
            if "waiting" in event.message:
                threading.Timer(0.2, (small_disk / "filler").unlink).start()

    train(there, NAME, report=report)
    assert sum("no room for a checkpoint" in text for text in notices) == 4
    assert sum("waiting" in text for text in notices) == 1
    assert equal(weights(whole), weights(there))
    steps = [json.loads(x)["step"] for x in (there / "models" / NAME / "metrics.jsonl").open()]
    assert steps == list(range(1, 11))
