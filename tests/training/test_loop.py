"""A job from start to finish: idempotent, stoppable, its ledger true."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xelm.corpus import windows_hash
from xelm.models import seed
from xelm.training.events import Event, Finished, Progress, Stopped
from xelm.training.job import Job, plan_matched
from xelm.training.loop import train


def weights(run: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(run / "models" / name / "model.safetensors")


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def test_a_job_trains_once_and_then_says_it_is_done(run: Path, planned: Callable[..., Job]) -> None:
    planned()
    events: list[Event] = []
    train(run, "pair/en-sw", report=events.append)
    assert isinstance(events[-1], Finished) and not events[-1].already
    before = weights(run, "pair/en-sw")
    assert not same(before, weights(run, "seed"))
    train(run, "pair/en-sw", report=events.append)
    assert isinstance(events[-1], Finished) and events[-1].already
    assert same(before, weights(run, "pair/en-sw"))


def test_training_lowers_the_loss(run: Path, planned: Callable[..., Job]) -> None:
    planned(windows=120, log_every=1)
    train(run, "pair/en-sw")
    rows = [json.loads(x) for x in (run / "models/pair/en-sw/metrics.jsonl").open()]
    assert [row["step"] for row in rows] == list(range(1, 31))
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.5
    assert rows[-1]["tokens"] == 120 * 16


def test_the_first_step_foretells_no_time(
    run: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xelm.training.watch._REPORT_SECONDS", 0.0)
    planned()
    events: list[Event] = []
    train(run, "pair/en-sw", report=events.append)
    first, second = [event for event in events if isinstance(event, Progress)][:2]
    assert first.seconds_left is None and first.tokens_per_second is None
    assert second.seconds_left and second.tokens_per_second


def test_the_finished_folder_loads_with_transformers_alone(
    run: Path, planned: Callable[..., Job]
) -> None:
    planned()
    train(run, "pair/en-sw")
    model = seed.load(run / "models/pair/en-sw")
    assert model.dtype == torch.float32
    assert (run / "models/pair/en-sw/tokenizer.json").exists()


def test_ledger_counts_what_was_consumed(run: Path, planned: Callable[..., Job]) -> None:
    job = planned(windows=41)
    train(run, job.name)
    ledger = json.loads((run / "models/pair/en-sw/ledger.json").read_text())
    assert ledger["tokens"] == 41 * 16 == sum(ledger["tokens_by_language"].values())
    assert ledger["steps"] == 11
    assert ledger["epochs_by_language"].keys() == {"en", "sw"}
    assert ledger["seconds"] > 0 and ledger["flops"] > 0


def test_dense_matched_consumes_exactly_what_the_experts_did(
    run: Path, planned: Callable[..., Job]
) -> None:
    experts = [planned("pair/en-sw", windows=40, alpha=0.5), planned("pair/ru", windows=23)]
    matched = plan_matched("dense-matched/pair", experts, experts[0].settings)
    matched.save(run)
    hashes = {}
    for job in (*experts, matched):
        train(run, job.name)
        ledger = json.loads((run / f"models/{job.name}/ledger.json").read_text())
        hashes[job.name] = ledger["windows_hash"]
    assert windows_hash.union([hashes[job.name] for job in experts]) == hashes[matched.name]


class StopAfter:
    """Sends a signal to this process when a job reaches a step."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and event.step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_stopped_and_resumed_twice_is_the_same_to_the_bit(
    run: Path, planned: Callable[..., Job], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xelm.training.watch._REPORT_SECONDS", 0.0)
    planned()
    train(run, "pair/en-sw")
    whole = weights(run, "pair/en-sw")
    (run / "models/pair/en-sw").rename(run / "models/pair/whole")
    for step in (3, 7):
        with pytest.raises(Stopped):
            train(run, "pair/en-sw", report=StopAfter(step, number))
    train(run, "pair/en-sw")
    assert same(whole, weights(run, "pair/en-sw"))
    ledgers = [
        json.loads((run / f"models/pair/{n}/ledger.json").read_text()) for n in ("whole", "en-sw")
    ]
    assert ledgers[0]["windows_hash"] == ledgers[1]["windows_hash"]
    assert ledgers[1]["resumed"] == 2
