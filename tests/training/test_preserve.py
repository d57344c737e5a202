"""Methods that keep the seed's ability: what each promises, and that each resumes to the bit."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.errors import UserError
from xelm.models import seed
from xelm.training.events import Event, Progress, Stopped
from xelm.training.job import Job
from xelm.training.loop import train
from xelm.training.preserve import METHODS

NAME = "pair/ru"
CONTEXT = 16  # of the made-up run


def weights(run: Path, name: str = NAME) -> dict[str, torch.Tensor]:
    return load_file(run / "models" / name / "model.safetensors")


def changed_layers(run: Path) -> set[str]:
    before, after = weights(run, "seed"), weights(run)
    return {
        name.split("layers.")[1].split(".")[0] if "layers." in name else name
        for name in before
        if not torch.equal(before[name], after[name])
    }


@pytest.mark.parametrize("method", ["freeze-middle", "revert-middle"])
def test_the_middle_stays_as_it_was(deep: Path, planned: Callable[..., Job], method: str) -> None:
    planned(NAME, preserve=method)
    train(deep, NAME)
    changed = changed_layers(deep)
    assert {"0", "3"} < changed and not changed & {"1", "2"}


def test_l2_pulls_back_to_the_seed(deep: Path, planned: Callable[..., Job]) -> None:
    distances = []
    for strength in (0.0, 50.0):
        planned(NAME, preserve="l2-to-seed", preserve_strength=strength)
        train(deep, NAME)
        before, after = weights(deep, "seed"), weights(deep)
        middle = [n for n in before if "layers.1." in n or "layers.2." in n]
        distances.append(sum(float((before[n] - after[n]).norm()) for n in middle))
        (deep / "models" / NAME).rename(deep / "models" / f"s{strength}")
    assert distances[0] > distances[1] * 1.5


def test_lora_merged_is_the_seed_with_its_adapter_in_peft(
    deep: Path, planned: Callable[..., Job]
) -> None:
    peft = pytest.importorskip("peft")
    planned(NAME, preserve="lora", preserve_strength=4)
    train(deep, NAME)
    folder = deep / "models" / NAME
    assert not changed_layers(deep) - {"0", "1", "2", "3"}  # embeddings and norms stand still
    merged = seed.load(folder)
    adapted = peft.PeftModel.from_pretrained(seed.load(deep / "models/seed"), folder / "adapter")
    ids = torch.randint(0, 300, (2, 16))
    with torch.no_grad():
        torch.testing.assert_close(
            merged(input_ids=ids).logits, adapted(input_ids=ids).logits, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_resumes_to_the_bit(
    deep: Path, planned: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Stopped twice: at a random step, and at the one that ends the first epoch."""
    monkeypatch.setattr("xelm.training.watch._REPORT_SECONDS", 0.0)
    share = Share.load(
        deep / "allocations/pair/shares/ru.json", TokenShards(deep / "corpus", "train")
    )
    epoch = share.window_count("ru", CONTEXT)
    batch = next(size for size in (6, 5, 4, 3, 2, 1) if epoch % size == 0)
    planned(NAME, windows=epoch + 2 * batch, batch=batch, preserve=method)
    ends_epoch = epoch // batch
    stops = {random.randrange(1, ends_epoch), ends_epoch}

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.step in stops:
            os.kill(os.getpid(), signal.SIGTERM)

    for _ in stops:
        with pytest.raises(Stopped):
            train(deep, NAME, report=stop)
    train(deep, NAME)
    resumed = weights(deep)
    (deep / "models" / NAME).rename(deep / "models/resumed")
    train(deep, NAME)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in weights(deep).items()), stops


def test_a_shallow_model_has_no_middle(run: Path, planned: Callable[..., Job]) -> None:
    planned(NAME, preserve="freeze-middle")
    with pytest.raises(UserError, match="1 layers has no middle"):
        train(run, NAME)
