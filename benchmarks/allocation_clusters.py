"""Parts of benchmarks/allocation.py about BalancedKMeans itself."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from allocation_data import blobs, embedded
from xelm.allocation import BalancedKMeans, lloyd, optimum, starts
from xelm.allocation.assignment import assign

STEPS = 10


Table = dict[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A table as it is kept: texts, the first row the head."""
    return {"head": list(head), "rows": [[str(cell) for cell in row] for row in rows]}


def kept(promise: bool) -> str:
    return "yes" if promise else "NO"


def draw(X: np.ndarray, k: int, seed: int = 1) -> np.ndarray:
    """k documents as centres."""
    return X[np.random.default_rng(seed).choice(len(X), k, replace=False)]


def cpu(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and the result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def equal(n: int, k: int) -> np.ndarray:
    return starts.whole(np.full(k, 1 / k), n)


def balance(corpus: Path | None, out: Path) -> Table:
    """Sizes of the clusters, and of documents that prices never saw."""
    rows = []
    for n, k in ((200_000, 8), (200_001, 16), (20_007, 64)):
        sizes = BalancedKMeans(k, n_init=1, max_iter=5, random_state=0).fit(blobs(n)).sizes_
        spread = int(np.ptp(sizes))
        rows.append([f"documents, n = {n:,}, k = {k}", f"{spread} apart", "1", kept(spread <= 1)])
    X = blobs(200_000)
    tokens = np.ceil(np.random.default_rng(0).lognormal(6, 1.2, len(X)))
    model = BalancedKMeans(8, n_init=1, max_iter=5, random_state=0).fit(X, sample_weight=tokens)
    spread, most = float(np.ptp(model.sizes_)), float(tokens.max())
    rows.append(
        [f"tokens, {tokens.sum():,.0f}, k = 8", f"{spread:,.0f} apart", f"{most:,.0f}",
         kept(spread <= most)]
    )  # fmt: skip
    unseen = blobs(200_000, seed=7)
    for k in (8, 16):
        model = BalancedKMeans(k, n_init=1, max_iter=5, random_state=0).fit(X)
        held = np.bincount(model.predict(unseen), minlength=k) / (len(unseen) / k)
        off = float(np.abs(held - 1).max())
        name = f"prices alone, 200,000 unseen, k = {k}"
        rows.append([name, f"{off:.2%} off", "5%", kept(off <= 0.05)])
        spread = int(np.ptp(np.bincount(model.assign(unseen), minlength=k)))
        rows.append([f"the same, repaired, k = {k}", f"{spread} apart", "1", kept(spread <= 1)])
    return table(["sizes", "found", "allowed", "kept"], rows)


def optimality(corpus: Path | None, out: Path) -> Table:
    """One assignment against min-cost flow; final inertia against k-means-constrained."""
    data = {"blobs": blobs(200_000)}
    if corpus is not None:
        data["corpus"] = embedded(corpus)
    rows = []
    for name, X in data.items():
        for n in (20_000, len(X)):
            for k in (8, 16):
                few = X[:: len(X) // n][:n]
                rows.append(_one_assignment(name, few, k))
                if n <= 50_000 or k == 8:
                    rows += _final_inertia(name, few, k)
                print(*rows[-1], flush=True)
    return table(["what", "ours", "reference", "above it", "allowed", "kept"], rows)


def _one_assignment(name: str, X: np.ndarray, k: int) -> list[Any]:
    middle, around = lloyd.spread(X, None)
    costs_kn = lloyd.costs(X, draw(X, k), middle)
    ours = around + lloyd.total_cost(
        costs_kn, assign(costs_kn, None, equal(len(X), k)).labels, None
    )
    best = around + lloyd.total_cost(costs_kn, optimum.assign(costs_kn, equal(len(X), k)), None)
    above = ours / best - 1
    what = f"assignment, {name}, n = {len(X):,}, k = {k}, min-cost flow"
    return [what, f"{ours:,.2f}", f"{best:,.2f}", f"{above:+.5%}", "0.2%", kept(above <= 0.002)]


def _final_inertia(name: str, X: np.ndarray, k: int) -> list[list[Any]]:
    """Mean over starts: from the same centres two runs soon part, and either may end lower."""
    starting, steps = (3, 30) if len(X) <= 50_000 else (1, STEPS)
    plain, searched, theirs = [], [], []
    for seed in range(starting):
        centers = draw(X, k, seed)
        for found, search in ((plain, False), (searched, True)):
            model = BalancedKMeans(
                k, init=centers, search=search, max_iter=steps, tol=0, random_state=seed
            )
            found.append(model.fit(X).inertia_)
        theirs.append(_constrained(X, centers, steps).inertia_)
    what = f"inertia, {steps} steps, {name}, n = {len(X):,}, k = {k}, mean of {starting}"
    return [_against(what, plain, theirs), _against(f"{what}, with search", searched, theirs)]


def _against(what: str, ours: list[float], theirs: list[float]) -> list[Any]:
    mine, other = float(np.mean(ours)), float(np.mean(theirs))
    above = mine / other - 1
    what = what if len(ours) > 1 else what.replace(", mean of 1", "")
    return [what, f"{mine:,.2f}", f"{other:,.2f}", f"{above:+.3%}", "0.5%", kept(above <= 0.005)]


def _constrained(X: np.ndarray, centers: np.ndarray, steps: int) -> Any:
    from k_means_constrained import KMeansConstrained

    n, k = len(X), len(centers)
    model = KMeansConstrained(
        k, n // k, -(-n // k), init=centers, n_init=1, max_iter=steps, tol=0, n_jobs=1
    )
    return model.fit(X)


def speed(corpus: Path | None, out: Path) -> Table:
    """The same steps from the same centres, ours and k-means-constrained alternating."""
    X = blobs(200_000)
    centers = draw(X, 8)
    ours, theirs = [], []
    for _ in range(2):
        ours.append(cpu(lambda: BalancedKMeans(8, init=centers, max_iter=STEPS, tol=0).fit(X))[0])
        theirs.append(cpu(lambda: _constrained(X, centers, STEPS))[0])
    searching = BalancedKMeans(8, init=centers, search=True, max_iter=STEPS, tol=0, random_state=0)
    searched = cpu(lambda: searching.fit(X))[0]
    ratio, with_search = min(theirs) / min(ours), min(theirs) / searched
    rows = [
        [f"{STEPS} steps, n = 200,000, k = 8: ours", f"{min(ours):.2f} s", "", ""],
        ["the same, k-means-constrained", f"{min(theirs):.2f} s", "", ""],
        ["times faster", f"{ratio:.1f}", "10", kept(ratio >= 10)],
        ["times faster with search", f"{with_search:.1f}", "", ""],
    ]
    return table(["one thread", "found", "wanted", "kept"], rows + _divisibility() + _edges())


def _divisibility() -> list[list[Any]]:
    """n not divisible by k: the pair alternates, the medians of five are compared."""
    seconds: dict[int, list[float]] = {200_000: [], 200_003: []}
    X = blobs(200_003)
    for _ in range(5):
        for n, found in seconds.items():
            model = BalancedKMeans(8, init=draw(X, 8), max_iter=STEPS, tol=0)
            found.append(cpu(lambda m=model, n=n: m.fit(X[:n]))[0])
    even, odd = (float(np.median(found)) for found in seconds.values())
    name = "n = 200,003 over n = 200,000, k = 8"
    return [[name, f"{odd / even:.2f}", "1 (noise 0.1)", kept(odd / even <= 1.1)]]


def _edges() -> list[list[Any]]:
    X = blobs(8)
    try:
        BalancedKMeans(8).fit(X[:7])
        refused = False
    except ValueError:
        refused = True
    labels = BalancedKMeans(8, random_state=0).fit(X).labels_
    return [
        ["n = 7, k = 8", "refused" if refused else "accepted", "refused", kept(refused)],
        ["n = 8, k = 8", f"{len(set(labels))} clusters", "8", kept(len(set(labels)) == 8)],
    ]


CHILD = """
import json, resource, sys, time
sys.path.insert(0, {here!r})
import allocation_clusters as clusters
print(json.dumps(clusters.{function}(*{arguments!r})))
"""


def in_child(function: str, *arguments: Any) -> Any:
    """Run a function of this file in a process of its own, whose peak memory is then its own."""
    here = str(Path(__file__).parent)
    code = CHILD.format(here=here, function=function, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def timed_fit(n: int, k: int, steps: int, count: int = 20) -> dict[str, float]:
    """Seconds of a fit from given centres, and peak memory of the process, data included."""
    X = blobs(n, count=count)
    wall = time.perf_counter()
    seconds, model = cpu(lambda: BalancedKMeans(k, init=draw(X, k), max_iter=steps, tol=0).fit(X))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "cpu": seconds,
        "wall": time.perf_counter() - wall,
        "gigabytes": peak,
        "spread": float(np.ptp(model.sizes_)),
        "steps": float(model.n_iter_),
    }


def large(corpus: Path | None, out: Path) -> Table:
    """A million documents."""
    found = in_child("timed_fit", 1_000_000, 16, STEPS)
    rows = [
        ["CPU seconds", f"{found['cpu']:.1f}", "60", kept(found["cpu"] <= 60)],
        ["wall seconds", f"{found['wall']:.1f}", "60", kept(found["wall"] <= 60)],
        ["peak GB, data included", f"{found['gigabytes']:.2f}", "3", kept(found["gigabytes"] <= 3)],
        ["sizes apart", f"{found['spread']:.0f}", "1", kept(found["spread"] <= 1)],
    ]
    return table([f"1,000,000 x 100, k = 16, {STEPS} steps", "found", "allowed", "kept"], rows)


def growth(corpus: Path | None, out: Path) -> Table:
    """Cost against n and k; linear if seconds per document and cluster stay level. 200 blobs, so
    that there is something to find at every k."""
    sizes = [(n, 16) for n in (10_000, 100_000, 1_000_000, 10_000_000)]
    sizes += [(200_000, k) for k in (4, 8, 16, 32, 64)]
    found = {size: in_child("timed_fit", *size, 3, 200) for size in sizes}
    rows = []
    for (n, k), one in found.items():
        each = one["cpu"] / (n * k * (one["steps"] + 1)) * 1e9
        rows.append([f"{n:,}", k, f"{one['cpu']:.2f}", f"{each:.1f}", f"{one['gigabytes']:.2f}"])
    _picture(found, out / "allocation-growth.svg")
    head = ["n", "k", "CPU seconds, 4 assignments", "ns a document, cluster and assignment", "GB"]
    return table(head, rows)


def _picture(found: dict[tuple[int, int], dict[str, float]], path: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "xelm"}):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        by_n, by_k = figure.subplots(1, 2)
        many = [(n, one["cpu"]) for (n, k), one in found.items() if n != 200_000]
        few = [(k, one["cpu"]) for (n, k), one in found.items() if n == 200_000]
        for axes, points, label in ((by_n, many, "n, k = 16"), (by_k, few, "k, n = 200,000")):
            x, y = zip(*points, strict=True)
            line = [y[-1] * one / x[-1] for one in x]
            axes.loglog(x, y, "o-", label="BalancedKMeans")
            axes.loglog(x, line, "--", color="0.6", label="linear")
            axes.set(xlabel=label, ylabel="CPU seconds, 4 assignments")
            axes.legend(frameon=False)
        by_k.set_xticks([k for k, _ in few], [str(k) for k, _ in few])
        by_k.minorticks_off()
        figure.savefig(path, metadata={"Date": None})
