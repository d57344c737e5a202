"""A run's results from a small random model of what happens, so that every part has figures."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

SIXTEEN = (
    *("ar", "bg", "de", "el", "en", "es", "fr", "hi"),
    *("ja", "ko", "ru", "sw", "tr", "ur", "vi", "zh"),
)
PAIRS = ("en es", "de el", "ja ko", "hi ur", "bg ru", "fr ar", "tr zh", "vi sw")
TREE = (  # with joins level with their sides, as the published pairing has them
    "((((en:.075,es:.075):.076,(bg:.128,ru:.128):.023):.05,((de:.0955,el:.0955):.05,(fr:.1455,"
    "ar:.1455):0):.0555):.0175,(((ja:.095,ko:.095):.1225,(tr:.2175,zh:.2175):0):.001,((hi:.12,"
    "ur:.12):.0985,(vi:.2185,sw:.2185):0):0):0);"
)
SAMPLES = {
    "ar": ("في الصباح ركبت الممرضة", " العبّارة الأولى إلى المستشفى وشربت الشاي"),
    "en": ("The nurse takes the first", " ferry to the island, and the deckhand coils a rope"),
    "hi": ("नर्स सुबह की पहली", " नाव से द्वीप के अस्पताल जाती है"),
    "ja": ("看護師は朝一番の", "フェリーで島の病院へ向かう。"),
    "ur": ("نرس صبح کی پہلی", " کشتی سے جزیرے کے ہسپتال جاتی ہے"),
    "zh": ("护士搭乘第一班", "渡轮去岛上的医院。"),
}


def teams(languages: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Allocations by name: pairs of languages, or for others the languages scattered."""
    rng = np.random.default_rng(5)
    found: dict[str, dict[str, Any]] = {}
    pairs = [[c for c in pair.split() if c in languages] for pair in PAIRS]
    for name in names:
        method, _, k = name.partition("-")
        if method == "typology":
            experts = {"-".join(p): dict.fromkeys(p, 25_000) for p in pairs if p}
        else:
            shares = rng.dirichlet([0.3] * int(k), len(languages))
            experts = {
                f"expert-{j}": {
                    c: int(25_000 * shares[i, j])
                    for i, c in enumerate(languages)
                    if shares[i, j] > 0.01
                }
                for j in range(int(k))
            }
        owner = {c: max(experts, key=lambda e: experts[e].get(c, 0)) for c in languages}
        about = {"method": method, "k": len(experts), "experts": experts, "owner": owner}
        terms = {expert: ["▁the", " la ", "の", "في"] for expert in experts}
        measured = {"purity": 0.97, "concentration": 0.95, "top_terms": terms}
        found[name] = {**about, "measured": measured if method == "tfidf" else {}}
    return found


