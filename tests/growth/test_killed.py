"""SIGKILL at any moment of any command leaves a loadable bundle of the old or the new revision."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import CONTEXT, snapshot, text_file, trained, unchanged

import xelm.training.inputs  # noqa: F401  once here, not in every process that will be killed
from xelm.ensemble import manifest as manifests
from xelm.ensemble.verify import verify
from xelm.errors import UserError
from xelm.growth.add import Request, add
from xelm.growth.adopt import adopt
from xelm.growth.history import checkout
from xelm.growth.prune import prune
from xelm.growth.publish import publish
from xelm.growth.remove import remove
from xelm.growth.text import NewText
from xelm.growth.upgrade import upgrade

Command = Callable[[Path], Any]
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def commands(tmp_path: Path, pieces: Any) -> dict[str, Command]:
    """Each verb on a bundle at revision 3, with expert `he` and without `ru`."""
    theirs = trained(pieces, tmp_path / "theirs", 5)
    more = trained(pieces, tmp_path / "more", 6)
    return {
        "adopt": lambda bundle: adopt(bundle, theirs, ["pl"], say=lambda line: None),
        "upgrade": lambda bundle: upgrade(bundle, "en-sw", more, force=True),
        "checkout": lambda bundle: checkout(bundle, 1),
        "prune": lambda bundle: prune(bundle, keep=1),
        "remove": lambda bundle: remove(bundle, "he"),
    }


@pytest.fixture
def third(bundle: Path, tmp_path: Path, pieces: Any) -> Path:
    adopt(bundle, trained(pieces, tmp_path / "he", 4), ["he"], say=lambda line: None)
    remove(bundle, "ru")
    return bundle


def killed_at(operation: int, command: Command, bundle: Path) -> bool:
    """Run a command and kill it at its n-th change of the disk; False when it made fewer."""

    def child() -> None:
        left = [operation]

        def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*arguments: Any, **named: Any) -> Any:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **named)

            return wrapped

        for name in ("fsync", "link", "mkdir", "rename", "replace", "unlink", "rmdir", "pwrite"):
            setattr(os, name, deadly(getattr(os, name)))
        command(bundle)

    process = FORK.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def check_whole(bundle: Path, before: dict[str, tuple[int, bytes]], pruning: bool) -> None:
    """The bundle is of one revision or the next, whole, and no other file was touched."""
    assert manifests.read(bundle).revision in (3, 4)
    manifest = verify(bundle)
    named = tuple(folder for folder, _ in manifest.folders())
    kept = {
        name: content
        for name, content in before.items()
        if not pruning or name.startswith(named) or "/" not in name
    }
    assert unchanged(kept, bundle)


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verb", ["adopt", "upgrade", "checkout", "prune", "remove"])
def test_killed_at_changes_of_the_disk(
    verb: str, stride: int, commands: dict[str, Command], third: Path, tmp_path: Path
) -> None:
    operation = 2 - stride
    while True:
        operation += stride
        place = Path(shutil.copytree(third, tmp_path / "place"))
        before = snapshot(place)
        died = killed_at(operation, commands[verb], place)
        check_whole(place, before, verb == "prune")
        if died and manifests.read(place).revision == 3:
            commands[verb](place)  # the same command again succeeds
            check_whole(place, before, verb == "prune")
        assert not list(place.rglob(".*.tmp-*")) or manifests.read(place).revision == 4
        shutil.rmtree(place)
        if not died:
            break
    assert operation > 3, "the command was never in danger"


def _kill(wanted: int, commands: dict[str, Command], bundle: Path) -> None:
    """Start commands one after the other on one bundle and kill each after a random time.

    Counted in kills, since how many fit into a second depends on what else the machine does.
    """
    chance, kills, end = random.Random(0), 0, time.monotonic() + 5.0 * wanted
    while kills < wanted:
        assert time.monotonic() < end, f"only {kills} of {wanted} processes were alive to be killed"
        verb = chance.choice(list(commands))
        before = manifests.read(bundle).revision

        def child(verb: str = verb) -> None:
            try:
                if verb == "remove":
                    remove(bundle, chance.choice(["ru", "pl", "en-sw", "he"]))
                else:
                    commands[verb](bundle)
            except UserError:
                os._exit(2)

        process = FORK.Process(target=child)
        process.start()
        time.sleep(chance.random() ** 2 * 0.2)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        assert verify(bundle).revision in (before, before + 1)


def test_killed_at_random_moments(commands: dict[str, Command], bundle: Path) -> None:
    _kill(10, commands, bundle)


@pytest.mark.slow
def test_killed_at_random_moments_for_long(commands: dict[str, Command], bundle: Path) -> None:
    _kill(300, commands, bundle)


def _add(bundle: Path, place: Path) -> None:
    import torch

    torch.set_num_threads(1)
    settings = {"batch": 2, "micro_batch": 2, "dtype": "float32", "compile": False}
    text = NewText("pl", [str(text_file(place, "pl"))])
    asked = Request(bundle, text, tokens=12 * CONTEXT, controls=False, workers=0, settings=settings)
    add(asked, say=lambda line: None)


def _wait_or_kill(process: Any, seconds: float) -> bool:
    """Did it end by itself in that time?"""
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return bool(process.exitcode == 0)


def _killed_until_done(seconds: float, lone: Path, tmp_path: Path) -> int:
    """Start the same addition again and again, each killed a little later; the number of kills."""
    before, kills = snapshot(lone), 0
    while not _wait_or_kill(FORK.Process(target=_add, args=(lone, tmp_path)), seconds):
        kills, seconds = kills + 1, seconds * 1.15
        assert verify(lone).revision in (1, 2)
        assert unchanged(before, lone)
    manifest = verify(lone)
    assert manifest.revision == 2 and manifest.expert("pl").languages == ["pl"]
    assert unchanged(before, lone)
    return kills


def test_an_addition_killed_and_started_again_goes_on(lone: Path, tmp_path: Path) -> None:
    assert _killed_until_done(0.3, lone, tmp_path) > 0


@pytest.mark.slow
def test_an_addition_killed_very_often(lone: Path, tmp_path: Path) -> None:
    assert _killed_until_done(0.01, lone, tmp_path) > 10


@pytest.mark.parametrize("stride", [29, pytest.param(3, marks=pytest.mark.slow)])
def test_an_addition_killed_at_changes_of_the_disk(lone: Path, tmp_path: Path, stride: int) -> None:
    home, operation = lone.parent, 1
    while True:
        place = Path(shutil.copytree(home, tmp_path / "place"))
        bundle = place / lone.name
        before = snapshot(bundle)
        died = killed_at(operation, lambda bundle, place=place: _add(bundle, place), bundle)
        assert verify(bundle).revision in (1, 2)
        assert unchanged(before, bundle)
        shutil.rmtree(place)
        if not died:
            break
        operation += stride
    assert operation > 50, "the command was never in danger"


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_a_publication_killed_leaves_nothing_or_the_whole(
    bundle: Path, tmp_path: Path, stride: int
) -> None:
    operation, died = 1, True
    while died:
        out = tmp_path / f"out-{operation}"
        died = killed_at(operation, lambda b, out=out: publish(b, out, lambda _: "# card"), bundle)
        assert verify(out).revision == 1 if out.exists() else died
        operation += stride
    verify(bundle)
