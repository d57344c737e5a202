"""Token log-probabilities on disk: every model reads every document once, all figures follow.

`evaluation/scores/<split>/<model>/<language>.npy`: float32 natural log-probabilities of the first
documents of the split, in `reading_order`, without their end-of-text; beside it a small JSON that
says of which model and corpus. Scoring is given out as idempotent tasks.
"""

import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.evaluation import samples
from xelm.evaluation.contest import Asked, Contest, fingerprint_of
from xelm.evaluation.settings import PLAIN, Reading
from xelm.evaluation.text import Documents, documents
from xelm.launching.task import Task
from xelm.storage import atomic

Report = Callable[[Mapping[str, Any]], None]
Caps = dict[str, int | None]
_TOKENS_AT_ONCE = 200_000  # of documents scored between two reports
IMPOSSIBLE = -1e4
"""What a token is scored by a model whose training diverged: finite, so that a sweep can go on."""


def tasks(run: Path, recipe: Asked) -> list[Task]:
    """All that must be scored or written for a recipe's arms and is not yet.

    One task a model and split, and one a model that writes samples of text.

    Raises:
        UserError: some models are not trained yet.
    """
    contest = Contest.of(run, recipe)
    contest.require_trained()
    scoring = [
        task
        for (model, split), caps in _wanted(contest).items()
        for task in _task(contest.run, model, split, caps, contest.reading)
    ]
    return scoring + samples.tasks(contest)


def own_tasks(
    run: Path,
    model: str,
    languages: Iterable[str],
    after: Sequence[str] = (),
    reading: Reading = PLAIN,
) -> list[Task]:
    """Score one model on the whole dev text of the languages it answers for (the sweep)."""
    known = TokenShards(Path(run) / "corpus", "dev").languages
    caps: Caps = dict.fromkeys(one for one in languages if one in known)
    return _task(Path(run), model, "dev", caps, reading, tuple(after))


def _wanted(contest: Contest) -> dict[tuple[str, str], Caps]:
    """(model, split) -> language -> bytes to be read, None for all."""
    wanted: dict[tuple[str, str], Caps] = {}
    settings, dev = contest.settings, TokenShards(contest.run / "corpus", "dev").languages
    splits = {"heldout": contest.languages, "dev": [c for c in dev if c in contest.languages]}
    routed = {"heldout": settings.matrix or settings.routed, "dev": settings.routed}
    for name, team in contest.teams.items():
        for expert in team.experts:
            for split, languages in splits.items():
                if routed[split]:
                    caps = wanted.setdefault((contest.expert(name, expert), split), {})
                    caps.update(dict.fromkeys(languages, settings.routed_cap(split)))
    for arm in contest.single_arms():
        for order in contest.own_orders(arm):
            for split, languages in splits.items():
                if split == "heldout" or order == contest.orders[0]:
                    for language, model in contest.models(arm, order, languages).items():
                        wanted.setdefault((model, split), {})[language] = None
    return wanted


def _task(
    run: Path,
    model: str,
    split: str,
    caps: Caps,
    reading: Reading,
    after: tuple[str, ...] = (),
) -> list[Task]:
    shards = TokenShards(run / "corpus", split)
    if not after:
        caps = {
            one: cap
            for one, cap in caps.items()
            if not _is_done(run, model, shards, one, cap, reading.dtype)
        }
    if not caps:
        return []
    cost = sum(float(documents(shards, one, cap).tokens.sum()) for one, cap in caps.items())
    arguments = {"run": str(run), "model": model, "split": split, "languages": caps}
    arguments |= reading.as_json()
    name = f"score/{split}/{model}"
    return [Task(name, "xelm.evaluation.scores:score", arguments, after, cost)]


def score(
    run: str | Path,
    model: str,
    split: str,
    languages: Mapping[str, int | None],
    *,
    device: str = "cpu",
    dtype: str = "float32",
    compile: bool = False,
    report: Report = lambda _: None,
) -> None:
    """Score a model of the run on the first bytes (None: all) of each language; a task.

    Languages that were scored already with this model, corpus and dtype are left alone.
    """
    run = Path(run)
    shards = TokenShards(run / "corpus", split)
    open_ones = [
        one for one, cap in languages.items() if not _is_done(run, model, shards, one, cap, dtype)
    ]
    if not open_ones:
        return
    scorer = _Scorer(run, model, shards, Reading(device, dtype, compile), report)
    scorer.expect(sum(int(documents(shards, c, languages[c]).tokens.sum()) for c in open_ones))
    for language in open_ones:
        chosen = documents(shards, language, languages[language])
        _store(run, model, shards, language, chosen, dtype, scorer.score(language, chosen))


