"""Parts of benchmarks/allocation.py about typology and about a real corpus."""

import itertools
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from allocation_clusters import kept, table
from xelm.allocation import tfidf
from xelm.allocation.embedding import Embedding, draw_sample, fit, informative
from xelm.allocation.settings import AllocationSettings
from xelm.allocation.terms import Documents, Pieces, Words, everything
from xelm.corpus.shards import TokenShards

K = 8
SEEDS = range(5)

GROUPS = {
    8: "en es / de el / ja ko / hi ur / bg ru / fr ar / tr zh / vi sw",
    4: "en es bg ru / ja ko tr zh / de el fr ar / hi ur vi sw",
    2: "en es bg ru de el fr ar / ja ko tr zh hi ur vi sw",
}
"""The published groups (arXiv 2401.10440, released code)."""
PAIRS = "en-es .150 ja-ko .190 de-el .191 hi-ur .241 bg-ru .256 fr-ar .291 tr-zh .435 vi-sw .537"
DONORS = "he ar .218 sv en .203 pl ru .223 az tr .233"


def typology(corpus: Path | None, out: Path) -> str:
    """The published groups, pair distances and donors."""
    from xelm.allocation.typology import groups, nearest

    languages = GROUPS[2].replace(" / ", " ").split()
    rows = [["k = 16", "one language each", kept(len(groups(languages, 16).groups) == 16)]]
    for k, text in GROUPS.items():
        found = {frozenset(group) for group in groups(languages, k).groups}
        wanted = {frozenset(group.split()) for group in text.split(" / ")}
        rows.append([f"k = {k}", text, kept(found == wanted)])
    grouping = groups(languages, 8)
    for pair, wanted in zip(PAIRS.split()[::2], PAIRS.split()[1::2], strict=True):
        found = grouping.distance(*pair.split("-"))
        rows.append([pair, f"{found:.3f}", kept(abs(found - float(wanted)) < 0.0005)])
    parts = DONORS.split()
    for language, donor, wanted in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        name, found = nearest(language, languages)[0]
        right = name == donor and abs(found - float(wanted)) < 0.0005
        rows.append([f"donor of {language}", f"{name} {found:.3f}", kept(right)])
    return table(["published", "found", "the same"], rows)


def embedded(corpus: Path, terms: str = "pieces") -> np.ndarray:
    """Embeddings of all informative documents of a corpus folder, float32 [n, 100]."""
    shards = TokenShards(corpus, "train")
    X = _embed_all(shards, fit(shards, terms=terms))
    return X[informative(X)]


def _embed_all(shards: TokenShards, embedding: Embedding) -> np.ndarray:
    return np.concatenate([embedding.embed(shards, part) for part in everything(shards)])


def _language_of(shards: TokenShards) -> np.ndarray:
    counts = [shards.count(language) for language in shards.languages]
    return np.repeat(np.arange(len(counts)), counts)


CHILD = """
import json, sys
sys.path.insert(0, {here!r})
import allocation_corpus
print(json.dumps(allocation_corpus.timed_allocate({corpus!r})))
"""


