"""Makes what the tests of growth grow: made-up languages, models of width 32, snapshots."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from xelm.corpus.documents import Document
from xelm.models import seed

ALPHABETS = {
    "en": "abcdefgh",
    "ru": "абвгдежз",
    "sw": "klmnopqr",
    "pl": "stuvwxyz",
    "he": "אבגדהוזח",
}
CONTEXT = 16
EXPERTS = {"en-sw": ("en", "sw"), "ru": ("ru",)}


def text(language: str, name: str) -> str:
    """Twenty words over the language's own letters."""
    chance = random.Random(f"{language}/{name}")
    letters = ALPHABETS[language]
    return " ".join("".join(chance.choices(letters, k=chance.randint(2, 5))) for _ in range(20))


def documents(language: str, count: int, split: str) -> Iterator[Document]:
    for number in range(count):
        name = f"{split}-{number}"
        yield Document(text(language, name), language, name, name, "made-up")


def text_file(folder: Path, language: str, count: int = 30) -> Path:
    """A file of paragraphs in a language, as a user has it."""
    path = folder / f"{language}.txt"
    path.write_text("\n\n".join(text(language, f"own-{n}") for n in range(count)), encoding="utf-8")
    return path


def tiny_model(number: int, width: int = 32) -> LlamaForCausalLM:
    """A Llama of one layer over 400 pieces; another one for every number."""
    torch.manual_seed(number)
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config)


def trained(pieces: Any, folder: Path, number: int, **record: Any) -> Path:
    """A model's folder as training leaves it."""
    seed.save(tiny_model(number), pieces, folder, record)
    return folder


def snapshot(bundle: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a bundle but xelm.json, its lock and older manifests: inode and bytes."""
    return {
        path.relative_to(bundle).as_posix(): (path.stat().st_ino, path.read_bytes())
        for path in bundle.rglob("*")
        if path.is_file()
        and path.name not in ("xelm.json", ".xelm.lock")
        and path.parent.name != "revisions"
    }


def unchanged(before: dict[str, tuple[int, bytes]], bundle: Path) -> bool:
    """Is every file of `before` there still, the same file with the same bytes?"""
    after = snapshot(bundle)
    return all(after.get(name) == content for name, content in before.items())
