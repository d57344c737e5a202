"""Log-probabilities of text under an X-ELM, at the cost of the experts it uses.

Windows and conditioning are those of `xelm.models.scoring`; the weights of a token come from its
whole document before it, not from its window. Weights are made first; an expert then reads only the
windows in which it is chosen, up to the last token it is chosen for, and only its log-probability
of each target is kept: whole distributions are never mixed. Memory stays flat however long the
text. Shapes: n tokens, k experts.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.documents import Document
from xelm.ensemble.mixing import keep_largest, mix
from xelm.ensemble.routers.base import State
from xelm.errors import UserError
from xelm.models.scoring import Window, score_windows, windows

if TYPE_CHECKING:
    from xelm.ensemble.model import XelmForCausalLM

_TOKENS_AT_ONCE = 1 << 18


@dataclass
class _Stretch:
    """Consecutive windows of one document: its tokens [first, last) are scored."""

    document: int
    first: int
    last: int
    windows: list[Window]

    @property
    def offset(self) -> int:
        """Where its slice of the document begins: the input before its first window."""
        return max(0, self.windows[0].start - 1)


@dataclass
class _Reading:
    """How far the router has read a document."""

    state: State
    weights_k: torch.Tensor
    tokens: int = 0
    settled_k: torch.Tensor | None = None


def token_log_probabilities(
    model: "XelmForCausalLM",
    documents: Sequence[NDArray[Any]],
    *,
    end_of_text: int,
    context: int,
    owners: Sequence[str] | None = None,
    batch_tokens: int = 4096,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each document of n ids: natural log p of every token [n], and the weights [n, k] used.

    Args:
        owners: the expert that answers for each document, instead of the router.

    Raises:
        UserError: routing by the whole sequence, whose weights would have seen the text they score.
    """
    routing = model.routing
    if routing.route_every == "sequence" and routing.route_tokens is None:
        raise UserError(
            "route_every: sequence: scoring needs route_tokens, else the weights would have seen "
            "the text they score"
        )
    scorer = _Scorer(model, documents, end_of_text, owners, batch_tokens)
    done: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    at = 0
    for unit in _units(documents, context):
        for stretch, logs_n, weights_nk in scorer.score(unit):
            while at < stretch.document:  # a document without tokens, or the one before is whole
                yield _joined(done, len(model.names))
                done, at = [], at + 1
            done.append((logs_n, weights_nk))
    while at < len(documents):
        yield _joined(done, len(model.names))
        done, at = [], at + 1


