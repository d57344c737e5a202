"""One dial for newcomers: `2m`, `12m`, `124m` (or any such number) gives a whole architecture.

The dial counts ALL parameters, embeddings included, so it depends on the vocabulary: with a small
model most parameters are the embedding. The rule: the widest model whose depth is still in
proportion (at least 4 layers, at least one per 64 of width), then as many layers as fit.
"""

import re
from dataclasses import dataclass

from xelm.errors import UserError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_WIDTHS = (64, 128, 192, 256, 320, 384, 512, 640, 768, 1024, 1280, 1536, 2048, 2560, 3072, 4096)
_SMALLEST_DEPTH = 4


@dataclass(frozen=True)
class Size:
    """A Llama-type architecture with tied embeddings, and settings that go with its scale."""

    parameters: int
    """All parameters, counted exactly, at most what the dial says."""
    vocabulary: int
    width: int
    depth: int
    heads: int
    feed_forward: int
    """Inner width of the gated feed-forward block, about 8/3 of the width."""
    context: int
    """Tokens of one training window."""
    learning_rate: float
    """Peak rate for training from scratch."""


def size(dial: str | int, vocabulary: int) -> Size:
    """The architecture for `dial` total parameters; UserError when they cannot hold the vocabulary.

    `dial` is a number with an optional unit: "2m", "500k", "1.7b", 2000000.
    """
    limit = _count(dial)
    for width in reversed(_WIDTHS):
        depth = (limit - vocabulary * width - width) // _layer_parameters(width)
        if depth >= max(_SMALLEST_DEPTH, width // 64):
            return _describe(width, depth, vocabulary)
    least = _describe(_WIDTHS[0], _SMALLEST_DEPTH, vocabulary).parameters
    raise UserError(
        f"size {dial!r}: too small for a vocabulary of {vocabulary}; "
        f"give at least {least} parameters, or a smaller vocabulary"
    )


def _count(dial: str | int) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmb]?)", str(dial).strip().lower())
    if match is None:
        raise UserError(f"size {dial!r}: not a size; write a number like 2m, 12m or 124m")
    return round(float(match[1]) * _UNITS[match[2]])


def _feed_forward(width: int) -> int:
    return -(-8 * width // (3 * 64)) * 64  # whole tiles of the matrix units


def _layer_parameters(width: int) -> int:
    return 4 * width * width + 3 * width * _feed_forward(width) + 2 * width


def _describe(width: int, depth: int, vocabulary: int) -> Size:
    return Size(
        parameters=vocabulary * width + width + depth * _layer_parameters(width),
        vocabulary=vocabulary,
        width=width,
        depth=depth,
        heads=max(1, width // (32 if width < 256 else 64)),
        feed_forward=_feed_forward(width),
        context=256 if width < 256 else 512 if width < 512 else 1024 if width < 1024 else 2048,
        learning_rate=5e-3 * 128 / max(width, 128),
    )
