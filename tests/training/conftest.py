"""A tiny run: three languages of made-up text, a tokenizer of 300 pieces, a seed of one layer."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from xelm.corpus import shards, tokenizer
from xelm.corpus.documents import Document
from xelm.corpus.share import Share
from xelm.models import seed
from xelm.storage import atomic
from xelm.training.job import Job, plan
from xelm.training.loop import train
from xelm.training.settings import ArmSettings

ALPHABETS = {"en": "abcdefgh", "ru": "абвгдежз", "sw": "klmnopqr"}
CONTEXT = 16


def documents(language: str, count: int, split: str) -> Iterator[Document]:
    """Texts of words over the language's own letters."""
    chance = random.Random(f"{language}/{split}")
    letters = ALPHABETS[language]
    for number in range(count):
        words = ["".join(chance.choices(letters, k=chance.randint(2, 5))) for _ in range(20)]
        name = f"{split}-{number}"
        yield Document(" ".join(words), language, name, name, "made-up")


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with corpus, shares and a seed; copied for each test."""
    run = tmp_path_factory.mktemp("made") / "run"
    counts = {"en": 30, "ru": 12, "sw": 4}
    train = [d for code, n in counts.items() for d in documents(code, n, "train")]
    dev = [d for code in counts for d in documents(code, 3, "dev")]
    pieces = tokenizer.train(train, 300)
    shards.build({"train": train, "dev": dev}, pieces, run / "corpus", workers=1, context=CONTEXT)
    opened = shards.TokenShards(run / "corpus", "train")
    shares = run / "allocations/pair/shares"
    Share.of(opened, {"en": None, "sw": None}).save(shares / "en-sw.json")
    Share.of(opened, {"ru": None}).save(shares / "ru.json")
    seed.save(tiny_model(), pieces, run / "models/seed", {})
    return run


def tiny_model(layers: int = 1) -> LlamaForCausalLM:
    """A Llama of width 32 over 300 pieces, float32, always the same."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=300,
            hidden_size=32,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


@pytest.fixture
def run(made_run: Path, tmp_path: Path) -> Path:
    """A fresh copy of the tiny run."""
    return Path(shutil.copytree(made_run, tmp_path / "run"))


@pytest.fixture
def deep(run: Path) -> Path:
    """The tiny run with a seed of four layers."""
    pieces = tokenizer.load(run / "corpus/tokenizer")
    with atomic.folder(run / "models/seed", replace=True) as folder:
        seed.write_into(folder, tiny_model(layers=4), pieces, {})
    return run


SETTINGS = ArmSettings(
    batch=4,
    micro_batch=2,
    dtype="float32",
    compile=False,
    checkpoint_seconds=1000,
    learning_rate=1e-2,
)


def plan_job(run: Path, name: str, windows: int, **changes: object) -> Job:
    """Make and save a job on the tiny run; keyword arguments change its settings."""
    whole = name in ("dense", "seed")
    share = None if whole else f"allocations/{name.replace('/', '/shares/')}.json"
    settings = SETTINGS.model_copy(update=changes)
    job = plan(name, tokens=windows * CONTEXT, context=CONTEXT, settings=settings, share=share)
    job.save(run)
    return job


@pytest.fixture
def planned(run: Path) -> Callable[..., Job]:
    """`plan_job` on this test's run; `pair/en-sw` with 40 windows unless told otherwise."""

    def make(name: str = "pair/en-sw", windows: int = 40, **changes: object) -> Job:
        return plan_job(run, name, windows, **changes)

    return make


@pytest.fixture(scope="session")
def whole(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which the usual job was trained without interruption."""
    copy = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(made_run, copy)
    plan_job(copy, "pair/en-sw", 40)
    train(copy, "pair/en-sw")
    return copy
