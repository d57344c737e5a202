"""`xelm evaluate BUNDLE --text FILES`: bits per byte of your own text under a bundle."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from xelm.errors import UserError

if TYPE_CHECKING:
    from xelm.ensemble.scoring import ScoredText, Total


def score(
    bundle: Path,
    text: Sequence[str],
    router: str | None,
    top_m: int | None,
    tokens: bool,
    as_json: bool,
) -> None:
    """Print bits per byte by language, or one JSON line a document with its tokens."""
    if not text:
        raise UserError("--text: name the files, folders or globs to score")
    import torch

    from xelm.corpus import readers
    from xelm.corpus.tokenizer import load
    from xelm.ensemble import scoring
    from xelm.ensemble.model import XelmForCausalLM

    documents = readers.read(list(text))
    routing: dict[str, Any] = {"top_m": top_m} if top_m else {}
    if router not in (None, "own"):
        routing["router"] = router
    model = XelmForCausalLM.from_pretrained(bundle, dtype=torch.float32, **routing)
    tokenizer = load(bundle)
    scored = scoring.score(model, tokenizer, documents, own=router == "own")
    if tokens:
        scored = _printed(scored, tokenizer, model.names)
    totals = scoring.totals(model, scored)
    if not totals:
        raise UserError(f"--text {' '.join(text)}: no text in it")
    if not tokens:
        _show(totals, as_json)


def _printed(
    scored: Iterable["ScoredText"], tokenizer: Any, names: Sequence[str]
) -> Iterator["ScoredText"]:
    """Print every document's tokens as they are scored."""
    for one in scored:
        rows = [
            {"token": piece, "log_probability": float(log), "expert": names[int(weights.argmax())]}
            for piece, log, weights in zip(
                tokenizer.convert_ids_to_tokens(one.ids.tolist()),
                one.log_probabilities,
                one.weights,
                strict=True,
            )
        ]
        about = {"id": one.document.id, "language": one.document.language, "tokens": rows}
        typer.echo(json.dumps(about, ensure_ascii=False))
        yield one


def _show(totals: dict[str, "Total"], as_json: bool) -> None:
    languages: dict[str, dict[str, Any]] = {
        language: {
            "bits_per_byte": total.bits_per_byte,
            "perplexity": total.perplexity,
            "bytes": total.bytes,
            "tokens": total.tokens,
            "documents": total.documents,
            "experts": {n: w / max(1, total.tokens) for n, w in total.weights.items() if w > 0},
        }
        for language, total in sorted(totals.items())
    }
    if as_json:
        typer.echo(json.dumps({"languages": languages}, indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="bits per byte, lower is better", title_justify="left")
    for column in ("language", "documents", "bytes", "bits per byte", "who spoke"):
        table.add_column(column, justify="left" if column in ("language", "who spoke") else "right")
    for language, about in languages.items():
        first = sorted(about["experts"].items(), key=lambda item: -item[1])[:3]
        who = ", ".join(f"{name} {share:.0%}" for name, share in first)
        figures = (f"{about['documents']:,}", f"{about['bytes']:,}")
        table.add_row(language, *figures, f"{about['bits_per_byte']:.4f}", who)
    Console().print(table)
