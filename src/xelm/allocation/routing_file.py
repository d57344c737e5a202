"""The embedding on disk, with what a router needs: `embedding.safetensors` and `embedding.json`.

One layout for every method, so one router serves every allocation. Tensors: `idf` float64 [terms],
`rows` float32 [terms, dims] (a term's vector is idf * row), `centroids` float64 [c, dims]. The JSON
names what each centroid stands for, {"language" (null: a cluster of text), "expert", "tokens"}, and
the words, when terms are words.
"""

import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xelm.errors import UserError
from xelm.storage import atomic

JSON, TENSORS = "embedding.json", "embedding.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class Column:
    """What a centroid stands for: a language (None: a cluster) as one expert has it, its tokens."""

    language: str | None
    expert: str
    tokens: int


@dataclass(frozen=True)
class RoutingFile:
    """The saved embedding and centroids."""

    idf: npt.NDArray[np.float64]
    rows: npt.NDArray[np.float32]
    centroids: npt.NDArray[np.float64]
    columns: tuple[Column, ...]
    words: tuple[str, ...] | None
    """The terms, or None when term i is the tokenizer's piece i."""

    @property
    def term_vectors(self) -> npt.NDArray[np.float32]:
        """idf * row, float32 [terms, dims]."""
        return np.asarray(self.idf[:, None] * self.rows, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write both files into an existing folder (one that appears whole, see storage.atomic)."""
        from safetensors.numpy import save

        tensors = {
            name: np.ascontiguousarray(getattr(self, name)) for name in ("idf", "rows", "centroids")
        }
        atomic.write_bytes(Path(folder) / TENSORS, save(tensors))
        value = {
            "format": FORMAT,
            "terms": "pieces" if self.words is None else "words",
            "words": None if self.words is None else list(self.words),
            "centroids": [asdict(column) for column in self.columns],
        }
        atomic.write_json(Path(folder) / JSON, value)

    @classmethod
    def load(cls, folder: Path) -> "RoutingFile":
        """Read what `save` wrote; UserError naming the file when it is missing or damaged."""
        path = Path(folder) / JSON
        value = atomic.read_json(path)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise UserError(
                f"{path}: not an embedding of format {FORMAT}; run allocate again, or use a newer "
                "version of xelm"
            )
        tensors = _tensors(Path(folder) / TENSORS)
        try:
            return cls(
                tensors["idf"],
                tensors["rows"],
                tensors["centroids"],
                _columns(value["centroids"]),
                None if value["words"] is None else tuple(value["words"]),
            )
        except (KeyError, TypeError) as error:
            raise UserError(f"{path}: damaged ({error!r}); run allocate again") from error


def _columns(rows: Sequence[dict[str, Any]]) -> tuple[Column, ...]:
    return tuple(Column(**row) for row in rows)


def _tensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        loaded: dict[str, Any] = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run allocate again") from None
    except (SafetensorError, struct.error) as error:
        raise UserError(f"{path}: not a safetensors file ({error}); run allocate again") from error
    return loaded
