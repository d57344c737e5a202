"""An expert that trains elsewhere comes home as if it had been trained here."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.errors import UserError
from xelm.storage import manifest
from xelm.training import packed
from xelm.training.job import Job, plan_matched
from xelm.training.loop import train
from xelm.training.pack import collect, pack


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(left: Path, right: Path) -> bool:
    one, two = weights(left), weights(right)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture
def scattered(run: Path, planned: Callable[..., Job]) -> Job:
    """A job on a share of scattered documents of two languages."""
    shards = TokenShards(run / "corpus", "train")
    chosen = {"en": np.array([1, 2, 5, 9, 10, 11, 20]), "ru": np.array([0, 3])}
    Share.of(shards, chosen).save(run / "allocations/pair/shares/en-sw.json")
    return planned(alpha=0.5)


def elsewhere(folder: Path) -> None:
    """Train a pack in another process with the network switched off."""
    code = (
        "import socket, sys\n"
        "def none(*a, **k): raise OSError('no network')\n"
        "socket.socket.connect = none\n"
        "from xelm.training import loop, packed\n"
        "loop.train(sys.argv[1], packed.job_name(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, timeout=300)


def test_packed_trained_elsewhere_and_collected_equals_trained_in_place(
    run: Path, scattered: Job, tmp_path: Path
) -> None:
    train(run, scattered.name)
    (run / "models/pair/en-sw").rename(tmp_path / "here")
    pack(run, scattered.name, tmp_path / "pack")
    (tmp_path / "far").mkdir()
    away = Path(shutil.move(tmp_path / "pack", tmp_path / "far" / "away"))
    elsewhere(away)
    assert collect(run, away) == "pair/en-sw"
    assert same(tmp_path / "here", run / "models/pair/en-sw")
    manifest.verify(run / "models/pair/en-sw")
    ledgers = [
        json.loads((folder / "ledger.json").read_text())
        for folder in (tmp_path / "here", run / "models/pair/en-sw")
    ]
    assert ledgers[0]["windows_hash"] == ledgers[1]["windows_hash"]
    assert ledgers[0]["fingerprints"] == ledgers[1]["fingerprints"]
    assert collect(run, away) == "pair/en-sw"  # again is harmless


def test_a_pack_holds_the_share_and_no_more(run: Path, scattered: Job, tmp_path: Path) -> None:
    pack(run, scattered.name, tmp_path / "pack")
    shards = TokenShards(tmp_path / "pack/corpus", "train")
    assert shards.languages == ["en", "ru"]
    assert shards.count("en") == 7 and shards.count("ru") == 2
    home = TokenShards(run / "corpus", "train")
    assert np.array_equal(shards.document("en", 3), home.document("en", 9))


def test_dense_matched_can_be_packed_too(
    run: Path, planned: Callable[..., Job], tmp_path: Path
) -> None:
    experts = [planned("pair/en-sw", windows=12), planned("pair/ru", windows=7)]
    job = plan_matched("dense-matched/pair", experts, experts[0].settings)
    job.save(run)
    pack(run, job.name, tmp_path / "pack")
    train(tmp_path / "pack", packed.job_name(tmp_path / "pack"))
    collect(run, tmp_path / "pack")
    assert (run / "models/dense-matched/pair/config.json").exists()


def test_a_changed_share_is_refused_by_name(run: Path, scattered: Job, tmp_path: Path) -> None:
    pack(run, scattered.name, tmp_path / "pack")
    tokens = tmp_path / "pack/corpus/train/ru/tokens.bin"
    data = bytearray(tokens.read_bytes())
    data[6] ^= 1
    tokens.write_bytes(data)
    with pytest.raises(UserError, match=r"ru/tokens\.bin: changed"):
        train(tmp_path / "pack", scattered.name)
    manifest.write(tmp_path / "pack/corpus")  # even if someone covers it up
    train(tmp_path / "pack", scattered.name)
    with pytest.raises(UserError, match=r"other windows than its share .*en-sw\.json"):
        collect(run, tmp_path / "pack")
    assert not (run / "models/pair/en-sw").exists()


def test_an_expert_of_another_job_is_refused(
    run: Path, scattered: Job, planned: Callable[..., Job], tmp_path: Path
) -> None:
    pack(run, scattered.name, tmp_path / "pack")
    train(tmp_path / "pack", scattered.name)
    planned(alpha=0.5, learning_rate=2e-2)
    with pytest.raises(UserError, match=r"another job than .*job\.json"):
        collect(run, tmp_path / "pack")


def test_collecting_too_early_says_what_to_do(run: Path, scattered: Job, tmp_path: Path) -> None:
    pack(run, scattered.name, tmp_path / "pack")
    with pytest.raises(UserError, match="not finished yet"):
        collect(run, tmp_path / "pack")
    with pytest.raises(UserError, match="not a pack"):
        collect(run, tmp_path)
