"""Figures of growth: bits per byte of models and of bundles on text that is held in memory.

A bundle is measured as one revision of its manifest stands: the owner of each language (`own`) and
the router's choice with the bundle's own routing (`routed`). Experts are loaded one at a time.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.documents import Document
from xelm.corpus.shards import TokenShards
from xelm.ensemble import manifest as manifests
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

    def head(self, limit: int | None) -> "Texts":
        """The first documents, about `limit` bytes of each language."""
        texts = Texts()
        for language in self.ids:
            for ids, size in zip(self.ids[language], self.bytes[language], strict=True):
                texts.add(language, ids, size, limit)
        return texts

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
    scorer = _Scorer(folder, context)
    return {
        language: _bits(scorer.score(texts.ids[language]), texts.bytes[language])
        for language in texts.languages
    }


class _Scorer:
    """A model in memory; each call stands alone, so its figures do not depend on other calls."""

    def __init__(self, folder: Path, context: int) -> None:
        import torch

        from xelm.models import machine
        from xelm.models import seed as models

        self._model = models.load(folder, torch.float32).to(machine.device())
        self._context = context

    def score(self, documents: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Log-probabilities of every token of each document."""
        from xelm.models.scoring import token_log_probabilities

        return token_log_probabilities(
            self._model,
            documents,
            end_of_text=end_of_text(self._model),
            context=self._context,
        )


def end_of_text(model: Any) -> int:
    """The id that stands before a document: the config's end-of-sequence."""
    config = model.config.get_text_config()
    candidate = config.eos_token_id if config.eos_token_id is not None else config.bos_token_id
    return int(candidate[0] if isinstance(candidate, list) else candidate)


def _bits(scores: Iterable[NDArray[Any]], sizes: Sequence[int]) -> float:
    total = math.fsum(float(each.sum(dtype=np.float64)) for each in scores)
    return -total / math.log(2) / max(1, sum(sizes))


@dataclass(frozen=True)
class _Scores:
    """Log-probabilities under owners, and under others as far as they have a say."""

    own: dict[str, list[NDArray[np.float32]]]
    """language -> one array a document."""
    beside: dict[tuple[str, str, int], NDArray[np.float32]]
    """(expert, language, document) -> of its first tokens."""


class BundleFigures:
    """What one revision of a bundle does on some texts; every expert is loaded at most once.

    `limit` bytes of each language are scored by the models; the router, which costs next to
    nothing, reads them all.
    """

    def __init__(
        self,
        bundle: Path,
        manifest: Manifest,
        texts: Texts,
        context: int,
        limit: int | None = None,
    ) -> None:
        self.bundle, self.manifest, self.context = Path(bundle), manifest, context
        settings = {"kind": manifest.router.kind, **manifest.router.settings}
        self.routing: Routing = parse(settings)
        self.data = RouterData.load(self.bundle / manifest.router.folder)
        if self._may_abstain():
            self.data = self.data.with_fallback(manifests.SEED)
        self.every = texts.only(language for language in texts.languages if self._owned(language))
        self.texts = self.every.head(limit)
        self.router = build(self.routing, self.data)

    def _may_abstain(self) -> bool:
        """Does the seed answer where nothing fits, as it does in the loaded model?"""
        seed = self.manifest.seed
        there = seed is not None and seed.folder is not None
        several = len(self.manifest.experts) > 1
        return bool(self.routing.abstain and self.data.bounds and several and there)

    def _folder(self, name: str) -> Path:
        seed = self.manifest.seed
        if name == self.data.fallback:
            assert seed is not None and seed.folder is not None
            return self.bundle / seed.folder
        return self.bundle / self.manifest.expert(name).folder

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
    def _scores(self) -> "_Scores":
        """All scores that anybody needs; every expert is loaded once."""
        found = _Scores({}, {})
        for name in self.data.experts:
            mine = [code for code in self.texts.languages if self._owner(code) == name]
            beside = dict(self._read_by(name, without=mine))
            if not mine and not beside:
                continue
            scorer = _Scorer(self._folder(name), self.context)
            for language in mine:
                found.own[language] = scorer.score(self.texts.ids[language])
            parts = [self.texts.ids[code][index][:n] for (code, index), n in beside.items()]
            for (language, index), each in zip(beside, scorer.score(parts), strict=True):
                found.beside[name, language, index] = each
        return found

    def _owner(self, language: str) -> str:
        return owner(self.data.languages, language)

    def _read_by(self, name: str, without: Sequence[str]) -> Iterator[tuple[tuple[str, int], int]]:
        """(language, document) and the tokens of it up to the last that an expert has a say in."""
        number = self.data.experts.index(name)
        for language in self.texts.languages:
            for index, weights in enumerate(self._weights[language]):
                said = np.flatnonzero(weights[:, number])
                if language not in without and len(said):
                    yield (language, index), int(said[-1]) + 1

    def own(self) -> dict[str, float]:
        """Language -> bits per byte under the expert that owns it."""
        return {
            language: _bits(self._scores.own[language], self.texts.bytes[language])
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
        """log of sum_j w_j p_j of each token; an expert adds nothing beyond its last say."""
        total = np.full(len(weights_nk), -np.inf)
        for number in np.flatnonzero(weights_nk.sum(0)):
            name = self.data.experts[number]
            if name == self._owner(language):
                logs = self._scores.own[language][index]
            else:
                logs = self._scores.beside[name, language, index]
            part = slice(0, len(logs))
            with np.errstate(divide="ignore"):
                terms = logs.astype(np.float64) + np.log(weights_nk[part, number])
            total[part] = np.logaddexp(total[part], terms)
        return total

    def first(self) -> dict[str, list[str]]:
        """Language -> the expert that the router puts first once it has read each document."""
        import torch

        found: dict[str, list[str]] = {}
        for language in self.every.languages:
            found[language] = []
            for ids in self.every.ids[language]:
                ids_bt = torch.from_numpy(np.asarray(ids, dtype=np.int64))[None]
                last = self.router.weights(ids_bt)[0, -1]
                found[language].append(self.data.experts[int(last.argmax())])
        return found
