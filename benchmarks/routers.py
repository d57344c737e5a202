"""Which router, temperature, exponent and number of experts? Chosen on dev, reported on held-out.

    python benchmarks/routers.py RUN [--allocations typology-8 tfidf-8] [--bytes 30000]
                                 [--words] [--out docs/results/routers.json]

RUN is a finished run with bundles. Every expert reads every text once (what `xelm evaluate` has
stored is not read again); every choice is then weights times arrays. With --words the embedding of
the published method, over words, is fitted on the train split and tried as well.
"""

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from ensemble_tables import routers as table
from xelm.allocation.embedding import Embedding
from xelm.allocation.embedding import fit as fit_embedding
from xelm.allocation.terms import Documents, Words
from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.ensemble.routers.data import RouterData, TfidfData
from xelm.ensemble.routers.words import piece_bytes
from xelm.evaluation import routing, scores
from xelm.evaluation.contest import Contest
from xelm.evaluation.routing import Choice
from xelm.evaluation.settings import EvaluationSettings
from xelm.storage import atomic

TEMPERATURES = {
    "tfidf": (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    "unigram": (0.1, 0.5, 1.0, 3.0, 10.0, 30.0),
    "posterior": (0.1, 0.5, 1.0, 3.0, 10.0, 30.0),
    "uniform": (1.0,),
}
WORDS_FITTED = 4_000  # documents
AVERAGED = 200  # documents of each column
Row = dict[str, Any]


def grid(kinds: Sequence[str], k: int) -> Iterator[Choice]:
    """Every kind at every temperature, exponent and number of experts."""
    for kind in kinds:
        for exponent in (2, 4) if kind == "tfidf" else (2,):
            for temperature in TEMPERATURES[kind]:
                for top_m in (1, 2, 4, None):
                    if top_m is None or (top_m < k and kind != "uniform"):
                        yield Choice(kind, temperature, top_m, exponent)


def measure(contest: Contest, allocation: str, words: Embedding | None) -> dict[str, Any]:
    """All choices on dev and held-out, and what they are compared with."""
    data = routing.router_data(contest, allocation)
    for split in ("dev", "heldout"):
        caps = dict.fromkeys(contest.languages, contest.settings.routed_bytes)
        for expert in data.experts:
            model = contest.expert(allocation, expert)
            scores.score(contest.run, model, split, caps, **contest.reading.as_json())
    kinds = [kind for kind in TEMPERATURES if kind in data.kinds()]
    rows = tried(contest, allocation, data, list(grid(kinds, len(data.experts))), "pieces")
    if words is not None:
        other = replace(data, tfidf=over_words(contest.run, allocation, data, words))
        choices = list(grid(["tfidf"], len(data.experts)))
        rows += tried(contest, allocation, other, choices, "words")
    return {
        "k": len(data.experts),
        "own": {split: own(contest, allocation, data, split) for split in ("dev", "heldout")},
        "chosen": chosen(rows),
        "rows": rows,
    }


def tried(
    contest: Contest, allocation: str, data: RouterData, choices: list[Choice], terms: str
) -> list[Row]:
    """A row a choice: mean bits per byte over languages on both splits."""
    found = {
        split: routing.measure(contest, allocation, data, choices, split)
        for split in ("dev", "heldout")
    }
    return [
        {
            **asdict(choice),
            "terms": terms if choice.kind == "tfidf" else None,
            "dev": fmean(found["dev"][number].values()),
            "heldout": fmean(found["heldout"][number].values()),
            "by_language": found["heldout"][number],
        }
        for number, choice in enumerate(choices)
    ]


def name(row: Mapping[str, Any]) -> str:
    """The router of a row as tables call it."""
    return f"tfidf, {row['terms']}" if row["kind"] == "tfidf" else str(row["kind"])


def chosen(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """router -> m (`any`: the best) -> the row that is best on dev."""
    best: dict[str, dict[str, int]] = {}
    for number, row in enumerate(rows):
        places = best.setdefault(name(row), {})
        for m in (str(row["top_m"] or "k"), "any"):
            if m not in places or row["dev"] < rows[places[m]]["dev"]:
                places[m] = number
    return best


def own(contest: Contest, allocation: str, data: RouterData, split: str) -> dict[str, float]:
    """The known language's owner alone: the router `language`."""
    found = {}
    for language in contest.languages:
        reading = routing.read(contest, allocation, data.experts, split, language)
        weights = np.zeros((reading.logs.shape[1], len(data.experts)))
        weights[:, data.experts.index(contest.teams[allocation].owner[language])] = 1.0
        bits = routing.mixed_bits(reading, weights, 1).sum()
        found[language] = float(bits / reading.documents.bytes.sum())
    return found


def over_words(run: Path, allocation: str, data: RouterData, words: Embedding) -> TfidfData:
    """The same columns with centroids over words: means of some documents of each."""
    shards = TokenShards(run / "corpus", "train")
    assert data.unigram is not None and isinstance(words.terms, Words)
    folder = run / "allocations" / allocation / "shares"
    shares = {name: Share.load(folder / f"{name}.json", shards) for name in data.experts}
    centroids = []
    for column in data.unigram.columns:
        language = str(column.language)
        held = np.asarray(shares[column.expert].documents(language))
        few = held[:: max(1, len(held) // AVERAGED)]
        points = words.embed(shards, Documents(language, few))
        centroids.append(points.sum(0, dtype=np.float64) / max(1, (points != 0).any(1).sum()))
    pieces = tuple(piece_bytes(tokenizers.load(run / "corpus" / "tokenizer")))
    return TfidfData(
        data.unigram.columns,
        words.idf,
        words.rows,
        np.stack(centroids),
        words.terms.vocabulary,
        pieces,
    )


def main() -> None:
    """Measure every allocation asked for; print the table, keep all rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--allocations", nargs="+", default=["typology-8", "tfidf-8"])
    parser.add_argument("--bytes", type=int, default=30_000, help="a language and split")
    parser.add_argument("--words", action="store_true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = EvaluationSettings(routed_bytes=asked.bytes)
    contest = Contest(asked.run, asked.run.name, (), tuple(asked.allocations), settings=settings)
    words = None
    if asked.words:
        shards = TokenShards(asked.run / "corpus", "train")
        words = fit_embedding(shards, terms="words", most=WORDS_FITTED)
    start = time.perf_counter()
    found = {one: measure(contest, one, words) for one in asked.allocations}
    results = {"run": asked.run.name, "bytes": asked.bytes, "allocations": found}
    for allocation in found:
        print(f"\n{allocation}\n{table(results, allocation)}")
    print(f"{time.perf_counter() - start:.0f} s")
    if asked.out:
        atomic.write_json(asked.out, results)


if __name__ == "__main__":
    main()
