"""Columns: a router judges (language, expert) pairs, and an expert's weight is the sum of its own.

A column is one language as one expert read it. Typological experts own several columns; a cluster
of mixed text has one per language it holds; growing a bundle adds a column and touches no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Column:
    """One thing a router can recognise, and the expert that answers for it."""

    language: str | None
    """None: a cluster of text without regard to language."""
    expert: str
    tokens: int
    """Tokens behind it: the prior's proportion."""


def owners(columns: Sequence[Column], experts: Sequence[str]) -> torch.Tensor:
    """Float64 [c, k]: one where column c belongs to expert k."""
    matrix = torch.zeros(len(columns), len(experts), dtype=torch.float64)
    for row, column in enumerate(columns):
        matrix[row, list(experts).index(column.expert)] = 1.0
    return matrix


def prior(columns: Sequence[Column]) -> torch.Tensor:
    """Float64 [c]: every language (or cluster) alike, shared among its experts by their tokens.

    Languages are alike because budgets are set by whoever trains, and say nothing of who asks.
    """
    names = [column.language or f"cluster of {column.expert}" for column in columns]
    total: dict[str, int] = {}
    for name, column in zip(names, columns, strict=True):
        total[name] = total.get(name, 0) + max(1, column.tokens)
    shares = [
        max(1, column.tokens) / total[name] for name, column in zip(names, columns, strict=True)
    ]
    return torch.tensor(shares, dtype=torch.float64) / len(total)