def timed_allocate(corpus: str) -> dict[str, float]:
    """Seconds and peak memory of the whole allocate stage with tfidf, k = 8."""
    from xelm.allocation.stage import allocate

    wall, busy = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as place:
        settings = AllocationSettings(method="tfidf", k=K)
        allocate(settings, Path(corpus), Path(place) / "tfidf", say=lambda _: None)
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - busy,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def corpus(folder: Path | None, out: Path) -> str:
    """Embed, fit and allocate from token shards; and the corpus ten times over."""
    assert folder is not None
    one = _in_child(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        _repeat(folder, Path(place) / "ten", 10)
        ten = _in_child(Path(place) / "ten")
    more = ten["gigabytes"] / one["gigabytes"] - 1
    rows = [
        ["wall seconds", f"{one['wall']:.1f}", "60", kept(one["wall"] <= 60)],
        ["CPU seconds", f"{one['cpu']:.1f}", "", ""],
        ["peak GB", f"{one['gigabytes']:.2f}", "", ""],
        ["ten times over: wall seconds", f"{ten['wall']:.1f}", "", ""],
        ["ten times over: peak GB", f"{ten['gigabytes']:.2f}", "", ""],
        ["memory grows by", f"{more:+.1%}", "10%", kept(more <= 0.1)],
    ]
    return table([f"allocate, tfidf, k = {K}", "found", "allowed", "kept"], rows)


def _in_child(folder: Path) -> dict[str, float]:
    code = CHILD.format(here=str(Path(__file__).parent), corpus=str(folder))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _repeat(folder: Path, target: Path, times: int) -> None:
    """A corpus folder whose train split holds every document `times` times."""
    shutil.copytree(folder / "tokenizer", target / "tokenizer")
    stats = json.loads((folder / "stats.json").read_text(encoding="utf-8"))
    for language, about in stats["splits"]["train"].items():
        source, place = folder / "train" / language, target / "train" / language
        place.mkdir(parents=True)
        for name in ("tokens.bin", "ids.jsonl"):
            with (place / name).open("wb") as file:
                for _ in range(times):
                    file.write((source / name).read_bytes())
        starts = np.load(source / "starts.npy")
        steps = np.tile(np.diff(starts), times)
        np.save(place / "starts.npy", np.concatenate([[0], np.cumsum(steps)]))
        for name in ("bytes.npy", "groups.npy"):
            np.save(place / name, np.tile(np.load(source / name), times))
        stats["splits"]["train"][language] = {key: about[key] * times for key in about}
    (target / "stats.json").write_text(json.dumps(stats), encoding="utf-8")


def starts(folder: Path | None, out: Path) -> str:
    """Does the start decide? Adjusted Rand index of five seeds, by kind of start."""
    assert folder is not None
    rows = []
    for start, count in (("k-means++", 1), ("k-means++", 5), ("searched", 1), ("searched", 5)):
        shards, found = _five(folder, "pieces", start, count)
        groups = _groups(shards, found[int(np.argmin([f[1] for f in found]))][0])
        inertia = [f"{f[1]:.4f}" for f in found]
        rows.append([f"{start}, {count}", *_agreement([f[0] for f in found]), " ".join(inertia)])
        print(f"{start}, {count}: {groups}", flush=True)
    head = ["start, how many", "Rand index, mean", "least", "inertia by seed"]
    return table(head, rows) + f"\n\nThe last, least inertia: {groups}"


def terms(folder: Path | None, out: Path) -> str:
    """Pieces against words: documents without a term, purity, stability."""
    assert folder is not None
    silent, rows = {}, []
    for kind in ("pieces", "words"):
        for start in ("k-means++", "searched"):
            shards, found = _five(folder, kind, start, 1 if start == "k-means++" else 5)
            purity = np.mean([_purity(shards, labels) for labels, _ in found], axis=0)
            rows.append(
                [f"{kind}, {start}", *(f"{p:.3f}" for p in purity),
                 *_agreement([labels for labels, _ in found])]
            )  # fmt: skip
        silent[kind] = _without_terms(folder, kind)
    head = ["", "purity", "languages together", "Rand index, mean", "least"]
    by_language = [
        [language, f"{silent['pieces'][language]:.2%}", f"{silent['words'][language]:.2%}"]
        for language in shards.languages
    ]
    return (
        table(head, rows)
        + "\n\nDocuments without any term:\n\n"
        + table(["language", "pieces", "words"], by_language)
    )


def _five(
    folder: Path, kind: str, start: str, count: int
) -> tuple[TokenShards, list[tuple[np.ndarray, float]]]:
    """Labels of all documents and inertia for five seeds of the whole method."""
    shards = TokenShards(folder, "train")
    found = []
    for seed in SEEDS:
        settings = AllocationSettings(
            method="tfidf", k=K, terms=kind, start=start, starts=count, seed=seed
        )  # type: ignore[call-arg]
        outcome = tfidf.allocate(shards, settings, lambda _: None)
        labels = np.empty(sum(map(shards.count, shards.languages)), dtype=np.int64)
        before = dict(zip(shards.languages, _offsets(shards), strict=True))
        for number, held in enumerate(outcome.experts.values()):
            for language, chosen in held.items():
                labels[before[language] + chosen] = number
        found.append((labels, outcome.measured["inertia"]))
    return shards, found


def _offsets(shards: TokenShards) -> list[int]:
    counts = [shards.count(language) for language in shards.languages]
    return [0, *np.cumsum(counts)[:-1].tolist()]


def _agreement(labels: list[np.ndarray]) -> list[str]:
    from sklearn.metrics import adjusted_rand_score

    each = [adjusted_rand_score(a, b) for a, b in itertools.combinations(labels, 2)]
    return [f"{np.mean(each):.3f}", f"{min(each):.3f}"]


def _table_of(shards: TokenShards, labels: np.ndarray) -> np.ndarray:
    counts = np.zeros((len(shards.languages), K), dtype=np.int64)
    np.add.at(counts, (_language_of(shards), labels), 1)
    return counts


def _purity(shards: TokenShards, labels: np.ndarray) -> tuple[float, float]:
    """Documents of their cluster's first language; documents with most of their language."""
    counts = _table_of(shards, labels)
    total = counts.sum()
    return counts.max(axis=0).sum() / total, counts.max(axis=1).sum() / total


def _groups(shards: TokenShards, labels: np.ndarray) -> str:
    counts = _table_of(shards, labels)
    owner = counts.argmax(axis=1)
    return " / ".join(
        " ".join(shards.languages[row] for row in np.flatnonzero(owner == cluster)) or "-"
        for cluster in range(K)
    )


def _without_terms(folder: Path, kind: str) -> dict[str, float]:
    """Share of each language's documents that hold no known term, the vocabulary from a sample."""
    shards = TokenShards(folder, "train")
    known = (
        Pieces(shards) if kind == "pieces" else Words.learn(shards, draw_sample(shards, 50_000, 0))
    )
    shares = {}
    for language in shards.languages:
        every = Documents(language, np.arange(shards.count(language)))
        counts = known.counts(shards, every)
        shares[language] = float((np.diff(counts.indptr) == 0).mean())
    return shares
