"""What each way of keeping the seed's ability buys: python benchmarks/preserve.py OUT

Six experts, one language each, branch from the sample's seed under every method of
`training/preserve/`, with the same windows. Bits per byte on held-out text: `gain` is the mean
over languages of seed minus expert on the expert's own language, `forgetting` that of expert minus
seed on the other five. Needs nothing but the package.
"""

import argparse
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from xelm.training.environment import WORKER_ENVIRONMENT

os.environ.update(WORKER_ENVIRONMENT)

import numpy as np
import torch

from xelm.corpus import sample, shards, tokenizer
from xelm.corpus.share import Share
from xelm.models import scoring, seed
from xelm.storage import atomic
from xelm.training.job import plan
from xelm.training.loop import train
from xelm.training.preserve import METHODS
from xelm.training.settings import ArmSettings

LANGUAGES = ("en", "de", "ru", "hi", "zh", "sw")
CONTEXT = 256
RATES = (2e-3, 4e-3)  # each method at the better of two, by gain on dev; LoRA at ten times that


def prepare(run: Path) -> None:
    pieces = tokenizer.load(sample.seed_folder())
    texts = {split: sample.documents(split, LANGUAGES) for split in ("train", "dev", "heldout")}
    shards.build(texts, pieces, run / "corpus", workers=1, context=CONTEXT)
    opened = shards.TokenShards(run / "corpus", "train")
    for language in LANGUAGES:
        Share.of(opened, {language: None}).save(
            run / f"allocations/language/shares/{language}.json"
        )
    with atomic.folder(run / "models/seed") as folder:
        shutil.copytree(sample.seed_folder(), folder, dirs_exist_ok=True)


def score(run: Path, name: str, split: str, languages: Iterable[str]) -> dict[str, float]:
    """Bits per byte of a model by language."""
    model = seed.load(run / "models" / name, torch.float32)
    opened = shards.TokenShards(run / "corpus", split)
    found = {}
    for language in languages:
        documents = [
            np.asarray(opened.document(language, number))
            for number in range(opened.count(language))
        ]
        scores = scoring.token_log_probabilities(
            model, documents, end_of_text=opened.end_of_text, context=CONTEXT
        )
        found[language] = scoring.bits_per_byte(scores, int(opened.bytes(language).sum()))
    return found


def experts(run: Path, method: str, rate: float, tokens: int) -> dict[str, str]:
    """Train one expert a language; language -> name of its model."""
    names = {}
    for language in LANGUAGES:
        name = f"{method}-{rate:g}/{language}"
        settings = ArmSettings(
            batch=8,
            learning_rate=rate * (10 if method == "lora" else 1),
            warmup=0.05,
            preserve=method,  # type: ignore[arg-type]
        )
        share = f"allocations/language/shares/{language}.json"
        plan(name, tokens=tokens, context=CONTEXT, settings=settings, share=share).save(run)
        train(run, name)
        names[language] = name
    return names


def measure(run: Path, method: str, tokens: int) -> dict[str, object]:
    """Gain and forgetting of a method at its better rate."""
    choices = {}
    for rate in RATES:
        names = experts(run, method, rate, tokens)
        own = [score(run, names[code], "dev", [code])[code] for code in LANGUAGES]
        choices[rate] = (fmean(own), names)
    rate = min(choices, key=lambda each: choices[each][0])
    base = score(run, "seed", "heldout", LANGUAGES)
    gains, losses = {}, {}
    for code, name in choices[rate][1].items():
        found = score(run, name, "heldout", LANGUAGES)
        gains[code] = base[code] - found[code]
        losses[code] = fmean(found[other] - base[other] for other in LANGUAGES if other != code)
    return {
        "method": method,
        "learning_rate": rate * (10 if method == "lora" else 1),
        "gain": fmean(gains.values()),
        "forgetting": fmean(losses.values()),
        "gain_by_language": gains,
        "forgetting_by_language": losses,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=60_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not (arguments.out / "corpus").exists():
        prepare(arguments.out)
    rows = [measure(arguments.out, method, arguments.tokens) for method in METHODS]
    print("| method | learning rate | gain on its language | forgetting of the others |")
    print("|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['method']} | {row['learning_rate']:g} | {row['gain']:.3f} "
            f"| {row['forgetting']:.3f} |"
        )
    (arguments.out / "preserve.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
