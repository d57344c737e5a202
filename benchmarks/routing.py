"""Does the router find the right expert, without being told the language?

    python benchmarks/routing.py --data FOLDER [--work FOLDER] [--out results.json]

FOLDER holds `pretrain/<lang>.jsonl.zst` (routers are fitted on it, with the tokenizer of the sample
seed), `heldout/<lang>.jsonl.zst` and `eval/sib200/<lang>.jsonl` (single sentences). One expert a
language, the hardest case. Beside each kind of router: lingua, restricted to the same languages.
Fragments are cut at random bytes of held-out text (whole characters, three letters at least).
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
from xelm.corpus import building, readers, sample
from xelm.corpus import tokenizer as tokenizers
from xelm.ensemble import fitting
from xelm.ensemble.routers.build import build
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import Routing
from xelm.storage import atomic

FRAGMENTS = (10, 20, 50, 100)
PER_LANGUAGE = 400
BARS = {"documents": 0.999, "sentences": 0.995}
Texts = dict[str, list[tuple[str, str]]]
Guess = Callable[[Sequence[str]], list[str]]


def fit(data: Path, work: Path) -> RouterData:
    """Routers of an allocation with one expert a language, fitted on the train text."""
    if not (work / "corpus" / "stats.json").is_file():
        held = {code: list(sample.documents("dev", [code])) for code in sample.languages()}
        building.build(
            {
                "train": readers.read(
                    [data / "pretrain" / f"{code}.jsonl.zst" for code in sample.languages()]
                ),
                "dev": (document for some in held.values() for document in some),
                "heldout": sample.documents("heldout"),
            },
            tokenizers.load(sample.seed_folder()),
            work / "corpus",
        )
    allocate(AllocationSettings(method="language"), work / "corpus", work / "allocations/language")
    about = fitting.read_allocation(work, "language")
    return fitting.fit(work, about, list(about.experts))


def texts(data: Path) -> Texts:
    """kind -> (language, text): documents of 200 bytes or more, sentences, fragments."""
    found: Texts = {"documents": [], "sentences": []}
    found |= {f"{size} bytes": [] for size in FRAGMENTS}
    for code in sample.languages():
        whole = [d.text for d in readers.read([data / "heldout" / f"{code}.jsonl.zst"])]
        found["documents"] += [(code, text) for text in whole if len(text.encode()) >= 200]
        lines = (data / "eval" / "sib200" / f"{code}.jsonl").read_text(encoding="utf-8")
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


def router(data: RouterData, routing: Routing) -> Guess:
    """The expert of largest weight after the whole text."""
    tokenizer = tokenizers.load(sample.seed_folder())
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

    codes = [getattr(IsoCode639_1, code.upper()) for code in sample.languages()]
    detector = LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()

    def guess(some: Sequence[str]) -> list[str]:
        found = [detector.detect_language_of(text) for text in some]
        return ["?" if each is None else each.iso_code_639_1.name.lower() for each in found]

    return guess


def accuracy(guess: Guess, some: list[tuple[str, str]]) -> dict[str, float]:
    """Language -> share that is right; `all` of them together."""
    languages = np.array([language for language, _ in some])
    right = np.array(guess([text for _, text in some])) == languages
    found = {code: float(right[languages == code].mean()) for code in sample.languages()}
    return {"all": float(right.mean()), **found}


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """A table per kind of text: languages as rows, who guessed as columns, per cent."""
    lines = []
    for kind in next(iter(results.values())):
        lines += [f"\n{kind:12}" + "".join(f"{who:>16}" for who in results)]
        for code in ["all", *sample.languages()]:
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
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/routing"))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = fit(asked.data, asked.work)
    guesses: dict[str, Guess] = {
        "unigram": router(data, Routing(kind="unigram")),
        "tfidf": router(data, Routing(kind="tfidf")),
        "lingua": lingua(),
    }
    found = texts(asked.data)
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
