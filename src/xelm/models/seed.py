"""The model all experts branch from: built by size, or loaded from a Hugging Face folder.

Also the counts that budgets and speed are stated in, with the formula they come from.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from xelm.corpus.tokenizer import end_of_text
from xelm.errors import UserError
from xelm.models.sizes import Size
from xelm.storage import atomic

FLOPS_FORMULA = (
    "6N + 12*L*H*Q*T per trained token (PaLM, appendix B): N parameters in matrix products "
    "(output head counted, input look-up not), L layers, H heads of width Q, T tokens of context"
)


transformers_logging.disable_progress_bar()  # our own view tells what is going on


def config(size: Size, tokenizer: Any) -> LlamaConfig:
    """The config of a Llama with tied embeddings that reads with `tokenizer`."""
    boundary = end_of_text(tokenizer)
    return LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        num_hidden_layers=size.depth,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        intermediate_size=size.feed_forward,
        max_position_embeddings=size.context,
        tie_word_embeddings=True,
        bos_token_id=boundary,
        eos_token_id=boundary,
        initializer_range=0.02,
        dtype="bfloat16",
    )


def build(size: Size, tokenizer: Any, torch_seed: int = 0) -> LlamaForCausalLM:
    """A freshly initialised Llama in bfloat16, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed)
        model = LlamaForCausalLM(config(size, tokenizer))
    for parameter in model.parameters():  # not `.to`: the rotary table must stay float32
        parameter.data = parameter.data.to(torch.bfloat16)
    model.generation_config.pad_token_id = end_of_text(tokenizer)
    return model


def load(folder_or_hub_id: str | Path, dtype: torch.dtype | None = None) -> Any:
    """A causal LM in evaluation mode, in `dtype` or the dtype it was saved in."""
    try:
        model = AutoModelForCausalLM.from_pretrained(str(folder_or_hub_id), dtype=dtype or "auto")
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder_or_hub_id}: cannot load a causal LM from it: {reason}") from error
    return model.eval()


def load_config(folder_or_hub_id: str | Path) -> Any:
    """A model's config; UserError when there is none."""
    try:
        return AutoConfig.from_pretrained(str(folder_or_hub_id))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder_or_hub_id}: no config of a model loads: {reason}") from error


def save(model: Any, tokenizer: Any, folder: Path, ledger: dict[str, Any]) -> None:
    """Write a Hugging Face folder with tokenizer and `ledger.json`; it appears whole."""
    with atomic.folder(folder) as temporary:
        write_into(temporary, model, tokenizer, ledger)


def write_into(folder: Path, model: Any, tokenizer: Any, ledger: dict[str, Any]) -> None:
    """The files of `save`, into a folder that exists (one that the caller makes appear whole)."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    atomic.write_json(folder / "ledger.json", ledger)


def count_parameters(model: Any) -> int:
    """All parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def matmul_parameters(model: Any) -> int:
    """N of the formula: parameters that take part in matrix products.

    The input embedding is a look-up and does not count, unless the output head shares it.
    """
    counted = {
        id(parameter): parameter.numel() for parameter in model.parameters() if parameter.ndim >= 2
    }
    table = model.get_input_embeddings().weight
    head = model.get_output_embeddings()
    if head is None or head.weight is not table:
        counted.pop(id(table), None)
    return sum(counted.values())


def flops_per_token(model: Any, context: int) -> int:
    """Floating-point operations to train on one token, by `FLOPS_FORMULA`.

    Attention is counted as the full square although half of it is masked, as the formula does.
    """
    config = model.config.get_text_config()
    head_width = getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads
    )
    attention = config.num_hidden_layers * config.num_attention_heads * head_width * context
    return int(6 * matmul_parameters(model) + 12 * attention)
