"""What allocation promises, measured: balance, optimality, speed, growth, the real corpus.

    python benchmarks/allocation.py [PART ...] [--corpus FOLDER] [--run FOLDER] [--out FOLDER]

Parts: typology balance optimality speed large growth corpus terms experts (default: all).
--corpus is a corpus folder that `xelm prepare` made: corpus, terms and half of optimality need it.
--run is the run folder of recipes/sixteen-languages-terms.yaml: experts needs it.
Needs the extras `dev` and `exact`. Both sides of a comparison alternate in one run, from the same
centres; seconds are of one thread's CPU (and of the wall), the least of the repeats. Tables are
printed as Markdown and kept in --out as allocation.json, from which benchmarks/tables.py writes
docs/results.md.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import allocation_clusters as clusters
import allocation_corpus as corpora
from tables import plain_table

Part = Callable[[Path | None, Path], dict[str, Any]]

PARTS: dict[str, Part] = {
    "typology": corpora.typology,
    "balance": clusters.balance,
    "optimality": clusters.optimality,
    "speed": clusters.speed,
    "large": clusters.large,
    "growth": clusters.growth,
    "corpus": corpora.corpus,
    "terms": corpora.terms,
    "experts": corpora.experts,
}
NEED_SOURCE = {"corpus", "terms", "experts"}


def main() -> int:
    """Run the parts asked for; 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--run", type=Path)
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
        option = "run" if name == "experts" else "corpus"
        source = getattr(chosen, option)
        if name in NEED_SOURCE and source is None:
            print(f"## {name}: skipped, it needs --{option}\n")
            continue
        found = PARTS[name](source, chosen.out)
        for title, one in ({name: found} if "head" in found else found).items():
            keep(chosen.out / "allocation.json", title, one)
            print(f"## {title}\n\n{plain_table(one)}\n", flush=True)
            failed |= any("NO" in row for row in one["rows"])
    return int(failed)


def keep(path: Path, name: str, found: clusters.Table) -> None:
    """Put one part's table into the file of all."""
    every = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    every[name] = found
    path.write_text(json.dumps(every, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
