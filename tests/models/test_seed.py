"""Building, counting, saving and loading the seed."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from xelm.corpus import sample, tokenizer
from xelm.errors import UserError
from xelm.models import seed
from xelm.models.sizes import size
from xelm.storage import manifest


@pytest.fixture(scope="module")
def pieces():  # type: ignore[no-untyped-def]
    documents = sample.documents("train", ["en", "hi"])
    return tokenizer.train(documents, 400)


def test_saved_and_loaded_it_gives_the_same_logits(pieces, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model = seed.build(size("500k", 400), pieces, torch_seed=3).eval()
    seed.save(model, pieces, tmp_path / "seed", {"tokens": 0})
    manifest.verify(tmp_path / "seed")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "seed", dtype="auto")
    assert loaded.dtype == torch.bfloat16
    ids = torch.tensor([pieces("नमस्ते, good morning")["input_ids"]])
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, loaded(input_ids=ids).logits)


def test_the_same_torch_seed_builds_the_same_model(pieces) -> None:  # type: ignore[no-untyped-def]
    made = [seed.build(size("500k", 400), pieces, torch_seed=n).state_dict() for n in (1, 1, 2)]
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not all(torch.equal(made[0][name], made[2][name]) for name in made[0])


def test_an_untied_input_table_takes_no_part_in_products() -> None:
    counts = []
    for tied in (True, False):
        config = LlamaConfig(
            vocab_size=100,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=40,
            tie_word_embeddings=tied,
        )
        counts.append(seed.matmul_parameters(LlamaForCausalLM(config)))
    assert counts[0] == counts[1] == 32 * 100 + 4 * 32 * 32 + 3 * 32 * 40


def test_flops_by_the_formula(pieces) -> None:  # type: ignore[no-untyped-def]
    made = size("500k", 400)
    model = seed.build(made, pieces)
    expected = 6 * seed.matmul_parameters(model) + 12 * made.depth * made.width * 64
    assert seed.flops_per_token(model, 64) == expected


def test_a_folder_without_a_model_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot load a causal LM"):
        seed.load(tmp_path)