def make_summary(
    languages: Sequence[str] = SIXTEEN,
    allocations: Sequence[str] = ("typology-8", "tfidf-8"),
    *,
    better: float = 0.03,
    routed_bytes: int | None = None,
    matrix: bool = True,
) -> dict[str, Any]:
    """A whole summary.json; typology is `better` (as a part) than dense on average."""
    rng = np.random.default_rng(11)
    seed = {c: float(rng.uniform(1.6, 2.9)) for c in languages}

    def arm(gain: float, spread: float, documents: str = "all", **more: Any) -> dict[str, Any]:
        bits = {c: seed[c] * (0.92 - rng.normal(gain, spread)) for c in languages}
        return {
            "bits_per_byte": bits,
            "perplexity": {c: 2 ** (3.1 * x) for c, x in bits.items()},
            **{"tokens": 399_872, "flops": 4.6e12, "seconds": 41.5, "batch": 16},
            **{"learning_rate": 0.002, "orders": [0], "documents": documents},
            "by_order": {"0": fmean(bits.values())},
            **more,
        }

    nothing: dict[str, Any] = {
        "tokens": 0,
        "flops": 0,
        "seconds": 0,
        "batch": None,
        "learning_rate": None,
    }
    arms = {"seed": arm(-0.08, 0, orders=[], by_order={}, **nothing), "dense": arm(0, 0.002)}
    routed = "all" if routed_bytes is None else "routed"
    for number, name in enumerate(allocations):
        gain = better / (1 + 2 * number)
        if number == 0:
            arms[f"dense-matched/{name}"] = arm(better / 3, 0.006)
        arms[f"{name}/own"] = arm(gain, 0.012, batch=8)
        arms[f"{name}/top1"] = arm(gain - 0.002, 0.012, routed, batch=8)
        arms[f"{name}/mixture"] = arm(gain + 0.002, 0.011, routed, batch=8)
    pairs = [
        (name, against)
        for name in arms
        for against in ("dense", f"dense-matched/{allocations[0]}" if allocations else "")
        if against in arms and name not in {"seed", "dense", against} and "/" in name
    ]
    about = teams(languages, allocations)
    first = f"{allocations[0]}/own" if allocations else None
    return {
        "name": "demo",
        "languages": list(languages),
        "arms": arms,
        "comparisons": [row for pair in pairs for row in _comparisons(arms, *pair, languages)],
        "means": [_mean(arms, *pair, languages) for pair in pairs],
        "orders": 1,
        "documents": dict.fromkeys(languages, 15),
        "bytes": dict.fromkeys(languages, 9_400),
        "headline": first and _headline(arms, first, languages),
        "budgets": {
            "equal": True,
            "tolerance": 4096,
            "tokens": {"dense": 399_872, **dict.fromkeys(allocations, 399_872)},
            "matched": {f"dense-matched/{name}": True for name in allocations[:1]},
            "text": "All arms were trained on 399,872 tokens, equal to within one batch; "
            "dense-matched saw exactly its experts' windows.",
        },
        "significance": {
            **{"alpha": 0.01, "confidence": 0.95, "resamples": 2000, "units": "documents"}
        },
        "allocations": about,
        "matrix": {n: _matrix(about[n], seed, rng) for n in allocations} if matrix else {},
        "gains": {n: _gain(arms, n, languages) for n in allocations},
        "routed": {
            name: {
                **{"kind": "tfidf", "temperature": 0.05, "top_m": None, "grid": []},
                "first": dict.fromkeys(languages, 0.993),
            }
            for name in allocations
        },
        "routed_bytes": routed_bytes,
        "routed_documents": dict.fromkeys(languages, 15),
        "routed_arms": {
            name: {c: x * 1.01 for c, x in about["bits_per_byte"].items()}
            for name, about in arms.items()
        },
        "dev": {},
        "sweep": _sweep(allocations),
        "samples": {
            c: {"prompt": prompt, "texts": {"dense": text[::-1], first or "seed": text}}
            for c, (prompt, text) in SAMPLES.items()
            if c in languages
        },
        "seed": {"parameters": 1_902_848, "tokens": 40_000_000},
        "fingerprint": "f" * 64,
    }


def _comparisons(
    arms: Mapping[str, Any], arm: str, against: str, languages: Sequence[str]
) -> list[dict[str, Any]]:
    rows = []
    for code in languages:
        ours, theirs = (arms[name]["bits_per_byte"][code] for name in (arm, against))
        difference, width = ours - theirs, 0.008 * theirs
        p = min(1.0, float(np.exp(-((difference / width * 2) ** 2))))
        rows.append(
            {
                **{"arm": arm, "against": against, "language": code, "difference": difference},
                **{"low": difference - width, "high": difference + width},
                **{"p": p / 16, "p_adjusted": p},
            }
        )
    return rows


def _mean(
    arms: Mapping[str, Any], arm: str, against: str, languages: Sequence[str]
) -> dict[str, Any]:
    ours, theirs = (arms[name]["bits_per_byte"] for name in (arm, against))
    difference = fmean(ours[c] - theirs[c] for c in languages)
    better = sum(ours[c] < theirs[c] for c in languages)
    return {
        **{"arm": arm, "against": against, "difference": difference, "p": 0.0005},
        **{"low": difference - 0.006, "high": difference + 0.006},
        **{"languages": len(languages), "better": better, "significantly_better": better - 1},
        "significantly_worse": 0,
        "percent": 100 * difference / fmean(theirs[c] for c in languages),
    }


def _headline(arms: Mapping[str, Any], arm: str, languages: Sequence[str]) -> dict[str, str]:
    row = _mean(arms, arm, "dense", languages)
    text = (
        f"{arm} has fewer bits per byte than dense in {row['better']} of {row['languages']} "
        f"languages, significantly in {row['significantly_better']}: {-row['percent']:.1f} % fewer "
        "on average."
    )
    return {"arm": arm, "against": "dense", "text": text}


def _matrix(
    allocation: Mapping[str, Any], seed: Mapping[str, float], rng: np.random.Generator
) -> dict[str, Any]:
    bits = {
        expert: {
            c: float(x * (0.88 if c in shares else 1 + rng.gamma(2, 0.05))) for c, x in seed.items()
        }
        for expert, shares in allocation["experts"].items()
    }
    owner = allocation["owner"]
    outside = {c: [bits[e][c] - seed[c] for e in bits if owner[c] != e] for c in seed}
    return {
        **{"bits_per_byte": bits, "seed": dict(seed), "perplexity": {}, "seed_perplexity": {}},
        "own": fmean(bits[owner[c]][c] - seed[c] for c in seed),
        "others": fmean([x for values in outside.values() for x in values] or [0.0]),
        "others_by_language": {c: fmean(values) for c, values in outside.items() if values},
        "others_perplexity": 1.1,
    }


