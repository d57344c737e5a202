"""Bits per byte against transformers alone: its tokenizer, its model, no line of ours between."""

import json
import math
from pathlib import Path

import pytest
import torch
from tiny_run import CONTEXT, LANGUAGES
from transformers import AutoModelForCausalLM, AutoTokenizer

from xelm.evaluation import arms
from xelm.evaluation.contest import Contest


def by_transformers(model_folder: Path, tokenizer_folder: Path, texts: list[str]) -> float:
    """The definition, read literally, in double precision, one window at a time."""
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float64)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    bits, size = 0.0, 0
    for text in texts:
        targets = tokenizer(text, add_special_tokens=False)["input_ids"]
        inputs = [tokenizer.eos_token_id, *targets[:-1]]
        seen = 0
        for start in range(0, len(inputs), CONTEXT // 2):
            stop = min(start + CONTEXT, len(inputs))
            with torch.no_grad():
                logits = model(torch.tensor([inputs[start:stop]])).logits[0].log_softmax(-1)
            for i in range(seen, stop):
                bits -= float(logits[i - start, targets[i]]) / math.log(2)
            seen = stop
        size += len(text.encode("utf-8"))
    return bits / size


@pytest.mark.parametrize("language", LANGUAGES)
def test_own_expert_equals_transformers_alone(contest: Contest, language: str) -> None:
    """Latin, Arabic, Devanagari, Thai and Han script, to 1e-6."""
    model = contest.model("pair/own", language, contest.orders[0])
    rows = (contest.run / "corpus/heldout" / language / "documents.jsonl").read_text("utf-8")
    texts = [json.loads(row)["text"] for row in rows.splitlines()]
    folder = contest.run / "models" / model
    theirs = by_transformers(folder, contest.run / "corpus/tokenizer", texts)
    ours = arms.whole(contest, language).bits["pair/own"][:, 0].sum()
    assert ours / sum(len(t.encode()) for t in texts) == pytest.approx(theirs, abs=1e-6)
