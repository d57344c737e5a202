"""Small corpora of real text in many scripts, made once per session."""

import filecmp
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from xelm.corpus import building, sample, tokenizer
from xelm.corpus.shards import TokenShards

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

os.environ["HF_HUB_OFFLINE"] = "1"
settings.register_profile("corpus", deadline=None)  # a busy machine is not a failure
settings.load_profile("corpus")
SCRIPTS = ["en", "ru", "zh", "hi", "ar", "ja"]


@pytest.fixture(scope="session")
def small_tokenizer() -> "PreTrainedTokenizerFast":
    return tokenizer.train(sample.documents("train", SCRIPTS), 600)


@pytest.fixture(scope="session")
def corpus(
    tmp_path_factory: pytest.TempPathFactory, small_tokenizer: "PreTrainedTokenizerFast"
) -> Path:
    folder = tmp_path_factory.mktemp("run") / "corpus"
    splits = {split: sample.documents(split, SCRIPTS) for split in ("train", "dev", "heldout")}  # type: ignore[arg-type]
    building.build(splits, small_tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def train_shards(corpus: Path) -> TokenShards:
    return TokenShards(corpus, "train")


@pytest.fixture
def same_files() -> Callable[[Path, Path], bool]:
    """Do two folders hold the same files with the same bytes?"""

    def compare(first: Path, second: Path) -> bool:
        names = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
        others = sorted(p.relative_to(second) for p in second.rglob("*") if p.is_file())
        return names == others and all(
            filecmp.cmp(first / name, second / name, shallow=False) for name in names
        )

    return compare
