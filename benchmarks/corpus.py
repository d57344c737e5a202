"""How fast and in how much memory is text turned into token shards?

    python benchmarks/corpus.py [--megabytes 8 32] [--workers 1 2]

Builds shards from the reader, repeated, with a tokenizer trained on it, and prints one line per
setting: megabytes of text per second and the growth of this process's memory while building.
The growth must not depend on the megabytes.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from xelm.corpus import building, sample, tokenizer
from xelm.corpus.documents import Document


def memory_megabytes() -> float:
    """Resident memory of this process now."""
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def repeated(megabytes: float) -> Iterator[tuple[str, Document]]:
    """The reader's train passages again and again until there is enough text."""
    passages = list(sample.documents("train"))
    done = 0.0
    while done < megabytes * 1e6:
        for document in passages:
            yield "train", document
            done += len(document.text.encode("utf-8"))


def measure(megabytes: float, workers: int) -> None:
    """Build once and print what it took."""
    trained = tokenizer.train(sample.documents("train"), 4096)
    peak = before = memory_megabytes()

    def progress(done: int) -> None:
        nonlocal peak
        peak = max(peak, memory_megabytes())

    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        building.build_pairs(
            repeated(megabytes), trained, Path(place) / "c", workers=workers, progress=progress
        )
        seconds = time.perf_counter() - start
    print(
        f"{megabytes:6.0f} MB, {workers} workers: {megabytes / seconds:5.2f} MB/s, "
        f"memory +{peak - before:.0f} MB"
    )


def main() -> None:
    """Measure every combination asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[8, 32])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    chosen = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}", end="")
    print(f", tokenizers {version('tokenizers')}, {time.strftime('%Y-%m-%d')}")
    for workers in chosen.workers:
        for megabytes in chosen.megabytes:
            measure(megabytes, workers)


if __name__ == "__main__":
    main()
