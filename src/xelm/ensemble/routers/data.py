"""What routers are made of, as a folder: `router.json` and `router.safetensors`.

One folder serves every kind, so that the kind can be chosen when the bundle is used. It is
immutable: growth writes another one, in which the old columns stand as they stood.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xelm.ensemble.routers.columns import Column
from xelm.errors import UserError
from xelm.storage import atomic

JSON, TENSORS = "router.json", "router.safetensors"
_FORMAT = 1


@dataclass(frozen=True)
class TfidfData:
    """The allocation's embedding and its centroids."""

    columns: tuple[Column, ...]
    idf: NDArray[np.float64]  # [terms]
    rows: NDArray[np.float32]  # [terms, d], the SVD's right vectors
    centroids: NDArray[np.float64]  # [c, d]
    words: tuple[str, ...] | None = None
    """The terms, when they are words; None when term i is the tokenizer's piece i."""
    pieces: tuple[bytes, ...] | None = None
    """With words: the bytes of each token id, from which words are put together."""


@dataclass(frozen=True)
class UnigramData:
    """Piece counts of each column's text."""

    columns: tuple[Column, ...]
    counts: NDArray[np.int64]  # [c, vocabulary]


@dataclass(frozen=True)
class RouterData:
    """All that any kind of router of a bundle needs."""

    experts: tuple[str, ...]
    languages: dict[str, dict[str, int]]
    """language -> expert -> tokens it trained on; the largest owns the language."""
    silent: tuple[int, ...] = ()
    """Token ids that say nothing about the text (end-of-text)."""
    tfidf: TfidfData | None = None
    unigram: UnigramData | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    """kind -> fit below which the fallback answers, learnt on dev."""
    fallback: str | None = None
    """The last of `experts` when it is the seed, which owns nothing; set on loading."""

    def with_fallback(self, name: str) -> "RouterData":
        """The same with the seed as one more member that is asked when nothing fits."""
        return replace(self, experts=(*self.experts, name), fallback=name)

    def kinds(self) -> list[str]:
        """The kinds that can be built from this."""
        learnt = [kind for kind in ("unigram", "tfidf") if getattr(self, kind) is not None]
        return [*learnt, "posterior", "uniform", "fixed", "language"]

    def with_columns(
        self,
        expert: str,
        languages: Mapping[str, int],
        *,
        counts: NDArray[np.int64] | None = None,
        centroids: NDArray[np.float64] | None = None,
    ) -> "RouterData":
        """The same with one more expert; old columns are untouched.

        Args:
            languages: language -> tokens of the new expert, one column each.
            counts: piece counts [len(languages), vocabulary], where there is a unigram router.
            centroids: [len(languages), d], where there is a tfidf router.
        """
        new = tuple(Column(language, expert, tokens) for language, tokens in languages.items())
        owned = {name: dict(tokens) for name, tokens in self.languages.items()}
        for language, tokens in languages.items():
            owned.setdefault(language, {})[expert] = tokens
        unigram, tfidf = self.unigram, self.tfidf
        if unigram is not None:
            assert counts is not None, "a bundle with a unigram router needs counts"
            rows = np.concatenate([unigram.counts, counts])
            unigram = UnigramData(unigram.columns + new, rows)
        if tfidf is not None:
            assert centroids is not None, "a bundle with a tfidf router needs centroids"
            rows = np.concatenate([tfidf.centroids, centroids])
            tfidf = replace(tfidf, columns=tfidf.columns + new, centroids=rows)
        return replace(
            self,
            experts=(*self.experts, expert),
            languages=owned,
            unigram=unigram,
            tfidf=tfidf,
        )

    def without(self, expert: str) -> "RouterData":
        """The same without one expert and its columns."""
        owned = {
            language: {name: n for name, n in tokens.items() if name != expert}
            for language, tokens in self.languages.items()
        }
        unigram, tfidf = self.unigram, self.tfidf
        if unigram is not None:
            keep = [i for i, column in enumerate(unigram.columns) if column.expert != expert]
            unigram = UnigramData(_pick(unigram.columns, keep), unigram.counts[keep])
        if tfidf is not None:
            keep = [i for i, column in enumerate(tfidf.columns) if column.expert != expert]
            columns = _pick(tfidf.columns, keep)
            tfidf = replace(tfidf, columns=columns, centroids=tfidf.centroids[keep])
        return replace(
            self,
            experts=tuple(name for name in self.experts if name != expert),
            languages={language: tokens for language, tokens in owned.items() if tokens},
            unigram=unigram,
            tfidf=tfidf,
        )

    def embed(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """Unit TF-IDF embeddings [n, d] of texts given as piece counts [n, vocabulary]."""
        assert self.tfidf is not None and self.tfidf.words is None, "needs a tfidf router of pieces"
        counts = np.array(counts, dtype=np.float64)
        counts[:, list(self.silent)] = 0.0
        sums: NDArray[np.float64] = (counts * self.tfidf.idf) @ self.tfidf.rows.astype(np.float64)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        return sums / np.where(norms > 0, norms, 1.0)

    def save(self, folder: Path) -> None:
        """Write the two files into an existing folder."""
        from safetensors.numpy import save_file

        tensors: dict[str, NDArray[Any]] = {}
        value: dict[str, Any] = {
            "format": _FORMAT,
            "experts": list(self.experts),
            "languages": self.languages,
            "silent": list(self.silent),
            "extra": self.extra,
            "bounds": self.bounds,
        }
        if self.tfidf is not None:
            for name in ("idf", "rows", "centroids"):
                tensors[f"tfidf.{name}"] = np.ascontiguousarray(getattr(self.tfidf, name))
            words = None if self.tfidf.words is None else list(self.tfidf.words)
            if self.tfidf.pieces is not None:
                tensors.update(_pack(self.tfidf.pieces))
            value["tfidf"] = {"columns": _columns(self.tfidf.columns), "words": words}
        if self.unigram is not None:
            tensors["unigram.counts"] = np.ascontiguousarray(self.unigram.counts)
            value["unigram"] = {"columns": _columns(self.unigram.columns)}
        atomic.write_json(Path(folder) / JSON, value)
        save_file(tensors, Path(folder) / TENSORS)

    @classmethod
    def load(cls, folder: Path) -> "RouterData":
        """Read a router folder; UserError naming the file when it is not one."""
        path = Path(folder) / JSON
        value = atomic.read_json(path)
        if not isinstance(value, dict) or value.get("format") != _FORMAT:
            raise UserError(
                f"{path}: not a router of format {_FORMAT}; it may need a newer version of xelm"
            )
        try:
            return cls._parse(value, _tensors(Path(folder) / TENSORS))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: damaged ({error!r}); fetch the bundle again") from error

    @classmethod
    def _parse(cls, value: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> "RouterData":
        tfidf = unigram = None
        if (about := value.get("tfidf")) is not None:
            words = about["words"]
            tfidf = TfidfData(
                _read_columns(about),
                tensors["tfidf.idf"],
                tensors["tfidf.rows"],
                tensors["tfidf.centroids"],
                None if words is None else tuple(words),
                None if words is None else _unpack(tensors),
            )
        if (about := value.get("unigram")) is not None:
            unigram = UnigramData(_read_columns(about), tensors["unigram.counts"])
        return cls(
            tuple(value["experts"]),
            value["languages"],
            tuple(value["silent"]),
            tfidf,
            unigram,
            value["extra"],
            value["bounds"],
        )


def _pack(pieces: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """Byte strings as two tensors: one after another, and their lengths."""
    return {
        "tfidf.pieces": np.frombuffer(b"".join(pieces), dtype=np.uint8),
        "tfidf.piece_lengths": np.array([len(piece) for piece in pieces], dtype=np.int64),
    }


def _unpack(tensors: dict[str, NDArray[Any]]) -> tuple[bytes, ...]:
    whole = tensors["tfidf.pieces"].tobytes()
    ends = np.cumsum(tensors["tfidf.piece_lengths"]).tolist()
    return tuple(whole[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True))


def _pick(columns: Sequence[Column], keep: Sequence[int]) -> tuple[Column, ...]:
    return tuple(columns[index] for index in keep)


def _columns(columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [asdict(column) for column in columns]


def _read_columns(about: dict[str, Any]) -> tuple[Column, ...]:
    return tuple(Column(**column) for column in about["columns"])


def _tensors(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; fetch the bundle again") from None
    except (SafetensorError, struct.error) as error:
        raise UserError(f"{path}: not a safetensors file ({error})") from error
