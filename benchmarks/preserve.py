"""What each way of keeping the seed's ability buys: gain on own languages, forgetting of the rest.

    python benchmarks/preserve.py RUN OUT [--allocation typology-3] [--only METHOD ...] [--keep]

Branches the experts of an allocation from the seed of RUN (a finished run; it is only read) under
every method of `training/preserve/`: the same windows in the same order, each method at the best
learning rate of one grid, chosen by bits per byte on dev of the experts' own languages. Reported
on held-out text: `gain`, the mean over languages of seed minus own expert; `forgetting`, the mean
of expert minus seed over all languages that are not the expert's.

Models and scores stay in OUT, so the command goes on where it was stopped, or does one method at a
time; OUT/preserve.json holds the table of the methods that are done. One thread.
"""

import argparse
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from xelm.training.environment import WORKER_ENVIRONMENT

os.environ.update(WORKER_ENVIRONMENT)

import numpy as np
import torch

from xelm.corpus.shards import TokenShards
from xelm.models import machine, scoring, seed
from xelm.storage import atomic
from xelm.training import ledger
from xelm.training.job import Job, plan
from xelm.training.loop import train
from xelm.training.preserve import METHODS
from xelm.training.settings import ArmSettings

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "preserve.json"
RATES = (1e-3, 3e-3, 9e-3)
LORA_TIMES = 10  # its matrices start at nothing: the customary rate is ten times the full model's
BATCH, WARMUP = 8, 0.05


def borrow(run: Path, out: Path, allocation: str) -> None:
    """Make OUT a run folder that reads the corpus, shares and seed of RUN."""
    for part in ("corpus", f"allocations/{allocation}", "models/seed"):
        link = out / part
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((run / part).resolve())


class Bench:
    """One allocation's experts under several methods, in a folder that remembers."""

    def __init__(self, out: Path, allocation: str, tokens: int) -> None:
        self.out, self.allocation, self.tokens = out, allocation, tokens
        about = atomic.read_json(out / f"allocations/{allocation}/allocation.json")
        self.experts = {name: sorted(e["languages"]) for name, e in about["experts"].items()}
        self.languages = sorted(code for own in self.experts.values() for code in own)
        self.context = TokenShards(out / "corpus", "train").context

    def job(self, method: str, rate: float, expert: str) -> Job:
        """Train one expert, or find it done."""
        settings = ArmSettings(
            batch=BATCH,
            learning_rate=rate,
            warmup=WARMUP,
            preserve=method,  # type: ignore[arg-type]
        )
        job = plan(
            f"{method}/{rate:g}/{expert}",
            tokens=self.tokens,
            context=self.context,
            settings=settings,
            share=f"allocations/{self.allocation}/shares/{expert}.json",
        )
        job.save(self.out)
        train(self.out, job.name)
        return job

    def score(self, name: str, split: str, languages: Iterable[str]) -> dict[str, float]:
        """Bits per byte of the model `models/<name>` by language; kept on disk."""
        path = self.out / "scores" / f"{name.replace('/', '_')}.{split}.json"
        known = atomic.read_json(path) if path.exists() else {}
        missing = [code for code in languages if code not in known]
        if missing:
            model = seed.load(self.out / "models" / name, torch.float32)
            known |= {code: self._bits(model, split, code) for code in missing}
            atomic.write_json(path, known)
        return {code: known[code] for code in languages}

    def _bits(self, model: Any, split: str, language: str) -> float:
        shards = TokenShards(self.out / "corpus", split)
        count = shards.count(language)
        documents = [np.asarray(shards.document(language, n)) for n in range(count)]
        scores = scoring.token_log_probabilities(
            model, documents, end_of_text=shards.end_of_text, context=self.context
        )
        return scoring.bits_per_byte(scores, int(shards.bytes(language).sum()))

    def grid(self, method: str) -> dict[float, float]:
        """Learning rate -> bits per byte on dev, mean over the experts' own languages."""
        times = LORA_TIMES if method == "lora" else 1
        return {rate * times: self._own_on_dev(method, rate * times) for rate in RATES}

    def _own_on_dev(self, method: str, rate: float) -> float:
        found: dict[str, float] = {}
        for expert, own in self.experts.items():
            found |= self.score(self.job(method, rate, expert).name, "dev", own)
        return fmean(found.values())

    def measure(self, method: str) -> dict[str, Any]:
        """A row of the table."""
        grid = self.grid(method)
        rate = min(grid, key=lambda each: grid[each])
        before = self.score("seed", "heldout", self.languages)
        gain, forgetting = {}, {}
        for expert, own in self.experts.items():
            after = self.score(f"{method}/{rate:g}/{expert}", "heldout", self.languages)
            change = {code: after[code] - before[code] for code in self.languages}
            gain |= {code: -change[code] for code in own}
            forgetting[expert] = {c: x for c, x in change.items() if c not in own}
        lost = [x for by_language in forgetting.values() for x in by_language.values()]
        return {
            "learning_rate": rate,
            "dev_by_learning_rate": {f"{each:g}": bits for each, bits in grid.items()},
            "gain": fmean(gain.values()),
            "forgetting": fmean(lost),
            "gain_by_language": gain,
            "forgetting_by_expert": forgetting,
        }


def _made() -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "hardware": machine.hardware("cpu"),
        "versions": ledger.versions(),
    }


def main() -> None:
    """One row a method, printed as it is known; the table when all are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--allocation", default="typology-3")
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--tokens", type=int, default=200_000, help="of each expert")
    parser.add_argument("--keep", action="store_true", help="write docs/results/preserve.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    borrow(arguments.run, arguments.out, arguments.allocation)
    bench = Bench(arguments.out, arguments.allocation, arguments.tokens)
    for method in arguments.only:
        row = bench.measure(method)
        atomic.write_json(arguments.out / "rows" / f"{method}.json", row)
        print(method, json.dumps(row, indent=1), flush=True)
    rows = {m: arguments.out / "rows" / f"{m}.json" for m in METHODS}
    table = {
        "experts": bench.experts,
        "tokens": arguments.tokens,
        "batch": BATCH,
        "seed": bench.score("seed", "heldout", bench.languages),
        "methods": {m: atomic.read_json(path) for m, path in rows.items() if path.exists()},
        "made": _made(),
    }
    atomic.write_json(RESULTS if arguments.keep else arguments.out / "preserve.json", table)


if __name__ == "__main__":
    main()
