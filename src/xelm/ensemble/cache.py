"""The cache of an X-ELM: the text so far, the router's sums, and every expert's own states.

An expert runs only for the rows that chose it, and only when they do. The text is kept, so an
expert that was left out reads what it missed in one pass when it is chosen again. To transformers
it is a `Cache`: generate() reorders it for beams, repeats and crops it. Shapes: b rows, s columns.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

from xelm.ensemble.routers.base import State
from xelm.ensemble.states import Group, join

CACHE_NAME = (
    "cache" if "cache" in CausalLMOutputWithPast.__dataclass_fields__ else "past_key_values"
)
"""What transformers calls a model's cache: `cache` from 5.24 on."""


class XelmCache(Cache):  # type: ignore[misc]
    """Made empty; the model fills it."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.ids_bs: torch.Tensor | None = None
        self.positions_bs: torch.Tensor | None = None
        self.real_bs: torch.Tensor | None = None
        """Which columns hold tokens, bool; None when all do."""
        self.groups: dict[int, list[Group]] = {}
        """Expert -> its groups; a row is in one of them at most."""
        self.state: State | None = None
        """The router's; None means it must be made again from the text."""
        self.settled_bk: torch.Tensor | None = None
        """Weights that stay (`route_every: sequence`), not-a-number in rows not settled yet."""
        self.pending: list[torch.Tensor | None] = []
        """Posterior routing: each expert's log-probabilities of the next token [b, v]."""

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns so far, padding included."""
        return 0 if self.ids_bs is None else self.ids_bs.shape[1]

    @property
    def batch_size(self) -> int:
        """Rows; -1 before the first call."""
        return -1 if self.ids_bs is None else self.ids_bs.shape[0]

    @property
    def is_initialized(self) -> bool:
        """Has the model filled it?"""
        return self.ids_bs is not None

    @property
    def is_croppable(self) -> bool:
        """Columns can be taken back exactly."""
        return True

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """No bound."""
        return -1

    def append(
        self,
        ids_bt: torch.Tensor,
        positions_bt: torch.Tensor | None,
        mask_bt: torch.Tensor | None,
    ) -> None:
        """Add the block's columns. The mask is of these columns; None when all hold tokens."""
        past, (rows, block) = self.get_seq_length(), ids_bt.shape
        if positions_bt is None:
            positions_bt = torch.arange(past, past + block, device=ids_bt.device)[None]
        positions_bt = positions_bt.expand(rows, block)
        if self.ids_bs is None or self.positions_bs is None:
            self.ids_bs, self.positions_bs = ids_bt, positions_bt
        else:
            self.ids_bs = torch.cat([self.ids_bs, ids_bt], 1)
            self.positions_bs = torch.cat([self.positions_bs, positions_bt], 1)
        if self.real_bs is not None or mask_bt is not None:
            ones = ids_bt.new_ones((rows, past + block), dtype=torch.bool)
            before = ones[:, :past] if self.real_bs is None else self.real_bs
            new = ones[:, past:] if mask_bt is None else mask_bt.bool()
            self.real_bs = torch.cat([before, new], 1)

    def advance(
        self, index: int, expert: Any, rows: list[int], end: int, needed: int
    ) -> torch.Tensor:
        """Let expert `index` read the columns it misses of `rows`, up to column `end`.

        Returns its logits [rows, end - needed, v] of the columns from `needed` on.
        """
        group = self._take(index, rows)
        if len(group) == 1 and group[0].rows == rows:
            logits = self._read(group[0], expert, end, needed)
            self.groups[index].append(group[0])
            return logits
        parts = []
        for level in sorted({part.read for part in group}):
            joined = join([part for part in group if part.read == level])
            parts.append((joined, self._read(joined, expert, end, needed)))
        self.groups[index].append(join([part for part, _ in parts]))
        order = [row for part, _ in parts for row in part.rows]
        logits = torch.cat([logits for _, logits in parts])
        if order == rows:
            return logits
        return logits[torch.tensor([order.index(row) for row in rows], device=logits.device)]

    def _take(self, index: int, rows: list[int]) -> list[Group]:
        """Remove `rows` from the expert's groups, splitting those of which only some are wanted."""
        wanted = set(rows)
        taken: list[Group] = []
        left: list[Group] = []
        for group in self.groups.get(index, []):
            inside = [p for p, row in enumerate(group.rows) if row in wanted]
            if len(inside) == len(group.rows):
                taken.append(group)
            elif not inside:
                left.append(group)
            else:
                outside = [p for p, row in enumerate(group.rows) if row not in wanted]
                taken.append(group.select(inside))
                left.append(group.select(outside))
        known = {row for group in taken for row in group.rows}
        fresh = [row for row in rows if row not in known]
        self.groups[index] = left
        return [*taken, Group.empty(fresh)] if fresh else taken

    def _read(self, group: Group, expert: Any, end: int, needed: int) -> torch.Tensor:
        """One pass of the expert over columns [group.read, end) of its rows."""
        assert self.ids_bs is not None and self.positions_bs is not None
        start = group.read
        real_rt = None if self.real_bs is None else _rows(self.real_bs, group.rows)[:, start:end]
        if start == 0 and real_rt is not None:  # columns where none of these rows has a token
            start = min(int(real_rt.any(0).int().argmax()), needed)
            real_rt = real_rt[:, start:]
        if real_rt is not None and bool(real_rt.all()):
            real_rt = None
        mask = _mask(group, real_rt, end - start)
        output = expert(
            input_ids=_rows(self.ids_bs, group.rows)[:, start:end],
            attention_mask=None if mask is None else mask.long(),
            position_ids=_rows(self.positions_bs, group.rows)[:, start:end],
            use_cache=True,
            logits_to_keep=end - needed,
            **{CACHE_NAME: group.cache},
        )
        group.real_rs, group.read = mask, end
        logits: torch.Tensor = output.logits
        return logits[:, needed - end :]

    def _select(self, index: torch.Tensor) -> None:
        """Row i becomes what row index[i] was, everywhere."""
        if self.ids_bs is None or self.positions_bs is None:
            return
        sources = index.tolist()
        if sources == list(range(self.ids_bs.shape[0])):
            return
        self.ids_bs, self.positions_bs = self.ids_bs[index], self.positions_bs[index]
        self.real_bs = None if self.real_bs is None else self.real_bs[index]
        self.settled_bk = None if self.settled_bk is None else self.settled_bk[index]
        self.state = None if self.state is None else self.state.select(index)
        self.pending = [None if logs is None else logs[index] for logs in self.pending]
        self.groups = {
            expert: [new for group in groups if (new := _moved(group, sources)) is not None]
            for expert, groups in self.groups.items()
        }

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Beam search: row i goes on from row beam_idx[i]."""
        self._select(beam_idx)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows."""
        self._select(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row `repeats` times."""
        if self.ids_bs is not None:
            rows = torch.arange(self.ids_bs.shape[0], device=self.ids_bs.device)
            self._select(rows.repeat_interleave(repeats))

    def crop(self, tokens_to_remove: int) -> None:
        """Take back the last -tokens_to_remove columns."""
        if tokens_to_remove == 0 or self.ids_bs is None or self.positions_bs is None:
            return
        columns = self.get_seq_length() - abs(tokens_to_remove)
        self.ids_bs, self.positions_bs = self.ids_bs[:, :columns], self.positions_bs[:, :columns]
        self.real_bs = None if self.real_bs is None else self.real_bs[:, :columns]
        self.state = None  # a sum cannot be taken back exactly
        assert not self.pending, "a posterior router cannot take tokens back"
        for groups in self.groups.values():
            for group in groups:
                group.crop(columns)

    def reset(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]


def _rows(tensor: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    if len(rows) == tensor.shape[0] and list(rows) == list(range(len(rows))):
        return tensor
    return tensor[torch.tensor(rows, device=tensor.device)]


def _mask(group: Group, real_rt: torch.Tensor | None, block: int) -> torch.Tensor | None:
    """Real slots after the block is read; None when all are."""
    if group.real_rs is None and real_rt is None:
        return None
    size, some = len(group.rows), group.real_rs if real_rt is None else real_rt
    assert some is not None
    before = group.real_rs
    if before is None:
        before = some.new_ones((size, group.slots))
    if real_rt is None:
        real_rt = some.new_ones((size, block))
    return torch.cat([before, real_rt], 1)


def _moved(group: Group, sources: Sequence[int]) -> Group | None:
    """The group after the batch was reordered: new row i comes from old row sources[i]."""
    place = {row: position for position, row in enumerate(group.rows)}
    rows = [row for row, source in enumerate(sources) if source in place]
    if not rows:
        return None
    moved = group.select([place[sources[row]] for row in rows])
    moved.rows = rows
    return moved
