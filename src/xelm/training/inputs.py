"""What a job reads, opened and named: parent model, tokenizer, shares, order, fingerprints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.errors import UserError
from xelm.models import seed as models
from xelm.models.sizes import size
from xelm.storage import fingerprint, manifest
from xelm.training.job import Job
from xelm.training.order import Order, Source


@dataclass
class Inputs:
    """All that a job needs besides its own state."""

    job: Job
    tokenizer: Any
    model: Any
    """As it stands before the first step, in the dtype the result will be saved in."""
    shares: list[Share]
    order: Order
    fingerprints: dict[str, str]

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
    corpus = Path(run) / job.corpus
    shards = TokenShards(corpus, "train")
    tokenizer = tokenizers.load(corpus / "tokenizer")
    shares = [_share(run, source.share, shards) for source in job.sources]
    model, seed_fingerprint = _parent(run, job, tokenizer)
    _require_context(job, model)
    sources = [
        Source(share, spec.windows, spec.alpha, spec.order_seed)
        for share, spec in zip(shares, job.sources, strict=True)
    ]
    fingerprints = {
        "seed": seed_fingerprint,
        "share": fingerprint.of_value([share.fingerprint for share in shares]),
        "tokenizer": _tokenizer_fingerprint(corpus / "tokenizer"),
        "corpus": shards.fingerprint,
        "job": fingerprint.of_value(_what_matters(job)),
    }
    order = Order(sources, job.context, job.order_seed)
    return Inputs(job, tokenizer, model, shares, order, fingerprints)


def _share(run: Path, path: str | None, shards: TokenShards) -> Share:
    share = Share.everything(shards) if path is None else Share.load(Path(run) / path, shards)
    if not any(share.token_count(language) for language in share.languages):
        raise UserError(f"{path or 'share'}: holds no text; give its expert a language with text")
    return share


def _parent(run: Path, job: Job, tokenizer: Any) -> tuple[Any, str]:
    if job.parent is None:
        if job.size is None:
            raise UserError(f"job {job.name}: has neither a parent nor a size; give one of them")
        model = models.build(size(job.size, len(tokenizer)), tokenizer, job.initial_seed)
        made_of = {"size": job.size, "initial_seed": job.initial_seed}
        return model.to(torch.bfloat16), fingerprint.of_value(made_of)
    folder = Path(run) / job.parent
    if not folder.is_dir():
        raise UserError(f"{folder}: the parent model is not there; train or fetch it first")
    manifest.verify(folder)
    model = models.load(folder)
    tokenizers.require_fit(tokenizer, model.get_input_embeddings().num_embeddings, str(folder))
    return model, weights_fingerprint(folder)


def weights_fingerprint(folder: Path) -> str:
    """One name for a model's weights and config, whatever else its folder holds."""
    kept = sorted(
        path
        for path in Path(folder).iterdir()
        if path.suffix == ".safetensors" or path.name == "config.json"
    )
    return fingerprint.of_value({path.name: fingerprint.of_file(path) for path in kept})


def _tokenizer_fingerprint(folder: Path) -> str:
    return fingerprint.of_file(Path(folder) / "tokenizer.json")


def _require_context(job: Job, model: Any) -> None:
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and job.context > longest:
        raise UserError(
            f"context: {job.context} tokens, but {job.parent or job.size} reads at most {longest}; "
            "give a smaller context"
        )


def _what_matters(job: Job) -> dict[str, Any]:
    """The job without what cannot change its result."""
    value = job.as_json()
    for name in ("checkpoint_seconds", "dev_every", "dev_windows", "log_every"):
        value["settings"].pop(name)
    return value