def _joined(
    parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not parts:
        return np.zeros(0), np.zeros((0, k))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _units(documents: Sequence[NDArray[Any]], context: int) -> Iterator[list[_Stretch]]:
    """Stretches of about _TOKENS_AT_ONCE tokens together, in order."""
    unit: list[_Stretch] = []
    size = 0
    for number, ids in enumerate(documents):
        for window in windows(number, len(ids), context):
            if size >= _TOKENS_AT_ONCE:
                yield unit
                unit, size = [], 0
            if not unit or unit[-1].document != number:
                unit.append(_Stretch(number, window.scored_from, window.stop, []))
            unit[-1].windows.append(window)
            unit[-1].last = window.stop
            size += window.stop - window.scored_from
    yield unit


class _Scorer:
    def __init__(
        self,
        model: "XelmForCausalLM",
        documents: Sequence[NDArray[Any]],
        end_of_text: int,
        owners: Sequence[str] | None,
        batch_tokens: int,
    ) -> None:
        self.model, self.documents, self.end_of_text = model, documents, end_of_text
        self.owners, self.batch_tokens = owners, batch_tokens
        self.readings: dict[int, _Reading] = {}

    def score(
        self, unit: Sequence[_Stretch]
    ) -> Iterator[tuple[_Stretch, NDArray[np.float64], NDArray[np.float64]]]:
        """Log-probabilities and weights of each stretch."""
        if self.model.router.needs_likelihood and self.owners is None:
            asked = (self.model.router.prior > 0).double().cpu().numpy()
            logs = self._run(unit, [np.tile(asked, (s.last - s.first, 1)) for s in unit])
            weights = [self._judge(s, part) for s, part in zip(unit, logs, strict=True)]
        else:
            weights = [self._weigh(stretch) for stretch in unit]
            logs = self._run(unit, weights)
        for stretch, logs_kn, weights_nk in zip(unit, logs, weights, strict=True):
            yield stretch, mix(logs_kn, weights_nk), weights_nk

    def _reading(self, stretch: _Stretch) -> _Reading:
        """Where the router stands in a document; what went before is forgotten when it is done."""
        for number in [n for n in self.readings if n < stretch.document]:
            del self.readings[number]
        router = self.model.router
        return self.readings.setdefault(
            stretch.document, _Reading(router.start(1), router.prior.double())
        )

    def _weigh(self, stretch: _Stretch) -> NDArray[np.float64]:
        """Weights [n, k] of a stretch's tokens, each from the tokens before it."""
        if self.owners is not None:
            row = np.zeros(len(self.model.names))
            row[self.model.names.index(self.owners[stretch.document])] = 1.0
            return np.tile(row, (stretch.last - stretch.first, 1))
        reading = self._reading(stretch)
        ids = self.documents[stretch.document][stretch.first : stretch.last]
        ids_bt = torch.from_numpy(np.asarray(ids).astype(np.int64))[None]
        router = self.model.router
        after, reading.state = router.step(reading.state, ids_bt.to(router.prior.device))
        return self._before(reading, after[0])

    def _judge(self, stretch: _Stretch, logs_kn: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `_weigh`, by the likelihood under each expert."""
        reading = self._reading(stretch)
        router: Any = self.model.router
        logs_btk = torch.from_numpy(logs_kn.T)[None]
        after, reading.state = router.step_likelihood(reading.state, logs_btk)
        return self._before(reading, after[0])

    def _before(self, reading: _Reading, after_nk: torch.Tensor) -> NDArray[np.float64]:
        """Shift by one token, settle if asked, keep the largest."""
        routing = self.model.routing
        weights_nk = torch.cat([reading.weights_k[None], after_nk[:-1]])
        if routing.route_every == "sequence":
            assert routing.route_tokens is not None
            weights_nk = _settle(reading, weights_nk, routing.route_tokens)
        reading.weights_k = after_nk[-1]
        reading.tokens += len(after_nk)
        kept = keep_largest(weights_nk, routing.top_m, routing.negligible)
        result: NDArray[np.float64] = kept.cpu().numpy()
        return result

    def _run(
        self, unit: Sequence[_Stretch], weights: Sequence[NDArray[np.float64]]
    ) -> list[NDArray[np.float64]]:
        """Each expert's log-probabilities [k, n] of each stretch, zero where it was not asked."""
        k = len(self.model.names)
        slices = [self.documents[s.document][s.offset : s.last] for s in unit]
        logs = [np.zeros((k, len(ids))) for ids in slices]
        for index in range(k):
            chosen = [
                window
                for number, (stretch, w) in enumerate(zip(unit, weights, strict=True))
                for window in _trimmed(number, stretch, w[:, index] > 0)
            ]
            if chosen:
                score_windows(
                    self.model.experts[index],
                    slices,
                    chosen,
                    [part[index] for part in logs],
                    end_of_text=self.end_of_text,
                    batch_tokens=self.batch_tokens,
                )
        return [part[:, s.first - s.offset :] for s, part in zip(unit, logs, strict=True)]


def _settle(reading: _Reading, weights_nk: torch.Tensor, after: int) -> torch.Tensor:
    """Weights made from `after` tokens stay for the rest of the document."""
    place = after - reading.tokens  # row t was made from tokens [0, reading.tokens + t)
    if reading.settled_k is None and place < len(weights_nk):
        reading.settled_k = weights_nk[max(0, place)].clone()
    if reading.settled_k is None:
        return weights_nk
    weights_nk = weights_nk.clone()
    weights_nk[max(0, place) :] = reading.settled_k
    return weights_nk


def _trimmed(number: int, stretch: _Stretch, chosen_n: NDArray[np.bool_]) -> Iterator[Window]:
    """The windows in which an expert is chosen, from its first choice to its last."""
    for window in stretch.windows:
        places = np.flatnonzero(
            chosen_n[window.scored_from - stretch.first : window.stop - stretch.first]
        )
        if len(places):
            offset = stretch.offset
            yield Window(
                number,
                window.start - offset,
                window.scored_from + int(places[-1]) + 1 - offset,
                window.scored_from + int(places[0]) - offset,
            )


@dataclass
class Total:
    """What a language's documents add up to."""

    bytes: int = 0
    tokens: int = 0
    documents: int = 0
    log_probability: float = 0.0
    weights: Counter[str] = field(default_factory=Counter)
    """Expert -> sum of its weights."""

    @property
    def bits_per_byte(self) -> float:
        """Negative log2-likelihood over raw UTF-8 bytes."""
        return -self.log_probability / math.log(2) / max(1, self.bytes)

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood of a token."""
        return math.exp(-self.log_probability / max(1, self.tokens))


@dataclass(frozen=True)
class ScoredText:
    """One document: its ids, their log-probabilities [n] and weights [n, k]."""

    document: Document
    ids: NDArray[np.int64]
    log_probabilities: NDArray[np.float64]
    weights: NDArray[np.float64]


def score(
    model: "XelmForCausalLM",
    tokenizer: Any,
    documents: Iterable[Document],
    *,
    own: bool = False,
    context: int | None = None,
    batch_tokens: int = 4096,
) -> Iterator[ScoredText]:
    """Score documents as they come, some megabytes of text at a time.

    Args:
        own: ask the expert that owns each document's language, not the router.
        context: window length; None is what the experts were trained on, as far as it is known.
    """
    end_of_text = tokenizers.end_of_text(tokenizer)
    context = context or trained_context(model)
    for chunk in _chunks(documents):
        ids = [np.array(each) for each in tokenizers.encode(tokenizer, [d.text for d in chunk])]
        owners = [model.owner(document.language) for document in chunk] if own else None
        scored = token_log_probabilities(
            model,
            ids,
            end_of_text=end_of_text,
            context=context,
            owners=owners,
            batch_tokens=batch_tokens,
        )
        for document, tokens, (logs, weights) in zip(chunk, ids, scored, strict=True):
            yield ScoredText(document, tokens, logs, weights)


def totals(model: "XelmForCausalLM", scored: Iterable[ScoredText]) -> dict[str, Total]:
    """language -> bytes, tokens, bits per byte, and who spoke."""
    found: dict[str, Total] = {}
    for text in scored:
        total = found.setdefault(text.document.language, Total())
        total.bytes += len(text.document.text.encode("utf-8"))
        total.tokens += len(text.ids)
        total.documents += 1
        total.log_probability += math.fsum(text.log_probabilities)
        for name, weight in zip(model.names, text.weights.sum(0), strict=True):
            total.weights[name] += weight
    return found


def trained_context(model: "XelmForCausalLM") -> int:
    """The context in the experts' ledgers, else the positions the architecture allows."""
    return model.context or int(model.config.max_position_embeddings or 1024)


def _chunks(documents: Iterable[Document], size: int = 1 << 22) -> Iterator[list[Document]]:
    """Lists of documents of about `size` characters together."""
    chunk: list[Document] = []
    held = 0
    for document in documents:
        chunk.append(document)
        held += len(document.text)
        if held >= size:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk
