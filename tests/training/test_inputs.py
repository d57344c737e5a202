"""Mistakes in what a job reads end in one line that names the file and the cure."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from xelm.corpus import tokenizer
from xelm.corpus.documents import Document
from xelm.errors import UserError
from xelm.storage import atomic
from xelm.training.job import Job, divided_batch, plan
from xelm.training.loop import train
from xelm.training.settings import ArmSettings


def test_no_such_job(run: Path) -> None:
    with pytest.raises(UserError, match=r"pair/none/job\.json: no such job"):
        train(run, "pair/none")
    with pytest.raises(UserError, match="not a job's name"):
        train(run, "../outside")


def test_a_broken_job_is_named(run: Path, planned: Callable[..., Job]) -> None:
    planned()
    path = run / "training/pair/en-sw/job.json"
    atomic.write_json(path, {"format": 1, "name": "x"})
    with pytest.raises(UserError, match=r"job\.json: not a training job"):
        train(run, "pair/en-sw")


def test_a_missing_parent_is_named(run: Path, planned: Callable[..., Job]) -> None:
    planned()
    shutil.rmtree(run / "models/seed")
    with pytest.raises(UserError, match="models/seed: the parent model is not there"):
        train(run, "pair/en-sw")


def test_a_parent_with_another_tokenizer_is_named(run: Path, planned: Callable[..., Job]) -> None:
    planned()
    other = tokenizer.train([Document("xyz " * 50, "en", "a", "a", "t")], 257)
    other.save_pretrained(run / "models/seed")
    from xelm.storage import manifest

    manifest.write(run / "models/seed")
    with pytest.raises(UserError, match=r"models/seed/tokenizer\.json: is another tokenizer"):
        train(run, "pair/en-sw")


def test_a_context_longer_than_the_model_reads(run: Path) -> None:
    settings = ArmSettings(compile=False, dtype="float32")
    plan("dense", tokens=640, context=64, settings=settings).save(run)
    with pytest.raises(UserError, match="context: 64 tokens, but models/seed reads at most 16"):
        train(run, "dense")


def test_a_batch_that_k_does_not_divide() -> None:
    assert divided_batch(32, 8) == 4
    with pytest.raises(UserError, match="30 windows cannot be divided among 8"):
        divided_batch(30, 8)


def test_budgets_are_whole_windows_and_steps_round_up() -> None:
    job = plan("dense", tokens=1000, context=16, settings=ArmSettings(batch=8))
    assert (job.windows, job.tokens, job.steps) == (62, 992, 8)


def test_a_loss_that_is_not_a_number_says_what_to_do(
    run: Path, planned: Callable[..., Job]
) -> None:
    planned(learning_rate=1e30, clip=0.0)
    with pytest.raises(UserError, match="lower its learning_rate"):
        train(run, "pair/en-sw")
