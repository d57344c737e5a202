"""Figures of growth: bits per byte of models and of bundles on text that is held in memory.

A bundle is measured as one revision of its manifest stands: the owner of each language (`own`) and
the router's choice with the bundle's own routing (`routed`). Experts are loaded one at a time.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.documents import Document
from xelm.corpus.shards import TokenShards
from xelm.ensemble.manifest import Manifest
from xelm.ensemble.mixing import document_weights, keep_largest
from xelm.ensemble.routers.build import build
from xelm.ensemble.routers.constant import owner
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import Routing, parse


@dataclass
class Texts:
    """Documents by language: token ids without end-of-text, and raw UTF-8 bytes."""

    ids: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    bytes: dict[str, list[int]] = field(default_factory=dict)

    @property
    def languages(self) -> list[str]:
        """Those there is text of, sorted."""
        return sorted(self.ids)

    def only(self, languages: Iterable[str]) -> "Texts":
        """The same without other languages."""
        kept = [language for language in languages if language in self.ids]
        return Texts({k: self.ids[k] for k in kept}, {k: self.bytes[k] for k in kept})

    def add(self, language: str, ids: NDArray[Any], size: int, limit: int | None = None) -> None:
        """Append a document, unless its language has `limit` bytes already."""
        if limit is not None and sum(self.bytes.get(language, [])) >= limit:
            return
        self.ids.setdefault(language, []).append(ids)
        self.bytes.setdefault(language, []).append(size)

    @classmethod
    def of_shards(
        cls, corpus: Path, split: str, *, limit: int | None = None, languages: Iterable[str] | None
    ) -> "Texts":
        """The first documents of each language of a corpus folder, about `limit` bytes of each."""
        shards, texts = TokenShards(corpus, split), cls()
        wanted = shards.languages if languages is None else set(languages) & set(shards.languages)
        for language in wanted:
            sizes = np.asarray(shards.bytes(language))
            for index in range(_enough(sizes, limit)):
                ids = np.asarray(shards.document(language, index))
                texts.add(language, ids, int(sizes[index]))
        return texts

    @classmethod
    def of_documents(
        cls, documents: Iterable[Document], tokenizer: Any, *, limit: int | None = None
    ) -> "Texts":
        """Tokenised documents, about `limit` bytes of each language."""
        texts = cls()
        for document in documents:
            ids = np.asarray(tokenizers.encode(tokenizer, [document.text])[0], dtype=np.int64)
            texts.add(document.language, ids, len(document.text.encode("utf-8")), limit)
        return texts


def _enough(sizes: NDArray[np.int64], limit: int | None) -> int:
    if limit is None:
        return len(sizes)
    return min(len(sizes), int(np.searchsorted(np.cumsum(sizes), limit)) + 1)


def of_model(folder: Path, texts: Texts, context: int) -> dict[str, float]:
    """Bits per byte of each language under one model, in float32."""
    wanted = {language: range(len(texts.ids[language])) for language in texts.languages}
    scores = _score(folder, texts, wanted, context)
    return {
        language: _bits(scores[language].values(), texts.bytes[language])
        for language in texts.languages
    }


def _score(
    folder: Path, texts: Texts, wanted: Mapping[str, Iterable[int]], context: int
) -> dict[str, dict[int, NDArray[np.float32]]]:
    """Language -> document -> log-probabilities of its tokens under the model in `folder`."""
    import torch

    from xelm.models import seed as models
    from xelm.models.scoring import token_log_probabilities

    places = [(language, index) for language, some in wanted.items() for index in some]
    model = models.load(folder, torch.float32)
    scores = token_log_probabilities(
        model,
        [texts.ids[language][index] for language, index in places],
        end_of_text=end_of_text(model),
        context=context,
    )
    found: dict[str, dict[int, NDArray[np.float32]]] = defaultdict(dict)
    for (language, index), each in zip(places, scores, strict=True):
        found[language][index] = each
    return found


def end_of_text(model: Any) -> int:
    """The id that stands before a document: the config's end-of-sequence."""
    config = model.config.get_text_config()
    candidate = config.eos_token_id if config.eos_token_id is not None else config.bos_token_id
    return int(candidate[0] if isinstance(candidate, list) else candidate)


