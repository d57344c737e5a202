"""Log-probabilities of documents under any causal LM, by the project's one definition.

A document's tokens are preceded by end-of-text, so the first token is scored too. Long documents
are read in windows of `context` inputs; each window after the first starts half a window later
and scores only its second half, so every token sees at least half a context. Softmax in float32.
"""

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

_LOGITS_AT_ONCE = 48_000_000  # elements: bounds memory for large vocabularies
_ROWS_AT_ONCE = {"cpu": 64}


@dataclass(frozen=True, slots=True)
class Window:
    """Inputs start .. stop - 1 of a document, of whose targets those from `scored_from` count."""

    document: int
    start: int  # first input, counted in the document with end-of-text in front
    stop: int
    scored_from: int  # targets before this one were scored by the window before

    @property
    def skipped(self) -> int:
        """Positions at the window's beginning whose output nobody asks for."""
        return self.scored_from - self.start


@runtime_checkable
class WindowScorer(Protocol):
    """A model that also scores targets itself, in windows of one length."""

    window: int

    def score(self, inputs_bt: torch.Tensor, targets_bk: torch.Tensor) -> torch.Tensor | None:
        """Log-probabilities [b, k] of the targets of the last k positions, in float32.

        None where it has no faster way than its logits.
        """


def token_log_probabilities(
    model: Any,
    documents: Sequence[np.ndarray],
    *,
    end_of_text: int,
    context: int,
    batch_tokens: int = 4096,
) -> list[np.ndarray]:
    """For each document of n token ids, float32 [n]: natural log p(token | end-of-text, before).

    `model` maps `input_ids` to `.logits` and is run as it is (dtype, device, mode); windows of
    like length share a batch of about `batch_tokens` positions.
    """
    results = [np.zeros(len(document), dtype=np.float32) for document in documents]
    chosen = [
        window
        for index, document in enumerate(documents)
        for window in windows(index, len(document), context)
    ]
    score_windows(
        model, documents, chosen, results, end_of_text=end_of_text, batch_tokens=batch_tokens
    )
    return results


def score_windows(
    model: Any,
    documents: Sequence[np.ndarray],
    chosen: Sequence[Window],
    results: Sequence[np.ndarray],
    *,
    end_of_text: int,
    batch_tokens: int = 4096,
) -> None:
    """Score the targets that these windows count, into `results` (one array a document)."""
    length = partial(_length, getattr(model, "window", 0))
    ordered = sorted(chosen, key=lambda window: (-length(window), window.skipped))
    vocabulary = model.config.get_text_config().vocab_size
    batch_tokens = max(1, min(batch_tokens, _LOGITS_AT_ONCE // vocabulary))
    start = 0
    while start < len(ordered):
        longest = length(ordered[start])
        count = max(1, batch_tokens // longest)
        _score(model, documents, ordered[start : start + count], longest, end_of_text, results)
        start += count


def _length(window: int, one: Window) -> int:
    """Positions with padding: a longer half of a window that models are fast at is made whole."""
    length = one.stop - one.start
    return window if window / 2 < length <= window else length


def windows(document: int, tokens: int, context: int) -> Iterator[Window]:
    """Input i of a document is the token before target i; targets are its `tokens` ids."""
    if tokens == 0:
        return
    stop = min(context, tokens)
    yield Window(document, 0, stop, 0)
    stride = max(1, context // 2)
    while stop < tokens:
        done, stop = stop, min(stop + stride, tokens)
        yield Window(document, max(0, done + stride - context), stop, done)


@torch.no_grad()
def _score(
    model: Any,
    documents: Sequence[np.ndarray],
    batch: Sequence[Window],
    length: int,
    end_of_text: int,
    results: Sequence[np.ndarray],
) -> None:
    inputs = np.full((len(batch), length), end_of_text, dtype=np.int64)
    targets = np.full((len(batch), length), end_of_text, dtype=np.int64)
    for row, window in enumerate(batch):
        document = documents[window.document]
        width = window.stop - window.start
        targets[row, :width] = document[window.start : window.stop]
        first = end_of_text if window.start == 0 else document[window.start - 1]
        inputs[row, 0] = first
        inputs[row, 1:width] = document[window.start : window.stop - 1]
    skipped = min(window.skipped for window in batch)
    scores = _target_log_probabilities(model, inputs, targets[:, skipped:])
    for row, window in enumerate(batch):  # padding stands to the right: a causal model ignores it
        scored = slice(window.skipped - skipped, window.stop - window.start - skipped)
        results[window.document][window.scored_from : window.stop] = scores[row, scored]


def _target_log_probabilities(model: Any, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    inputs_bt = torch.from_numpy(inputs).to(model.device)
    targets_bt = torch.from_numpy(targets).to(model.device)
    if isinstance(model, WindowScorer):
        own = model.score(inputs_bt, targets_bt)
        if own is not None:
            return own.cpu().numpy()
    kept = targets.shape[1]
    few = {"logits_to_keep": kept} if kept < inputs.shape[1] and _keeps(model) else {}
    logits_btv = model(input_ids=inputs_bt, use_cache=False, **few).logits[:, -kept:]
    wide = torch.promote_types(logits_btv.dtype, torch.float32)
    rows = _ROWS_AT_ONCE.get(logits_btv.device.type, len(targets_bt) * kept)
    losses = [
        torch.nn.functional.cross_entropy(logits.to(wide), some, reduction="none")
        for logits, some in zip(
            logits_btv.flatten(0, 1).split(rows), targets_bt.flatten().split(rows), strict=True
        )
    ]
    scores: np.ndarray = -torch.cat(losses).view(targets_bt.shape).cpu().numpy()
    return scores


def _keeps(model: Any) -> bool:
    """Can the model leave out the logits that nobody asks for (half of a long document's)?"""
    return "logits_to_keep" in inspect.signature(model.forward).parameters


def bits_per_byte(log_probabilities: Sequence[np.ndarray], text_bytes: int) -> float:
    """Negative log2-likelihood of all documents over the bytes of their raw UTF-8 text."""
    return -_total(log_probabilities) / math.log(2) / text_bytes


def perplexity(log_probabilities: Sequence[np.ndarray]) -> float:
    """exp of the mean negative log-likelihood of a token: comparable within one tokenizer only."""
    tokens = sum(len(scores) for scores in log_probabilities)
    return math.exp(-_total(log_probabilities) / tokens)


def _total(log_probabilities: Sequence[np.ndarray]) -> float:
    return math.fsum(float(scores.sum(dtype=np.float64)) for scores in log_probabilities)
