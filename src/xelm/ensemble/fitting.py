"""Routers of an allocation: columns from its shares, counts from the train shards, and the
embedding and centroids that the allocation saved, where it did."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.ensemble.cut_text import with_cut_text
from xelm.ensemble.routers.abstaining import learn_bound
from xelm.ensemble.routers.build import abstaining, build
from xelm.ensemble.routers.columns import Column
from xelm.ensemble.routers.data import RouterData, TfidfData, UnigramData
from xelm.ensemble.routing import Kind, Routing
from xelm.errors import UserError
from xelm.storage import atomic

_LEAST_SHARE = 0.02
"""A language's tokens with one expert, below which they are an accident of clustering."""
_COUNTED_AT_ONCE = 1 << 22
_DEV_DOCUMENTS, _DEV_TOKENS = 500, 2048
"""Of each language, from which the bound of what fits is learnt."""


@dataclass(frozen=True)
class Allocation:
    """An allocation as it stands on disk."""

    name: str
    folder: Path
    experts: dict[str, dict[str, int]]
    """expert -> language -> tokens in its share."""


def read_allocation(run: Path, name: str) -> Allocation:
    """Read `allocations/<name>/allocation.json`; UserError when it is not there."""
    folder = Path(run) / "allocations" / name
    path = folder / "allocation.json"
    if not path.is_file():
        raise UserError(f"{path}: not there yet; run `xelm allocate {run}` first")
    value = atomic.read_json(path)
    experts = {
        expert: {language: int(n) for language, n in about["languages"].items()}
        for expert, about in value["experts"].items()
    }
    return Allocation(name, folder, experts)


def fit(run: Path, allocation: Allocation, experts: Sequence[str]) -> RouterData:
    """Everything the routers of these experts are made of."""
    shards = TokenShards(Path(run) / "corpus", "train")
    shares = {
        name: Share.load(allocation.folder / "shares" / f"{name}.json", shards) for name in experts
    }
    tokens = {name: dict(allocation.experts[name]) for name in experts}
    columns = choose_columns(tokens)
    tokenizer = tokenizers.load(shards.folder / "tokenizer")
    counts = [
        column_counts(tokenizer, shares[column.expert], shards, str(column.language))
        for column in columns
    ]
    data = RouterData(
        experts=tuple(experts),
        languages=by_language(tokens),
        silent=(shards.end_of_text,),
        tfidf=embedding(run, allocation, experts),
        unigram=UnigramData(columns, np.stack(counts)),
        extra={"allocation": allocation.name, "corpus": shards.fingerprint},
    )
    return replace(data, bounds=learn_bounds(data, TokenShards(Path(run) / "corpus", "dev")))


def learn_bounds(data: RouterData, dev: TokenShards) -> dict[str, float]:
    """kind -> fit below which nothing fits, from the dev documents of the languages that are owned.

    Words have none: their fit would need the text again at every token.
    """
    kinds: list[Kind] = ["unigram"]
    if data.tfidf is not None and data.tfidf.words is None:
        kinds.append("tfidf")
    bounds: dict[str, float] = {}
    for kind in kinds:
        settings = Routing(kind=kind)
        router = abstaining(settings, data, build(settings, data), 0.0)
        fits = [router.worst_fit(ids) for ids in _dev_documents(data, dev)]
        if (bound := learn_bound(fits)) is not None:
            bounds[kind] = bound
    return bounds


def _dev_documents(data: RouterData, dev: TokenShards) -> Iterator[NDArray[Any]]:
    for language in dev.languages:
        if language in data.languages:
            for index in range(min(dev.count(language), _DEV_DOCUMENTS)):
                yield dev.document(language, index)[:_DEV_TOKENS]


def embedding(run: Path, allocation: Allocation, experts: Sequence[str]) -> TfidfData | None:
    """The embedding and centroids that the allocation saved; None when it saved none."""
    from xelm.allocation.routing_file import JSON, RoutingFile
    from xelm.ensemble.routers.words import piece_bytes

    if not (allocation.folder / JSON).is_file():
        return None
    file = RoutingFile.load(allocation.folder)
    keep = [row for row, column in enumerate(file.columns) if column.expert in experts]
    columns = tuple(Column(**asdict(file.columns[row])) for row in keep)
    pieces = None
    if file.words is not None:
        pieces = tuple(piece_bytes(tokenizers.load(Path(run) / "corpus" / "tokenizer")))
    return TfidfData(columns, file.idf, file.rows, file.centroids[keep], file.words, pieces)


def choose_columns(tokens: Mapping[str, Mapping[str, int]]) -> tuple[Column, ...]:
    """A column for every language of every expert that has a fair part of it.

    Args:
        tokens: expert -> language -> tokens.
    """
    total: dict[str, int] = {}
    for languages in tokens.values():
        for language, n in languages.items():
            total[language] = total.get(language, 0) + n
    least = min(_LEAST_SHARE, 0.5 / len(tokens))
    return tuple(
        Column(language, expert, n)
        for expert, languages in tokens.items()
        for language, n in languages.items()
        if n > 0 and n >= least * total[language]
    )


def by_language(tokens: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """language -> expert -> tokens, from expert -> language -> tokens."""
    turned: dict[str, dict[str, int]] = {}
    for expert, languages in tokens.items():
        for language, n in languages.items():
            turned.setdefault(language, {})[expert] = n
    return turned


def column_counts(
    tokenizer: Any, share: Share, shards: TokenShards, language: str
) -> NDArray[np.int64]:
    """A column of the unigram router: piece counts, of cut text as well (cut_text.py)."""
    return with_cut_text(piece_counts(share, shards, language), tokenizer, share, shards, language)


def piece_counts(share: Share, shards: TokenShards, language: str) -> NDArray[np.int64]:
    """How often a share's text in a language holds each piece, int64 [vocabulary]."""
    counts = np.zeros(shards.vocabulary, dtype=np.int64)
    tokens, starts = shards.tokens(language), shards.starts(language)
    for first, last in _runs(share.documents(language)):
        begin, end = int(starts[first]), int(starts[last + 1])
        for at in range(begin, end, _COUNTED_AT_ONCE):
            part = tokens[at : min(at + _COUNTED_AT_ONCE, end)]
            counts += np.bincount(part, minlength=shards.vocabulary)
    return counts


def count_pieces(documents: Sequence[NDArray[Any]], vocabulary: int) -> NDArray[np.int64]:
    """How often some token ids hold each piece, int64 [vocabulary]: a new language's row."""
    counts = np.zeros(vocabulary, dtype=np.int64)
    for ids in documents:
        counts += np.bincount(ids, minlength=vocabulary)
    return counts


def _runs(indices: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(first, last) of runs of adjacent document indices."""
    if not len(indices):
        return []
    breaks = np.flatnonzero(np.diff(indices) != 1)
    firsts = np.concatenate([indices[:1], indices[breaks + 1]])
    lasts = np.concatenate([indices[breaks], indices[-1:]])
    return [(int(a), int(b)) for a, b in zip(firsts, lasts, strict=True)]


def default_routing(data: RouterData) -> Routing:
    """What a new bundle routes by until someone says otherwise."""
    return Routing(kind="unigram" if data.unigram is not None else "tfidf")
