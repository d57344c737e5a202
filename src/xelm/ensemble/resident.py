"""Few experts in memory: loaded when they are needed, the least used evicted."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from xelm.errors import UserError


class Resident:
    """At most n experts in memory.

    For inference only: what is not in memory cannot be moved, converted or trained.
    """

    def __init__(self, loaders: Sequence[Callable[[], Any]], n: int) -> None:
        if not n >= 1:
            raise UserError(f"resident: {n}; give `all`, or a number of at least 1")
        self._loaders, self.n = list(loaders), n
        self._loaded: dict[int, Any] = {}  # in the order of use
        self.loads = 0

    def __len__(self) -> int:
        return len(self._loaders)

    def __getitem__(self, index: int) -> Any:
        if index in self._loaded:
            self._loaded[index] = self._loaded.pop(index)
            return self._loaded[index]
        while len(self._loaded) >= self.n:
            self._loaded.pop(next(iter(self._loaded)))
        self._loaded[index] = self._loaders[index]()
        self.loads += 1
        return self._loaded[index]

    @property
    def device(self) -> torch.device:
        """Of the experts in memory (one is loaded if there is none)."""
        found: torch.device = self[next(reversed(self._loaded), 0)].device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """Of the experts in memory (one is loaded if there is none)."""
        found: torch.dtype = self[next(reversed(self._loaded), 0)].dtype
        return found
