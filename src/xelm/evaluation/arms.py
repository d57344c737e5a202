"""Bits of every arm, document by document: what tables are summed from and tests resample."""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.evaluation import scores
from xelm.evaluation.contest import Contest
from xelm.evaluation.text import Documents, documents

Bits = NDArray[np.float64]


@dataclass(frozen=True)
class Field:
    """Every arm's bits on the same documents of one language."""

    documents: Documents
    bits: dict[str, Bits]
    """arm -> bits of each document [n, orders]; one column where an arm has one order only."""

    def bits_per_byte(self, arm: str) -> float:
        """Sum of bits over sum of bytes; the mean over orders."""
        return float(self.bits[arm].sum(0).mean() / self.documents.bytes.sum())

    def perplexity(self, arm: str) -> float:
        """exp of the mean negative log-likelihood of a token (and over orders)."""
        return perplexity(float(self.bits[arm].sum(0).mean()), self.documents)


def perplexity(bits: float, chosen: Documents) -> float:
    """Token perplexity of documents that take so many bits (at most e^700, which floats hold)."""
    return math.exp(min(700.0, bits * math.log(2) / float(chosen.tokens.sum())))


def whole(contest: Contest, language: str) -> Field:
    """Single arms on the whole held-out text, in all orders."""
    chosen = documents(contest.heldout, language)
    bits = {arm: single_bits(contest, arm, language, chosen) for arm in contest.single_arms()}
    return Field(chosen, bits)


def single_bits(contest: Contest, arm: str, language: str, chosen: Documents) -> Bits:
    """Held-out bits of a single arm [n, orders].

    Raises:
        UserError: one of its models gives no numbers.
    """
    columns = []
    for order in contest.own_orders(arm):
        model = contest.model(arm, language, order)
        logs = scores.read(contest.run, model, "heldout", language, chosen)
        if len(logs) and logs.min() <= scores.IMPOSSIBLE:
            raise UserError(
                f"models/{model}: gives {language} text no probability; its training diverged, "
                "lower its learning rate and train it again"
            )
        columns.append(bits_of(logs, chosen))
    return np.stack(columns, axis=1)


def bits_of(logs: NDArray[np.floating], chosen: Documents) -> Bits:
    """Negative log2-likelihood of each document [n] from its tokens' natural logs [tokens]."""
    document = np.repeat(np.arange(chosen.count), chosen.tokens)
    nats = -np.bincount(document, weights=logs.astype(np.float64), minlength=chosen.count)
    bits: Bits = nats / math.log(2)
    return bits


def bits_per_byte(
    run: Path, models: dict[str, str], split: str, cap_bytes: int | None = None
) -> dict[str, float]:
    """language -> bits per byte of the model given for it, from stored scores."""
    shards = _shards(Path(run) / "corpus", split)
    found = {}
    for language, model in models.items():
        chosen = documents(shards, language, cap_bytes)
        bits = bits_of(scores.read(run, model, split, language, chosen), chosen)
        found[language] = float(bits.sum() / chosen.bytes.sum())
    return found


@lru_cache(maxsize=8)
def _shards(corpus: Path, split: str) -> TokenShards:
    return TokenShards(corpus, split)