def _gain(arms: Mapping[str, Any], name: str, languages: Sequence[str]) -> dict[str, Any]:
    own, dense = (arms[arm]["bits_per_byte"] for arm in (f"{name}/own", "dense"))
    gain = {"total": {c: dense[c] - own[c] for c in languages}, "mixture": {}, "separation": {}}
    if f"dense-matched/{name}" in arms:
        matched = arms[f"dense-matched/{name}"]["bits_per_byte"]
        gain["mixture"] = {c: dense[c] - matched[c] for c in languages}
        gain["separation"] = {c: matched[c] - own[c] for c in languages}
    return gain


def _sweep(allocations: Sequence[str]) -> dict[str, Any]:
    def arm(best: tuple[int, float], edge: list[str]) -> dict[str, Any]:
        scores = {
            f"b{b}-lr{r:g}": 2.2
            + 0.02 * abs(np.log2(b / best[0]))
            + 0.03 * abs(np.log2(r / best[1]))
            for b in (4, 8, 16)
            for r in (1e-3, 2e-3, 4e-3)
        }
        chosen = {"batch": best[0], "learning_rate": best[1]}
        return {"scores": scores, "chosen": chosen, "at_edge": edge}

    arms = {"dense": arm((16, 2e-3), ["batch"])}
    arms |= {name: arm((8, 2e-3), []) for name in allocations}
    return {"share": 0.25, "split": "dev", "arms": arms}


def write_run(folder: Path, summary: Mapping[str, Any]) -> Path:
    """A run folder as the stages before would leave it, without any weights."""
    _json(folder / "evaluation" / "summary.json", summary)
    text = 'recipe: {name: demo}\nversions: {torch: 2.13.0, xelm: 0.1.0}\ncommit: "0123456789ab"\n'
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    jobs: dict[str, dict[str, int]] = {"dense": dict.fromkeys(summary["languages"], 24_992)}
    for name, about in summary["allocations"].items():
        _json(folder / "allocations" / name / "allocation.json", about)
        if about["method"] == "typology":
            (folder / "allocations" / name / "tree.nwk").write_text(TREE, encoding="utf-8")
        jobs |= {f"{name}/{expert}": tokens for expert, tokens in about["experts"].items()}
        if f"dense-matched/{name}" in summary["arms"]:
            jobs[f"dense-matched/{name}"] = jobs["dense"]
    for number, (job, tokens) in enumerate(jobs.items()):
        _job(folder / "models" / job, job, tokens, number)
    return folder


def _job(folder: Path, job: str, tokens: Mapping[str, int], number: int) -> None:
    whole, rng = sum(tokens.values()), np.random.default_rng(number)
    ledger = {
        **{"job": job, "parent": "models/seed", "tokens": whole, "tokens_by_language": tokens},
        **{"epochs_by_language": dict.fromkeys(tokens, 1.4), "steps": max(whole // 2048, 1)},
        **{"batch": 8, "learning_rate": 0.002, "flops": 1.15e7 * whole, "seconds": whole / 9600},
        **{"flops_formula": "6 N + 12 L d T", "peak_memory_bytes": 9.1e8, "order_seed": 0},
        "hardware": {"cpu": "Example 9000", "threads": 1},
        "versions": {"torch": "2.13.0", "xelm": "0.1.0"},
        "fingerprints": {},
    }
    _json(folder / "ledger.json", ledger)
    rows = [
        {
            **{"step": i, "tokens": int(whole * i / 100), "learning_rate": 0.002},
            "loss": 4.4 - 0.5 * (i / 100) ** 0.5 - 0.1 * (number > 0) + float(rng.normal(0, 0.08)),
            **{"tokens_per_second": 9600.0, "peak_share": 0.6},
        }
        for i in range(1, 101)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(lines, encoding="utf-8")


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def summary() -> dict[str, Any]:
    """Sixteen languages, two allocations."""
    return make_summary()


@pytest.fixture
def summary_of() -> Callable[..., dict[str, Any]]:
    """`make_summary`, for tests that want another one."""
    return make_summary


@pytest.fixture
def run(tmp_path: Path, summary: dict[str, Any]) -> Path:
    """A finished run without its report."""
    return write_run(tmp_path / "run", summary)


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[[Mapping[str, Any]], Path]:
    """A finished run of a given summary."""
    return lambda summary: write_run(tmp_path / "run", summary)
