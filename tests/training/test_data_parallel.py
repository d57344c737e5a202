"""Helpers: the same sums as one process, the same bits after a stop, no one left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from transformers import AutoConfig

from xelm.errors import UserError
from xelm.models import seed
from xelm.training import engines, session
from xelm.training.data_parallel import ParallelEngine
from xelm.training.engine import Engine
from xelm.training.events import Stopped
from xelm.training.job import Job
from xelm.training.loop import train
from xelm.training.settings import ArmSettings

CONTEXT = 16
NAME = "pair/en-sw"


@pytest.fixture
def config(made_run: Path) -> Any:
    return AutoConfig.from_pretrained(made_run / "models/seed")


@pytest.fixture
def alone(config: Any) -> Engine:
    torch.manual_seed(1)
    return Engine(config, CONTEXT, 4)


@pytest.fixture(params=[2, 3])
def shared(request: pytest.FixtureRequest, config: Any, alone: Engine) -> Iterator[ParallelEngine]:
    made = ParallelEngine(request.param, config, CONTEXT, 2, torch.float32, False)
    made.load({name: p.detach() for name, p in alone.model.named_parameters()})
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_engine_is_kept() -> Iterator[None]:
    yield
    for engine in engines._kept.values():
        engine.close()
    engines._kept.clear()


def windows(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 300, size=(count, CONTEXT + 1))


def test_sums_are_those_of_one_process(alone: Engine, shared: ParallelEngine) -> None:
    for count in (1, 2, 7, 3, 12):  # fewer than processes, uneven, more than there was room for
        expected = alone.sum_gradients(windows(count), 0.25)
        found = shared.sum_gradients(windows(count), 0.25)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            shared.master.flat_gradient, alone.master.flat_gradient, rtol=1e-4, atol=1e-6
        )


def test_helpers_follow_the_weights(alone: Engine, shared: ParallelEngine) -> None:
    for engine in (alone, shared):
        engine.master.configure((0.9, 0.95), 1e-8, 0.1)
    losses = [[float(e.step(windows(6), 1e-2)) for _ in range(4)] for e in (alone, shared)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert losses[0][-1] < 0.9 * losses[0][0]


def test_a_dead_helper_is_told(shared: ParallelEngine) -> None:
    shared.sum_gradients(windows(6), 1.0)
    for helper in shared._helpers:  # the test's process may have children of other tests
        helper._process.kill()
    with pytest.raises(UserError, match=r"helper process ended with code -9.*processes: 1"):
        for _ in range(2):
            shared.sum_gradients(windows(6), 1.0)


def test_closing_leaves_no_process(shared: ParallelEngine) -> None:
    shared.sum_gradients(windows(6), 1.0)
    files = psutil.Process().num_fds()
    helpers = [psutil.Process(helper._process.pid) for helper in shared._helpers]
    assert helpers and all(helper.is_running() for helper in helpers)
    shared.close()
    assert not any(helper.is_running() for helper in helpers)
    assert psutil.Process().num_fds() < files


def trained(run: Path) -> dict[str, torch.Tensor]:
    return seed.load(run / "models" / NAME).state_dict()


def test_a_job_of_two_processes_is_nearly_that_of_one_and_survives_a_stop(
    run: Path, whole: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(processes=2)
    train(run, NAME)
    straight, one = trained(run), trained(whole)
    for name, tensor in one.items():
        torch.testing.assert_close(straight[name], tensor, rtol=0.05, atol=2e-3)
    ledger = json.loads((run / "models" / NAME / "ledger.json").read_text())
    assert ledger["hardware"]["threads"] == 2 * torch.get_num_threads()

    shutil.rmtree(run / "models" / NAME)
    stops = iter([False] * 3 + [True])
    original = session.Session.run
    monkeypatch.setattr(
        session.Session, "run", lambda self, asked: original(self, lambda: next(stops))
    )
    with pytest.raises(Stopped):
        train(run, NAME)
    monkeypatch.undo()
    train(run, NAME)
    again = trained(run)
    assert all(torch.equal(again[name], tensor) for name, tensor in straight.items())


def test_a_killed_trainer_takes_its_helpers_along(run: Path, planned: Callable[..., Job]) -> None:
    planned(windows=4000, processes=2)
    code = "import sys; from pathlib import Path; from xelm.training.loop import train; "
    code += "train(Path(sys.argv[1]), sys.argv[2])"
    trainer = subprocess.Popen([sys.executable, "-c", code, str(run), NAME])
    metrics = run / "training" / NAME / "metrics.jsonl"
    wait_for(metrics.exists)
    helpers = psutil.Process(trainer.pid).children()
    os.kill(trainer.pid, signal.SIGKILL)
    trainer.wait()
    assert len(helpers) == 1
    wait_for(lambda: not any(helper.is_running() for helper in helpers))


def wait_for(there: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("change", [{"dropout": 0.1}, {"preserve": "freeze-middle"}])
def test_processes_are_for_plain_training(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="processes: more than one needs dropout: 0"):
        ArmSettings(processes=2, **change)  # type: ignore[arg-type]
