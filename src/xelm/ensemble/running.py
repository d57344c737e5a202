"""Which expert runs on which rows, and how their logits become one.

From the weights alone follows who must run: the rows where an expert has a weight, up to the last
column where it has one. Shapes as in model.py.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch

from xelm.ensemble.cache import XelmCache
from xelm.ensemble.mixing import NEVER, keep_largest, mix_logits
from xelm.ensemble.routing import Routing


@lru_cache(maxsize=64)
def _accepts(kind: Any, name: str) -> bool:
    return name in inspect.signature(kind.forward).parameters


def keeps_logits(expert: Any) -> bool:
    """Does its forward take `logits_to_keep`?"""
    kind: Any = type(expert)
    return _accepts(kind, "logits_to_keep")


@dataclass(frozen=True)
class Block:
    """The columns of one call."""

    ids_bt: torch.Tensor
    mask_bs: torch.Tensor | None
    """Over all columns, those of the cache included."""
    positions_bt: torch.Tensor | None
    keep: int

    @property
    def rows(self) -> int:
        """b."""
        return self.ids_bt.shape[0]

    @property
    def wanted(self) -> int:
        """q: columns whose logits are wanted, the last ones."""
        length = self.ids_bt.shape[1]
        return min(self.keep, length) if self.keep else length

    @cached_property
    def new_mask_bt(self) -> torch.Tensor | None:
        """The mask of this call's columns; None when all hold tokens."""
        if self.mask_bs is None:
            return None
        new = self.mask_bs[:, self.mask_bs.shape[1] - self.ids_bt.shape[1] :]
        return None if bool(new.all()) else new

    def counts_bt(self, cache: XelmCache | None, past: int) -> torch.Tensor:
        """Tokens of each row up to and with each column of this call."""
        mask = self.new_mask_bt
        counts = (torch.ones_like(self.ids_bt) if mask is None else mask.long()).cumsum(1)
        if cache is None or not past:
            return counts
        if cache.real_bs is None:
            return counts + past
        return counts + cache.real_bs[:, :past].sum(1, keepdim=True)


@dataclass
class _Part:
    """One expert's logits for some rows: the first columns of those wanted."""

    expert: int
    rows: list[int]
    logits_rqv: torch.Tensor


def last_columns(weights_bqk: torch.Tensor, mask_bq: torch.Tensor | None) -> list[list[int]]:
    """For each row and expert: 1 + the last wanted column where it has a weight, 0 if none."""
    chosen = weights_bqk > 0
    if mask_bq is not None:
        chosen = chosen & mask_bq.bool()[..., None]
    if chosen.shape[1] == 1:
        return chosen[:, 0].int().tolist()
    columns = torch.arange(1, chosen.shape[1] + 1, device=chosen.device)[:, None]
    return (chosen * columns).amax(1).tolist()


def run_cached(
    experts: Sequence[Any], block: Block, weights_bqk: torch.Tensor, cache: XelmCache
) -> torch.Tensor:
    """Logits [b, q, v] with a cache: each chosen expert reads what it misses."""
    first = cache.get_seq_length() - block.wanted
    mask = None if cache.real_bs is None else cache.real_bs[:, first:]
    lasts = last_columns(weights_bqk, mask)
    parts = []
    for index in range(weights_bqk.shape[-1]):
        for last, rows in _by_length([row[index] for row in lasts]):
            logits = cache.advance(index, experts[index], rows, first + last, first)
            parts.append(_Part(index, rows, logits))
    return _together(parts, weights_bqk, block)


def run_once(experts: Sequence[Any], block: Block, weights_bqk: torch.Tensor) -> torch.Tensor:
    """Logits [b, q, v] without a cache: each expert reads its rows up to where it is chosen."""
    length = block.ids_bt.shape[1]
    first = length - block.wanted
    mask = block.new_mask_bt
    lasts = last_columns(weights_bqk, None if mask is None else mask[:, first:])
    parts = []
    for index in range(weights_bqk.shape[-1]):
        for last, rows in _by_length([last[index] for last in lasts]):
            logits = _run_rows(experts[index], block, rows, first + last, last)
            parts.append(_Part(index, rows, logits))
    return _together(parts, weights_bqk, block)


