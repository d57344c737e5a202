"""Does the router find the right expert, without being told the language?

    python benchmarks/routing.py RUN SENTENCES [--work FOLDER] [--out docs/results/routing.json]

RUN is a prepared run: routers are fitted on its train split, with its tokenizer, and asked about
its held-out documents and fragments of them, cut at random bytes (whole characters, three letters
at least). SENTENCES holds `<lang>.jsonl` with single sentences (SIB-200). One expert a language,
the hardest case. Beside each kind of router: lingua, restricted to the same languages.
"""

import argparse
import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from xelm.allocation.settings import AllocationSettings
from xelm.allocation.stage import allocate
from xelm.corpus import sample
from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.shards import TokenShards
from xelm.ensemble import fitting
from xelm.ensemble.routers.build import build
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import Routing
from xelm.storage import atomic

LANGUAGES = sample.languages()
FRAGMENTS = (10, 20, 50, 100)
PER_LANGUAGE = 400
BARS = {"documents": 0.999, "sentences": 0.995}
Texts = dict[str, list[tuple[str, str]]]
Guess = Callable[[Sequence[str]], list[str]]


def fit(run: Path, work: Path) -> RouterData:
    """Routers of an allocation with one expert a language, fitted on the run's train split."""
    if not (work / "corpus").exists():
        work.mkdir(parents=True, exist_ok=True)
        (work / "corpus").symlink_to((run / "corpus").resolve())
    allocate(AllocationSettings(method="language"), work / "corpus", work / "allocations/language")
    about = fitting.read_allocation(work, "language")
    return fitting.fit(work, about, list(about.experts))


def texts(run: Path, sentences: Path) -> Texts:
    """kind -> (language, text): held-out documents of 200 bytes or more, sentences, fragments."""
    found: Texts = {"documents": [], "sentences": []}
    found |= {f"{size} bytes": [] for size in FRAGMENTS}
    shards = TokenShards(run / "corpus", "heldout")
    for code in LANGUAGES:
        whole = list(shards.texts(code))
        found["documents"] += [(code, text) for text in whole if len(text.encode()) >= 200]
        lines = (sentences / f"{code}.jsonl").read_text(encoding="utf-8")
        found["sentences"] += [(code, json.loads(line)["text"]) for line in lines.splitlines()]
        for size in FRAGMENTS:
            cut = fragments(whole, size, random.Random(f"{code} {size}"))
            found[f"{size} bytes"] += [(code, text) for text in cut]
    return found


def fragments(whole: Sequence[str], size: int, rng: random.Random) -> list[str]:
    """Random stretches of `size` bytes, less what is no whole character."""
    found: list[str] = []
    while len(found) < PER_LANGUAGE:
        text = rng.choice(whole).encode()
        if len(text) >= size:
            start = rng.randrange(len(text) - size + 1)
            cut = text[start : start + size].decode("utf-8", "ignore")
            if sum(letter.isalpha() for letter in cut) >= 3:
                found.append(cut)
    return found


def router(run: Path, data: RouterData, routing: Routing) -> Guess:
    """The expert of largest weight after the whole text."""
    tokenizer = tokenizers.load(run / "corpus" / "tokenizer")
    made = build(routing, data)

    def guess(some: Sequence[str]) -> list[str]:
        names = []
        for ids in tokenizers.encode(tokenizer, list(some)):
            weights = made.weights(torch.tensor([ids]))[0, -1]
            names.append(data.experts[int(weights.argmax())])
        return names

    return guess


def lingua() -> Guess:
    """The library's detector among the same languages."""
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, code.upper()) for code in LANGUAGES]
    detector = LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()

    def guess(some: Sequence[str]) -> list[str]:
        found = [detector.detect_language_of(text) for text in some]
        return ["?" if each is None else each.iso_code_639_1.name.lower() for each in found]

    return guess


def accuracy(guess: Guess, some: list[tuple[str, str]]) -> dict[str, float]:
    """Language -> share that is right; `all` of them together."""
    languages = np.array([language for language, _ in some])
    right = np.array(guess([text for _, text in some])) == languages
    found = {code: float(right[languages == code].mean()) for code in LANGUAGES}
    return {"all": float(right.mean()), **found}


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """A table per kind of text: languages as rows, who guessed as columns, per cent."""
    lines = []
    for kind in next(iter(results.values())):
        lines += [f"\n{kind:12}" + "".join(f"{who:>16}" for who in results)]
        for code in ["all", *LANGUAGES]:
            row = "".join(f"{100 * results[who][kind][code]:16.2f}" for who in results)
            lines.append(f"{code:12}{row}")
    return "\n".join(lines)


def verdict(results: dict[str, dict[str, dict[str, float]]], who: str) -> list[str]:
    """Each bar, and whether this router keeps it."""
    own, other = results[who], results["lingua"]
    lines = [
        f"{kind}: {own[kind]['all']:.4%}, bar {bar:.1%}: {_says(own[kind]['all'] >= bar)}"
        for kind, bar in BARS.items()
    ]
    worst = min(value for code, value in own["sentences"].items() if code != "all")
    lines.append(f"worst language on sentences: {worst:.2%}, bar 98 %: {_says(worst >= 0.98)}")
    for size in FRAGMENTS:
        mine, its = own[f"{size} bytes"]["all"], other[f"{size} bytes"]["all"]
        lines.append(f"{size} bytes: {mine:.2%}, lingua {its:.2%}: {_says(mine >= its)}")
    return lines


def _says(good: bool) -> str:
    return "holds" if good else "DOES NOT HOLD"


def main() -> None:
    """Fit, guess, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/routing"))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = fit(asked.run, asked.work)
    guesses: dict[str, Guess] = {
        "unigram": router(asked.run, data, Routing(kind="unigram")),
        "tfidf": router(asked.run, data, Routing(kind="tfidf")),
        "lingua": lingua(),
    }
    found = texts(asked.run, asked.sentences)
    results = {
        who: {kind: accuracy(guess, some) for kind, some in found.items()}
        for who, guess in guesses.items()
    }
    print(table(results))
    for who in ("unigram", "tfidf"):
        print(f"\n{who}\n  " + "\n  ".join(verdict(results, who)))
    if asked.out:
        counts: dict[str, Any] = {kind: len(some) for kind, some in found.items()}
        atomic.write_json(asked.out, {"texts": counts, "accuracy": results})


if __name__ == "__main__":
    main()
