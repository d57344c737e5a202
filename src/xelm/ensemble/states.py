"""What one expert remembers of a group of rows: its key-value cache and how far it has read.

Rows of a batch use an expert at different times, so each expert holds one state per group of rows
that stand at the same column. Every state is contiguous: padding, if any, is to the left of a
row's tokens and never between them. That is what makes joining two states exact for any attention
pattern, sliding windows included. Shapes: r rows, s slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache


@dataclass
class Group:
    """Rows of the batch that one expert has read up to column `read` (exclusive)."""

    rows: list[int]
    read: int
    cache: DynamicCache
    real_rs: torch.Tensor | None = None
    """Which slots hold tokens, bool; None when all do."""

    @classmethod
    def empty(cls, rows: list[int]) -> "Group":
        """Rows that the expert has not seen yet."""
        return cls(rows, 0, DynamicCache())

    @property
    def slots(self) -> int:
        """s, the length of the key-value cache."""
        return int(self.cache.get_seq_length())

    def select(self, positions: Sequence[int]) -> "Group":
        """The rows at these positions of `rows`, repeats allowed."""
        rows = [self.rows[position] for position in positions]
        if self.slots == 0:
            return Group(rows, self.read, DynamicCache())
        device = self.cache.layers[0].keys.device
        index = torch.tensor(positions, device=device)
        pairs = [(keys[index], values[index]) for keys, values in _pairs(self.cache)]
        real = None if self.real_rs is None else _trim(self.real_rs[index])
        if real is not None and real.shape[1] < self.slots:
            length = real.shape[1]
            pairs = [(keys[:, :, -length:], values[:, :, -length:]) for keys, values in pairs]
        return Group(rows, self.read, _cache(pairs), _none_if_all(real))

    def crop(self, columns: int) -> "Group":
        """Forget what was read from column `columns` on."""
        if self.read > columns:
            self.cache.crop(columns - self.read)
            if self.real_rs is not None:
                self.real_rs = self.real_rs[:, : columns - self.read]
            self.read = columns
        return self


def join(groups: Sequence[Group]) -> Group:
    """One group of all rows; the groups must have read equally far. Shorter ones get padding."""
    first = groups[0]
    if len(groups) == 1:
        return first
    assert all(group.read == first.read for group in groups), "groups at different columns"
    rows = [row for group in groups for row in group.rows]
    if all(group.slots == 0 for group in groups):
        return Group(rows, first.read, DynamicCache())
    length = max(group.slots for group in groups)
    real = torch.cat([_real(group, length) for group in groups])
    padded = [
        [(_pad(keys, length), _pad(values, length)) for keys, values in _pairs(group.cache)]
        for group in groups
    ]
    pairs = [
        (torch.cat([keys for keys, _ in layer]), torch.cat([values for _, values in layer]))
        for layer in zip(*padded, strict=True)
    ]
    return Group(rows, first.read, _cache(pairs), _none_if_all(real))


def _pairs(cache: DynamicCache) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _cache(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> DynamicCache:
    cache: Any = DynamicCache()
    for index, (keys, values) in enumerate(pairs):
        cache.update(keys, values, index)
    return cache


def _pad(tensor_rhsd: torch.Tensor, length: int) -> torch.Tensor:
    missing = length - tensor_rhsd.shape[2]
    return torch.nn.functional.pad(tensor_rhsd, (0, 0, missing, 0)) if missing else tensor_rhsd


def _real(group: Group, length: int) -> torch.Tensor:
    device = group.cache.layers[0].keys.device
    real = group.real_rs
    if real is None:
        real = torch.ones(len(group.rows), group.slots, dtype=torch.bool, device=device)
    return torch.nn.functional.pad(real, (length - real.shape[1], 0))


def _trim(real_rs: torch.Tensor) -> torch.Tensor:
    """Without the slots on the left in which no row has a token."""
    used = real_rs.any(0)
    first = int(used.int().argmax()) if bool(used.any()) else real_rs.shape[1]
    return real_rs[:, first:]


def _none_if_all(real_rs: torch.Tensor | None) -> torch.Tensor | None:
    return None if real_rs is None or bool(real_rs.all()) else real_rs