def _by_length(lasts: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Rows of like length together: lengths that agree in powers of two share one run."""
    bins: dict[int, list[int]] = {}
    for row, last in enumerate(lasts):
        if last:
            bins.setdefault((last - 1).bit_length(), []).append(row)
    return [(max(lasts[row] for row in rows), rows) for rows in bins.values()]


def _run_rows(expert: Any, block: Block, rows: list[int], end: int, keep: int) -> torch.Tensor:
    arguments: dict[str, Any] = {"input_ids": _rows(block.ids_bt, rows)[:, :end]}
    if block.mask_bs is not None:
        arguments["attention_mask"] = _rows(block.mask_bs, rows)[:, :end]
    if block.positions_bt is not None:
        positions = block.positions_bt
        arguments["position_ids"] = (
            _rows(positions, rows) if positions.shape[0] == block.rows else positions
        )[:, :end]
    if keep < end and keeps_logits(expert):
        arguments["logits_to_keep"] = keep
    logits: torch.Tensor = expert(**arguments, use_cache=False).logits
    return logits[:, -keep:]


def _rows(tensor: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    if len(rows) == tensor.shape[0]:
        return tensor
    return tensor[torch.tensor(rows, device=tensor.device)]


def _together(parts: Sequence[_Part], weights_bqk: torch.Tensor, block: Block) -> torch.Tensor:
    """One tensor of logits; where one expert is active, its own logits."""
    rows, wanted = weights_bqk.shape[:2]
    if len(parts) == 1 and parts[0].logits_rqv.shape[:2] == (rows, wanted):
        return parts[0].logits_rqv
    assert parts, "no row has a token"
    alone_bq = (weights_bqk > 0).sum(-1) == 1
    some = parts[0].logits_rqv
    if bool(alone_bq.all()):
        logits = some.new_zeros((rows, wanted, some.shape[-1]))
        for part in parts:
            _put_alone(logits, part, weights_bqk, alone_bq)
        return logits
    logits = _mixed(parts, weights_bqk)
    if bool(alone_bq.any()):
        for part in parts:
            _put_alone(logits, part, weights_bqk, alone_bq)
    return logits


def _put_alone(
    logits_bqv: torch.Tensor, part: _Part, weights_bqk: torch.Tensor, alone_bq: torch.Tensor
) -> None:
    length = part.logits_rqv.shape[1]
    index = torch.tensor(part.rows, device=logits_bqv.device)
    if length == 1 and bool(alone_bq[index, :1].all()):
        logits_bqv[index, :1] = part.logits_rqv.to(logits_bqv.dtype)
        return
    own = alone_bq[index, :length] & (weights_bqk[index, :length, part.expert] > 0)
    where = own.nonzero(as_tuple=True)
    logits_bqv[index[where[0]], where[1]] = part.logits_rqv[where].to(logits_bqv.dtype)


def _mixed(parts: Sequence[_Part], weights_bqk: torch.Tensor) -> torch.Tensor:
    rows, wanted = weights_bqk.shape[:2]
    if all(part.logits_rqv.shape[:2] == (rows, wanted) for part in parts):
        return mix_logits([(part.logits_rqv, weights_bqk[..., part.expert]) for part in parts])
    some = parts[0].logits_rqv
    dtype = _wide(some[:0]).dtype
    total = torch.full((rows, wanted, some.shape[-1]), NEVER, dtype=dtype, device=some.device)
    for part in parts:
        index = torch.tensor(part.rows, device=some.device)
        length = part.logits_rqv.shape[1]
        weight = weights_bqk[index, :length, part.expert].to(some.device)
        logs = mix_logits([(part.logits_rqv, weight)])
        total[index, :length] = torch.logaddexp(total[index, :length], logs)
    return total


def run_likelihood(
    experts: Sequence[Any], router: Any, routing: Routing, block: Block, cache: XelmCache | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Posterior routing: every expert reads everything; logits [b, q, v] and weights [b, q, k]."""
    k = len(experts)
    every = block.ids_bt.new_ones((block.rows, block.ids_bt.shape[1], 1)).double()
    whole = Block(block.ids_bt, block.mask_bs, block.positions_bt, 0)
    one = torch.eye(k, dtype=torch.float64, device=block.ids_bt.device)
    logits: list[torch.Tensor | None] = [None] * k  # None: the router gives it no chance
    for index in (router.prior > 0).nonzero().flatten().tolist():
        weights = every * one[index]
        ran = (
            run_once(experts, whole, weights)
            if cache is None
            else run_cached(experts, whole, weights, cache)
        )
        logits[index] = ran
    state = router.start(block.rows) if cache is None or cache.state is None else cache.state
    logs_btk = _read_likelihood(logits, block, cache)
    weights, state = router.step_likelihood(state, logs_btk)
    if cache is not None:
        cache.state = state
        cache.pending = [None if p is None else _wide(p[:, -1]).log_softmax(-1) for p in logits]
    weights = keep_largest(weights[:, -block.wanted :], routing.top_m, routing.negligible)
    kept = [
        (part[:, -block.wanted :], weights[..., index])
        for index, part in enumerate(logits)
        if part is not None
    ]
    return mix_logits(kept), weights


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _read_likelihood(
    logits: Sequence[torch.Tensor | None], block: Block, cache: XelmCache | None
) -> torch.Tensor:
    """log p(token | before) of the call's tokens under each expert [b, t, k]; 0 where unknown."""
    ids, mask = block.ids_bt, block.new_mask_bt
    result = torch.zeros((*ids.shape, len(logits)), dtype=torch.float64, device=ids.device)
    for index, part in enumerate(logits):
        if part is None:
            continue
        if ids.shape[1] > 1:
            logs = _wide(part[:, :-1]).log_softmax(-1)
            result[:, 1:, index] = logs.gather(-1, ids[:, 1:, None])[..., 0].double()
        before = cache.pending[index] if cache is not None and cache.pending else None
        if before is not None:
            result[:, 0, index] = before.gather(-1, ids[:, :1])[:, 0].double()
    if mask is not None:  # a row's first token has nothing before it
        before = torch.nn.functional.pad(mask[:, :-1], (1, 0), value=0)
        if cache is not None and cache.pending:
            before[:, 0] = 1
        result = result * (mask.bool() & before.bool())[..., None]
    return result
