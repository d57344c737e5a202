"""A tiny run as it stands after training: real text in five scripts, models of random weights."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from xelm.corpus import sample, shards, tokenizer, windows_hash
from xelm.corpus.documents import Document
from xelm.corpus.share import Share
from xelm.evaluation.scores import tasks
from xelm.evaluation.settings import EvaluationSettings
from xelm.launching import task
from xelm.models import seed
from xelm.storage import atomic

os.environ["HF_HUB_OFFLINE"] = "1"
CONTEXT = 16
EXPERTS = {"ar-hi": ["ar", "hi"], "en-th-zh": ["en", "th", "zh"]}
LANGUAGES = sorted(code for codes in EXPERTS.values() for code in codes)
ORDERS = (3, 8)
THAI = [
    "เช้านี้ฝนตกพรำ ๆ แม่ค้าที่ตลาดเอาผ้าใบมาคลุมแผงผัก แล้วนั่งจิบชารอลูกค้าอยู่ใต้ชายคา",
    "น้องถามยายว่าทำไมวิทยุเครื่องเก่าต้องรอให้อุ่นก่อนจึงจะมีเสียง ยายหัวเราะแล้วบอกว่ามันก็แก่เหมือนยาย",
    "รถไฟกลางคืนจอดที่สถานีเล็ก ๆ ไม่มีใครขึ้น มีแต่กลิ่นดินหลังฝนลอยเข้ามาทางหน้าต่าง",
    "เขาซ่อมจักรยานอยู่หน้าบ้าน เอายางในแช่น้ำหาฟองอากาศ แล้วทากาวปะรูเล็กเท่าหนาม",
    "หิมะไม่เคยตกที่นี่ แต่เด็ก ๆ วาดรูปมนุษย์หิมะใส่หมวกสานและถือพัดใบลาน",
    "ชาวสวนรดน้ำต้นไม้ตอนเย็น กบร้องรับกันเป็นทอด ๆ จนถึงเที่ยงคืน",
]


def documents(split: str) -> Iterator[Document]:
    """A few passages of the reader, cut short, and our own Thai."""
    count = {"train": 6, "dev": 2, "heldout": 5}[split]
    for language in LANGUAGES:
        if language == "th":
            for number, text in enumerate(THAI[:count]):
                yield Document(text, "th", f"{split}-{number}", f"{split}-{number}", "made-up")
        else:
            found = sample.documents(split, [language])  # type: ignore[arg-type]
            for document, _ in zip(found, range(count), strict=False):
                group = "one" if document.id < "c" else "two"
                yield Document(document.text[:300], language, document.id, group, "reader")


def tiny_model(number: int, vocabulary: int) -> LlamaForCausalLM:
    """A Llama of width 16, sharp enough that every model has its own opinion."""
    torch.manual_seed(number)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def ledger(job: str, windows: int, number: int) -> dict[str, Any]:
    """What training would have written."""
    return {
        "job": job,
        "parameters": 1000,
        "tokens": windows * CONTEXT,
        "batch": 4,
        "context": CONTEXT,
        "learning_rate": 0.01,
        "flops": 1e6 * windows,
        "seconds": 2.0,
        "windows_hash": windows_hash.to_hex(number),
    }


def settings(**changes: Any) -> EvaluationSettings:
    """Small ones."""
    return EvaluationSettings(**{"sample_tokens": 5, "routed_bytes": 700, **changes})


@dataclass
class Recipe:
    """What evaluation reads of a recipe."""

    name: str = "tiny"
    controls: list[str] = field(default_factory=lambda: ["dense", "dense-matched/pair"])
    allocations: dict[str, Any] = field(default_factory=lambda: {"pair": {}})
    orders: list[int] = field(default_factory=lambda: list(ORDERS))
    evaluation: EvaluationSettings = field(default_factory=settings)
    launching: Any = field(default_factory=lambda: SimpleNamespace(device="cpu"))


def make(run: Path) -> Path:
    """Corpus, allocation, models of two data orders and the bundle."""
    from xelm.ensemble.bundle import assemble

    pieces = tokenizer.train(documents("train"), 400)
    splits = {split: list(documents(split)) for split in ("train", "dev", "heldout")}
    shards.build(splits, pieces, run / "corpus", context=CONTEXT)
    _allocate(run)
    names = ["seed"]
    for prefix in ("", "orders/8/"):
        names += [prefix + one for one in ("dense", "dense-matched/pair")]
        names += [f"{prefix}pair/{expert}" for expert in EXPERTS]
    for number, name in enumerate(names):
        windows = 10 if "pair/" in name.removeprefix("dense-matched/") else 20
        hashed = {"ar-hi": 5, "en-th-zh": 7, "pair": 12}.get(name.rsplit("/", 1)[-1], 99)
        model = tiny_model(number, len(pieces))
        seed.save(model, pieces, run / "models" / name, ledger(name, windows, hashed))
    assemble(run, "pair", run / "bundles" / "pair")
    return run


def _allocate(run: Path) -> None:
    opened = shards.TokenShards(run / "corpus", "train")
    experts = {}
    for name, codes in EXPERTS.items():
        share = Share.of(opened, dict.fromkeys(codes))
        share.save(run / "allocations/pair/shares" / f"{name}.json")
        experts[name] = {"languages": {code: share.token_count(code) for code in codes}}
    owner = {code: name for name, codes in EXPERTS.items() for code in codes}
    value = {"method": "typology", "k": 2, "experts": experts, "owner": owner, "newick": "(a,b);"}
    atomic.write_json(run / "allocations/pair/allocation.json", value)


def perform(run: Path, recipe: Recipe) -> int:
    """Do all tasks in this process; returns how many there were."""
    found = tasks(run, recipe)
    task.check(found)
    for one in found:
        task.run(one.call, one.to_json()["arguments"], lambda event: None)
    return len(found)