def _bits(scores: Iterable[NDArray[Any]], sizes: Sequence[int]) -> float:
    total = math.fsum(float(each.sum(dtype=np.float64)) for each in scores)
    return -total / math.log(2) / max(1, sum(sizes))


class BundleFigures:
    """What one revision of a bundle does on some texts; every expert is loaded at most once."""

    def __init__(self, bundle: Path, manifest: Manifest, texts: Texts, context: int) -> None:
        self.bundle, self.manifest, self.context = Path(bundle), manifest, context
        self.data = RouterData.load(self.bundle / manifest.router.folder)
        self.texts = texts.only(language for language in texts.languages if self._owned(language))
        settings = {"kind": manifest.router.kind, **manifest.router.settings}
        self.routing: Routing = parse(settings)
        self.router = build(self.routing, self.data)

    def _owned(self, language: str) -> bool:
        return bool(self.data.languages.get(language))

    @cached_property
    def _weights(self) -> dict[str, list[NDArray[np.float64]]]:
        """Language -> per document, weights [n, k] with which its tokens are predicted."""
        import torch

        found = {}
        for language in self.texts.languages:
            rows = [document_weights(self.router, ids) for ids in self.texts.ids[language]]
            found[language] = [
                keep_largest(
                    torch.from_numpy(each), self.routing.top_m, self.routing.negligible
                ).numpy()
                for each in rows
            ]
        return found

    @cached_property
    def _scores(self) -> dict[str, dict[str, dict[int, NDArray[np.float32]]]]:
        """Expert -> language -> document -> log-probabilities, where anybody needs them."""
        wanted: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for language in self.texts.languages:
            every = range(len(self.texts.ids[language]))
            wanted[owner(self.data.languages, language)][language].update(every)
            for index, weights in enumerate(self._weights[language]):
                for number in np.flatnonzero(weights.sum(0)):
                    wanted[self.data.experts[number]][language].add(index)
        return {
            name: _score(
                self.bundle / self.manifest.expert(name).folder,
                self.texts,
                {language: sorted(some) for language, some in languages.items()},
                self.context,
            )
            for name, languages in wanted.items()
        }

    def own(self) -> dict[str, float]:
        """Language -> bits per byte under the expert that owns it."""
        return {
            language: _bits(
                [
                    self._scores[owner(self.data.languages, language)][language][index]
                    for index in range(len(self.texts.ids[language]))
                ],
                self.texts.bytes[language],
            )
            for language in self.texts.languages
        }

    def routed(self) -> dict[str, float]:
        """Language -> bits per byte as the bundle routes by default, the language not told."""
        return {
            language: _bits(
                [
                    self._mixed(language, index, weights)
                    for index, weights in enumerate(self._weights[language])
                ],
                self.texts.bytes[language],
            )
            for language in self.texts.languages
        }

    def _mixed(
        self, language: str, index: int, weights_nk: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        used = np.flatnonzero(weights_nk.sum(0))
        logs_kn = np.stack(
            [self._scores[self.data.experts[number]][language][index] for number in used]
        ).astype(np.float64)
        with np.errstate(divide="ignore"):
            terms = logs_kn + np.log(weights_nk[:, used].T)
        mixed: NDArray[np.float64] = np.logaddexp.reduce(terms, axis=0)
        return mixed

    def first(self) -> dict[str, list[str]]:
        """Language -> the expert that the router puts first once it has read each document."""
        import torch

        found: dict[str, list[str]] = {}
        for language in self.texts.languages:
            found[language] = []
            for ids in self.texts.ids[language]:
                ids_bt = torch.from_numpy(np.asarray(ids, dtype=np.int64))[None]
                last = self.router.weights(ids_bt)[0, -1]
                found[language].append(self.data.experts[int(last.argmax())])
        return found
