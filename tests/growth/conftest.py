"""A tiny run and the bundle made of it: two experts for three made-up languages, width 32."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import CONTEXT, EXPERTS, documents, trained

from xelm.allocation.columns import routing_file
from xelm.allocation.result import Allocation
from xelm.corpus import shards, tokenizer
from xelm.corpus.share import Share
from xelm.ensemble import manifest as manifests
from xelm.ensemble.bundle import assemble
from xelm.storage import atomic

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with corpus, seed, dense, two experts and their bundle; copied for each test."""
    run = tmp_path_factory.mktemp("made") / "run"
    counts = {"en": 30, "ru": 20, "sw": 10}
    splits = {
        split: [d for code, n in counts.items() for d in documents(code, n // part, split)]
        for split, part in (("train", 1), ("dev", 5), ("heldout", 5))
    }
    every = [*splits["train"], *documents("pl", 5, "train"), *documents("he", 5, "train")]
    pieces = tokenizer.train(every, 400)
    shards.build(splits, pieces, run / "corpus", workers=1, context=CONTEXT)
    opened = shards.TokenShards(run / "corpus", "train")
    place = run / "allocations" / "pair"
    experts: dict[str, Any] = {}
    for number, (name, languages) in enumerate(EXPERTS.items(), start=1):
        share = Share.of(opened, dict.fromkeys(languages))
        share.save(place / "shares" / f"{name}.json")
        tokens = {code: share.token_count(code) for code in languages}
        experts[name] = {"languages": tokens}
        trained(
            pieces,
            run / "models" / "pair" / name,
            number,
            parent="models/seed",
            tokens_by_language=tokens,
            context=CONTEXT,
        )
    outcome = Allocation({name: dict.fromkeys(codes) for name, codes in EXPERTS.items()})
    routing_file(opened, outcome, seed=0).save(place)
    owner = {code: name for name, languages in EXPERTS.items() for code in languages}
    atomic.write_json(place / "allocation.json", {"experts": experts, "owner": owner, "k": 2})
    trained(pieces, run / "models" / "seed", 0)
    trained(pieces, run / "models" / "dense", 9)
    assemble(run, "pair", run / "bundles" / "pair")
    return run


@pytest.fixture
def run(made_run: Path, tmp_path: Path) -> Path:
    """A fresh copy of the tiny run."""
    return Path(shutil.copytree(made_run, tmp_path / "run"))


@pytest.fixture
def bundle(run: Path) -> Path:
    """The bundle in the fresh run."""
    return run / "bundles" / "pair"


@pytest.fixture
def lone(bundle: Path, tmp_path: Path) -> Path:
    """The same bundle far from any run, and without its seed."""
    folder = Path(shutil.copytree(bundle, tmp_path / "elsewhere" / "pair"))
    manifest = manifests.read(folder)
    assert manifest.seed is not None and manifest.seed.folder is not None
    shutil.rmtree(folder / manifest.seed.folder)
    seed = manifest.seed.model_copy(update={"folder": None})
    alone = manifest.model_copy(update={"seed": seed})
    atomic.write_json(folder / manifests.NAME, manifests.as_json(alone))
    return folder


@pytest.fixture(scope="session")
def pieces(made_run: Path) -> Any:
    return tokenizer.load(made_run / "corpus" / "tokenizer")
