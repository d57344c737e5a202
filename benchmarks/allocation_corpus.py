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
from typing import Any

import numpy as np

from allocation_clusters import Table, kept, table
from allocation_data import embed_all
from xelm.allocation import BalancedKMeans
from xelm.allocation.embedding import fit, informative
from xelm.allocation.settings import AllocationSettings
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


def typology(corpus: Path | None, out: Path) -> Table:
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


def corpus(folder: Path | None, out: Path) -> Table:
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


def terms(folder: Path | None, out: Path) -> dict[str, Table]:
    """Pieces against words and kinds of start; and documents without any term, by language."""
    assert folder is not None
    rows, unheard = [], []
    for kind in ("pieces", "words"):
        corpus = Embedded.of(folder, kind)
        if not rows:
            rows.append(["languages packed at random", *corpus.chance()])
        starts = STARTS if kind == "pieces" else ("one k-means++", "five searched")
        rows += [[f"{kind}, {name}", *corpus.row(name)] for name in starts]
        unheard.append(corpus.unheard)
    each = zip(corpus.codes, *unheard, strict=True)
    silent = [[code, f"{pieces:.2%}", f"{words:.2%}"] for code, pieces, words in each]
    return {
        "terms": table(["terms, start", *HEAD], rows),
        "silent": table(["documents without a term", "pieces", "words"], silent),
    }


def experts(run: Path | None, out: Path) -> Table:
    """Bits per byte on dev of the experts that follow from each allocation of a run: every language
    by the expert that owns it, where all of these are trained."""
    assert run is not None
    shards = TokenShards(run / "corpus", "dev")
    models = {"seed": dict.fromkeys(shards.languages, run / "models" / "seed")}
    for path in sorted((run / "allocations").iterdir()):
        owner = json.loads((path / "allocation.json").read_text(encoding="utf-8"))["owner"]
        models[path.name] = {
            code: run / "models" / path.name / expert for code, expert in owner.items()
        }
    trained = [c for c in shards.languages if all(by[c].is_dir() for by in models.values())]
    arms = {arm: _bits(shards, {c: by[c] for c in trained}) for arm, by in models.items()}
    rows = [[code, *(f"{by[code]:.4f}" for by in arms.values())] for code in trained]
    means = [np.mean(list(by.values())) for by in arms.values()]
    return table(["language", *arms], [*rows, ["mean", *(f"{mean:.4f}" for mean in means)]])


def _bits(shards: TokenShards, models: dict[str, Path]) -> dict[str, float]:
    """Language -> bits per byte under its model."""
    from xelm.models import scoring, seed

    loaded = {folder: seed.load(folder) for folder in set(models.values())}
    found = {}
    for code, folder in models.items():
        documents = [shards.document(code, number) for number in range(shards.count(code))]
        scored = scoring.token_log_probabilities(
            loaded[folder], documents, end_of_text=shards.end_of_text, context=shards.context
        )
        found[code] = scoring.bits_per_byte(scored, int(shards.bytes(code).sum()))
    return found


STARTS: dict[str, dict[str, Any]] = {
    "one k-means++": {"n_init": 1},
    "five k-means++": {"n_init": 5},
    "one searched": {"n_init": 1, "search": True},
    "five searched": {"n_init": 5, "search": True},
}
HEAD = [
    "purity",
    "languages whole",
    "strange scripts",
    "agreement of 5 seeds",
    "least",
    "inertia by seed",
]
"""Purity: documents of their cluster's first language. Whole: documents in the cluster with most of
their language. Strange scripts: script distance of two documents of different languages in one
cluster. Agreement: adjusted Rand index of the clusters that two seeds find."""


class Embedded:
    """The informative documents of a corpus folder, and their languages by number."""

    def __init__(self, X: np.ndarray, language: np.ndarray, codes: list[str]):
        from xelm.allocation.typology_groups import measure

        heard = informative(X)
        self.X, self.language, self.codes = X[heard], language[heard], codes
        self.unheard = 1 - np.bincount(self.language, minlength=len(codes)) / np.bincount(language)
        self.scripts = measure(codes, script_weight=1.0)[0]

    @classmethod
    def of(cls, folder: Path, terms: str) -> "Embedded":
        shards = TokenShards(folder, "train")
        X = embed_all(shards, fit(shards, terms=terms))
        return cls(X, _language_of(shards), shards.languages)

    def row(self, start: str) -> list[str]:
        """What five seeds of one kind of start give, and the groups of the best."""
        models = [
            BalancedKMeans(K, random_state=seed, n_jobs=-1, **STARTS[start]).fit(self.X)
            for seed in SEEDS
        ]
        best = min(models, key=lambda model: float(model.inertia_))
        print(f"{start}: {self.groups(best.labels_)}", flush=True)
        inertia = " ".join(f"{model.inertia_ / len(self.X):.4f}" for model in models)
        return [*self._described([model.labels_ for model in models]), inertia]

    def chance(self) -> list[str]:
        """Whole languages in random order, cut into equal parts."""
        labels = []
        for seed in SEEDS:
            order = np.random.default_rng(seed).permutation(len(self.codes))
            place = np.argsort(np.argsort(order[self.language], kind="stable"), kind="stable")
            labels.append(place * K // len(place))
        return [*self._described(labels), ""]

    def _described(self, labels: list[np.ndarray]) -> list[str]:
        described = np.mean([self._one(each) for each in labels], axis=0)
        return [*(f"{value:.3f}" for value in described), *_agreement(labels)]

    def _table(self, labels: np.ndarray) -> np.ndarray:
        counts = np.zeros((len(self.codes), K))
        np.add.at(counts, (self.language, labels), 1)
        return counts

    def _one(self, labels: np.ndarray) -> tuple[float, float, float]:
        counts = self._table(labels)
        together = counts @ counts.T
        np.fill_diagonal(together, 0)
        return (
            counts.max(axis=0).sum() / counts.sum(),
            counts.max(axis=1).sum() / counts.sum(),
            float((together * self.scripts).sum() / together.sum()),
        )

    def groups(self, labels: np.ndarray) -> str:
        """Languages by the cluster that has most of them."""
        owner = self._table(labels).argmax(axis=1)
        return " / ".join(
            " ".join(self.codes[row] for row in np.flatnonzero(owner == cluster)) or "-"
            for cluster in range(K)
        )


def _agreement(labels: list[np.ndarray]) -> list[str]:
    from sklearn.metrics import adjusted_rand_score

    each = [adjusted_rand_score(a, b) for a, b in itertools.combinations(labels, 2)]
    return [f"{np.mean(each):.3f}", f"{min(each):.3f}"]