class _Scorer:
    """A loaded model, and the telling of how far it is."""

    def __init__(
        self, run: Path, model: str, shards: TokenShards, reading: Reading, report: Report
    ) -> None:
        from xelm.evaluation.reader import open_model

        self._model = open_model(run / "models" / model, reading, shards.context)
        self._shards, self._report, self._name = shards, report, model
        self._batch_tokens = reading.batch_tokens
        self._done, self._all, self._began = 0, 0, time.monotonic()

    def expect(self, tokens: int) -> None:
        """How many tokens there will be in all."""
        self._all = tokens

    def score(self, language: str, chosen: Documents) -> NDArray[np.float32]:
        """Log-probabilities of the documents, one after the other."""
        from xelm.models.scoring import token_log_probabilities

        parts: list[NDArray[np.float32]] = []
        for some in _portions(chosen):
            found = token_log_probabilities(
                self._model,
                [np.asarray(self._shards.document(language, int(i))) for i in some],
                end_of_text=self._shards.end_of_text,
                context=self._shards.context,
                batch_tokens=self._batch_tokens,
            )
            parts += found
            self._tell(language, found)
        return np.concatenate([np.zeros(0, dtype=np.float32), *parts])

    def _tell(self, language: str, found: list[NDArray[np.float32]]) -> None:
        tokens = sum(len(each) for each in found)
        self._done += tokens
        rate = self._done / max(1e-9, time.monotonic() - self._began)
        loss = -sum(float(each.sum()) for each in found) / max(1, tokens)
        self._report(
            {
                "job": self._name,
                "languages": [language],
                "step": self._done,
                "steps": self._all,
                "loss": loss,
                "tokens_per_second": rate,
                "seconds_left": (self._all - self._done) / max(1e-9, rate),
            }
        )


def _portions(chosen: Documents) -> list[NDArray[np.int64]]:
    """The documents' positions in portions of about `_TOKENS_AT_ONCE` tokens."""
    portion = np.cumsum(chosen.tokens) // _TOKENS_AT_ONCE
    return np.split(chosen.index, np.flatnonzero(np.diff(portion)) + 1)


def read(
    run: Path, model: str, split: str, language: str, chosen: Documents
) -> NDArray[np.float32]:
    """Stored log-probabilities [tokens] of the documents given (the first of reading order).

    Raises:
        UserError: they were not scored, or the file is damaged.
    """
    path = _place(run, model, split, language)
    shards = TokenShards(Path(run) / "corpus", split)
    about = _about(path)
    if not _covers(about, run, model, shards, chosen.count):
        raise UserError(f"{path}: not scored yet, or of another model; run `xelm evaluate {run}`")
    data = path.read_bytes()
    if sha256(data).hexdigest() != about["sha256"]:
        raise UserError(f"{path}: damaged (SHA-256 differs); delete it and evaluate again")
    array: NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False)
    return array[: int(chosen.tokens.sum())]


def _store(
    run: Path,
    model: str,
    shards: TokenShards,
    language: str,
    chosen: Documents,
    dtype: str,
    logs: NDArray[np.float32],
) -> None:
    assert len(logs) == int(chosen.tokens.sum()), "a token without a score"
    logs = np.maximum(np.nan_to_num(logs, nan=IMPOSSIBLE), np.float32(IMPOSSIBLE))
    path = _place(run, model, shards.split, language)
    buffer = io.BytesIO()
    np.save(buffer, logs, allow_pickle=False)
    atomic.write_bytes(path, buffer.getvalue())
    about = {
        "documents": chosen.count,
        "model": fingerprint_of(run, model),
        "corpus": shards.fingerprint,
        "context": shards.context,
        "dtype": dtype,
        "sha256": sha256(buffer.getvalue()).hexdigest(),
    }
    atomic.write_json(path.with_suffix(".json"), about)


def _is_done(
    run: Path, model: str, shards: TokenShards, language: str, cap_bytes: int | None, dtype: str
) -> bool:
    path = _place(run, model, shards.split, language)
    count, about = documents(shards, language, cap_bytes).count, _about(path)
    same = about.get("dtype", "float32") == dtype
    return path.is_file() and same and _covers(about, run, model, shards, count)


def _covers(
    about: Mapping[str, Any], run: Path, model: str, shards: TokenShards, count: int
) -> bool:
    return bool(
        about
        and about["documents"] >= count
        and about["corpus"] == shards.fingerprint
        and about["context"] == shards.context
        and about["model"] == fingerprint_of(run, model)
    )


def _about(path: Path) -> dict[str, Any]:
    about = path.with_suffix(".json")
    return atomic.read_json(about) if about.is_file() else {}


def _place(run: Path, model: str, split: str, language: str) -> Path:
    return Path(run) / "evaluation" / "scores" / split / model / f"{language}.npy"
