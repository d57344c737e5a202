"""Mistakes in what a job reads end in one line that names the file and the cure."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xelm.corpus import tokenizer
from xelm.corpus.documents import Document
from xelm.errors import UserError
from xelm.storage import atomic, manifest
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


RESIDENT = """
import sys
from pathlib import Path
from xelm.training.inputs import open_inputs
from xelm.training.job import Job

def read(run):
    inputs = open_inputs(run, Job.load(run, "dense"))
    for start in range(0, 200, 4):
        inputs.windows(start, start + 4)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024

small, large = (read(Path(run)) for run in sys.argv[1:])
print(large - small)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_the_corpus_never_sits_in_memory(run: Path, tmp_path: Path) -> None:
    """A share of 200 MB costs a process no more of its own memory than a small one.

    (Pages of the mapped file that it read also count as resident; they are the kernel's cache.)
    """
    settings = ArmSettings(batch=4, compile=False, dtype="float32")
    plan("dense", tokens=200 * 16, context=16, settings=settings).save(run)
    small = shutil.copytree(run, tmp_path / "small")
    with (run / "corpus/train/en/tokens.bin").open("r+b") as file:
        file.truncate(200 * 2**20)  # a file with a hole: nothing to write, all of it to read
    starts = np.load(run / "corpus/train/en/starts.npy")
    starts[-1] = 100 * 2**20
    np.save(run / "corpus/train/en/starts.npy", starts)
    manifest.write(run / "corpus")
    said = subprocess.run(
        [sys.executable, "-c", RESIDENT, str(small), str(run)], stdout=subprocess.PIPE, check=True
    ).stdout
    assert int(said) < 20
