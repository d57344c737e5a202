"""What a job reads, opened and named: parent model, tokenizer, shares, order, fingerprints."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.errors import UserError
from xelm.models import seed as models
from xelm.models.sizes import size
from xelm.storage import fingerprint, manifest
from xelm.training import packed
from xelm.training.job import Job, spec_path
from xelm.training.order import Order, Source

_HASHED_BYTES = 2 * 10**9  # shards up to this size are hashed before training, larger ones measured


@dataclass
class Inputs:
    """All that a job needs besides its own state."""

    job: Job
    tokenizer: Any
    config: Any
    """Of the parent model."""
    parent: Callable[[], Any]
    """Loads the model as it stands before the first step, in the dtype of the result."""
    shares: list[Share]
    share_names: list[str]
    """Their fingerprints at home."""
    order: Order
    fingerprints: dict[str, str]
    paths: dict[str, Path]
    """Which file each fingerprint is of."""

    def windows(self, start: int, stop: int) -> np.ndarray:
        """Token ids [n, context + 1] of the windows at positions start .. stop-1."""
        return np.stack(
            [
                self.shares[pick.source].window(pick.language, pick.window, self.job.context)
                for pick in self.order.picks(start, stop)
            ]
        )


def open_inputs(run: Path, job: Job) -> Inputs:
    """Open everything; UserError names what is missing, damaged or does not fit together."""
    run = Path(run)
    corpus = run / job.corpus
    shards = TokenShards(corpus, "train")
    shares = [_share(run, source.share, shards) for source in job.sources]
    _require_whole(corpus, {code for share in shares for code in share.languages})
    tokenizer = tokenizers.load(corpus / "tokenizer")
    config, parent = _parent(run, job, tokenizer)
    _require_context(job, config)
    known = packed.fingerprints(run) or _fingerprints_of_data(shards, shares)
    return Inputs(
        job=job,
        tokenizer=tokenizer,
        config=config,
        parent=parent,
        shares=shares,
        share_names=known["shares"],
        order=open_order(job, shares, known["shares"]),
        fingerprints={
            "seed": seed_fingerprint(run, job),
            "share": fingerprint.of_value(known["shares"]),
            "tokenizer": fingerprint.of_file(corpus / "tokenizer" / "tokenizer.json"),
            "corpus": known["corpus"],
            "job": fingerprint.of_value(job.identity()),
        },
        paths={
            "seed": run / (job.parent or spec_path(run, job.name).relative_to(run)),
            "share": run / (job.sources[0].share or job.corpus),
            "tokenizer": corpus / "tokenizer" / "tokenizer.json",
            "corpus": corpus / "stats.json",
            "job": spec_path(run, job.name),
        },
    )


def open_order(job: Job, shares: list[Share], names: list[str]) -> Order:
    """The order of a job's windows; `names` are the shares' fingerprints at home."""
    sources = [
        Source(share, name, spec.windows, spec.alpha, spec.order_seed)
        for share, name, spec in zip(shares, names, job.sources, strict=True)
    ]
    return Order(sources, job.context, job.order_seed)


def _fingerprints_of_data(shards: TokenShards, shares: list[Share]) -> packed.Fingerprints:
    return {"corpus": shards.fingerprint, "shares": [share.fingerprint for share in shares]}


def _share(run: Path, path: str | None, shards: TokenShards) -> Share:
    share = Share.everything(shards) if path is None else Share.load(run / path, shards)
    if not any(share.token_count(language) for language in share.languages):
        raise UserError(f"{path or 'share'}: holds no text; give its expert a language with text")
    return share


def _require_whole(corpus: Path, languages: set[str]) -> None:
    """Raise DamagedArtefact naming a file of these languages (or the tokenizer) that changed."""
    recorded = manifest.read(corpus)
    used = {
        name: about
        for name, about in recorded.items()
        if name.startswith("tokenizer/")
        or (name.startswith("train/") and name.split("/")[1] in languages)
    }
    hashing = sum(about["size"] for about in used.values()) <= _HASHED_BYTES
    for name, about in used.items():
        path = corpus / name
        if not path.is_file():
            raise manifest.DamagedArtefact(f"{path}: missing; restore it, or prepare a new run")
        changed = path.stat().st_size != about["size"]
        if changed or (hashing and fingerprint.of_file(path) != about["sha256"]):
            raise manifest.DamagedArtefact(
                f"{path}: changed since the corpus was prepared; restore it, or prepare a new run"
            )


def _parent(run: Path, job: Job, tokenizer: Any) -> tuple[Any, Callable[[], Any]]:
    """The parent's config, and how to load it."""
    if job.parent is None:
        if job.size is None:
            raise UserError(f"job {job.name}: has neither a parent nor a size; give one of them")
        fresh = size(job.size, len(tokenizer))
        return models.config(fresh, tokenizer), lambda: models.build(
            fresh, tokenizer, job.initial_seed
        )
    folder = run / job.parent
    if not folder.is_dir():
        raise UserError(f"{folder}: the parent model is not there; train or fetch it first")
    manifest.verify(folder)
    _require_tokenizer(folder, run / job.corpus / "tokenizer", tokenizer)
    config = models.load_config(folder)
    rows = config.get_text_config().vocab_size
    if len(tokenizer) > rows:
        raise UserError(
            f"{folder}: has {rows} embedding rows, the corpus's tokenizer {len(tokenizer)} "
            "entries; prepare the corpus with the parent's tokenizer"
        )
    return config, lambda: models.load(folder)


def _require_tokenizer(parent: Path, ours: Path, tokenizer: Any) -> None:
    theirs = parent / "tokenizer.json"
    if not theirs.is_file() or theirs.read_bytes() == (ours / "tokenizer.json").read_bytes():
        return
    if tokenizers.load(parent).get_vocab() != tokenizer.get_vocab():
        raise UserError(
            f"{theirs}: is another tokenizer than {ours / 'tokenizer.json'}; "
            "prepare the corpus with the parent's tokenizer"
        )


def seed_fingerprint(run: Path, job: Job) -> str:
    """One name for what the job starts from: weights and config, whatever else stands there."""
    if job.parent is None:
        return fingerprint.of_value({"size": job.size, "initial_seed": job.initial_seed})
    return weights_fingerprint(Path(run) / job.parent)


def weights_fingerprint(folder: Path) -> str:
    """One name for a model's weights and config; growth recognises a parent by it."""
    kept = sorted(
        path
        for path in Path(folder).iterdir()
        if path.suffix == ".safetensors" or path.name == "config.json"
    )
    return fingerprint.of_value({path.name: fingerprint.of_file(path) for path in kept})


def _require_context(job: Job, config: Any) -> None:
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and job.context > longest:
        raise UserError(
            f"context: {job.context} tokens, but {job.parent or job.size} reads at most {longest}; "
            "give a smaller context"
        )
