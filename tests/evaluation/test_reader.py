"""The compiled reader says what transformers says, and becomes the next model of its kind."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xelm.evaluation import reader, scores
from xelm.evaluation.reader import CompiledReader, open_model
from xelm.evaluation.settings import Reading
from xelm.models import seed
from xelm.models.scoring import WindowScorer, token_log_probabilities

CONTEXT = 32
pytestmark = pytest.mark.skipif(
    not reader.engines.has_compiler(), reason="torch.compile needs a C++ compiler"
)


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    yield
    reader._kept.clear()


def logs(model: object, rows: int) -> np.ndarray:
    """Of documents longer than a window, as long and shorter."""
    generator = np.random.default_rng(0)
    documents = [generator.integers(1, 300, size=n) for n in (700, CONTEXT, 5, 1, 90)]
    found = token_log_probabilities(
        model, documents, end_of_text=0, context=CONTEXT, batch_tokens=rows * CONTEXT
    )
    return np.concatenate(found)


def test_it_says_what_transformers_says(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reading, "batch_tokens", property(lambda self: 4 * CONTEXT))
    shapes = []
    for name in ("seed", "dense"):  # the second through the first one's graph
        plain = seed.load(run / "models" / name, dtype=torch.float32)
        compiled = open_model(run / "models" / name, Reading(compile=True), CONTEXT)
        assert isinstance(compiled, CompiledReader) and isinstance(compiled, WindowScorer)
        graph = compiled._graph

        def noted(*both: torch.Tensor, graph: Any = graph) -> torch.Tensor:
            shapes.append(tuple(each.shape for each in both))
            return graph(*both)

        compiled._graph = noted
        np.testing.assert_allclose(logs(compiled, 4), logs(plain, 4), atol=2e-5)
        compiled._graph = graph
    whole, half = torch.Size([4, CONTEXT]), torch.Size([4, CONTEXT // 2])
    assert len(shapes) >= 10 and set(shapes) == {(whole, whole), (whole, half)}
    assert len(reader._kept) == 1


@pytest.mark.parametrize(
    ("rows", "length", "kept"),
    [(1, CONTEXT, CONTEXT), (5, CONTEXT, CONTEXT), (4, 9, 9), (4, CONTEXT, 3)],
)
def test_other_shapes_are_not_its_business(run: Path, rows: int, length: int, kept: int) -> None:
    model = seed.load(run / "models" / "seed", dtype=torch.float32)
    inputs = torch.zeros(rows, length, dtype=torch.int64)
    assert CompiledReader(model, 4, CONTEXT).score(inputs, inputs[:, :kept]) is None


def test_another_architecture_goes_its_own_way(run: Path, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    small = GPT2Config(vocab_size=300, n_positions=CONTEXT, n_embd=32, n_layer=1, n_head=2)
    GPT2LMHeadModel(small).save_pretrained(tmp_path / "gpt2")
    shutil.copytree(run / "corpus/tokenizer", tmp_path / "gpt2", dirs_exist_ok=True)
    found = open_model(tmp_path / "gpt2", Reading(compile=True), CONTEXT)
    assert isinstance(found, GPT2LMHeadModel)


def test_a_recipe_asks_for_it(run: Path) -> None:
    scores.score(run, "dense", "heldout", {"hi": None}, compile=True)
    assert reader._kept
