"""What allocation promises, measured: balance, optimality, speed, growth, the real corpus.

    python benchmarks/allocation.py [PART ...] [--corpus FOLDER] [--out FOLDER]

Parts: typology balance optimality speed large growth corpus starts terms (default: all). FOLDER is
a corpus folder that `xelm prepare` made; the last three parts and half of `optimality` need one.
Needs the extras `dev` and `exact`. Both sides of a comparison alternate in one run, from the same
centres; seconds are of one thread's CPU (and of the wall), the least of the repeats. Tables are
printed as Markdown and kept with pictures in --out.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import allocation_clusters as clusters
import allocation_corpus as corpora

Part = Callable[[Path | None, Path], str]

PARTS: dict[str, Part] = {
    "typology": corpora.typology,
    "balance": clusters.balance,
    "optimality": clusters.optimality,
    "speed": clusters.speed,
    "large": clusters.large,
    "growth": clusters.growth,
    "corpus": corpora.corpus,
    "starts": corpora.starts,
    "terms": corpora.terms,
}
NEED_CORPUS = {"corpus", "starts", "terms"}


def main() -> int:
    """Run the parts asked for; 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/allocation"))
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    libraries = ("numpy", "scikit-learn", "scipy", "k-means-constrained", "ortools")
    print(platform.processor() or platform.machine(), f"{os.cpu_count()} cores, Python", end=" ")
    print(platform.python_version(), *(f"{name} {version(name)}" for name in libraries), sep=", ")
    print("python benchmarks/allocation.py", *sys.argv[1:], "\n")
    failed = False
    for name in chosen.parts or PARTS:
        if name in NEED_CORPUS and chosen.corpus is None:
            print(f"## {name}: skipped, it needs --corpus\n")
            continue
        text = PARTS[name](chosen.corpus, chosen.out)
        (chosen.out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
        print(f"## {name}\n\n{text}\n", flush=True)
        failed |= "| NO |" in text
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
