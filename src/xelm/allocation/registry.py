"""Allocation methods by name: a new method is one file and one line here."""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from xelm.allocation.result import Allocation
from xelm.allocation.settings import AllocationSettings
from xelm.corpus.shards import TokenShards

Allocate = Callable[[TokenShards, AllocationSettings, Callable[[str], None]], Allocation]

METHODS = {
    "typology": "xelm.allocation.typology",
    "tfidf": "xelm.allocation.tfidf",
    "language": "xelm.allocation.language",
    "random": "xelm.allocation.random",
}
"""Method -> module with `allocate(shards, settings, say) -> Allocation`."""


def method(name: str) -> Allocate:
    """The function of a method; imported when asked for."""
    return cast(Allocate, import_module(METHODS[name]).allocate)
