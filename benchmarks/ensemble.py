"""What does an X-ELM cost over its experts, and is it the same to the last digits?

    python benchmarks/ensemble.py [router] [exact] [generate] [batch] [score] [memory]
                                  [--work FOLDER] [--out results.json]

The experts are copies of the sample seed (1.9M parameters), each with a little noise of its own, so
nothing need be trained. Ratios are taken within one run, both sides alternating, best of three;
bars that must hold are printed beside them. Run it on a quiet machine, one thread. With --work the
bundles are kept, and with --out the figures of several runs are put together.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from transformers.utils import logging

from xelm.corpus import sample
from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.documents import Document
from xelm.ensemble import scoring
from xelm.ensemble.bundle import Part, create
from xelm.ensemble.fitting import by_language, choose_columns, count_pieces
from xelm.ensemble.mixing import keep_largest
from xelm.ensemble.model import XelmForCausalLM
from xelm.ensemble.routers.build import build
from xelm.ensemble.routers.data import RouterData, TfidfData, UnigramData
from xelm.ensemble.routing import Routing
from xelm.models import scoring as plain_scoring
from xelm.models import seed

NOISE = 0.05
CONTEXT = 256
Result = dict[str, Any]


def make_bundle(folder: Path, k: int) -> Path:
    """A bundle of k noisy copies of the sample seed over the sixteen languages."""
    tokenizer = tokenizers.load(sample.seed_folder())
    languages = sample.languages()
    counts = {code: _counts(tokenizer, code) for code in languages}
    parts, tokens = [], {}
    for number in range(k):
        name = "-".join(languages[number::k])
        model = seed.load(sample.seed_folder(), dtype=torch.float32)
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for tensor in model.parameters():
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.add_(NOISE * tensor.std() * noise)
        seed.save(model, tokenizer, folder / "models" / name, {"context": CONTEXT})
        tokens[name] = {code: int(counts[code].sum()) for code in languages[number::k]}
        parts.append(Part(name, folder / "models" / name, tokens[name]))
    columns = choose_columns(tokens)
    rows = np.stack([counts[str(column.language)] for column in columns])
    data = RouterData(
        tuple(tokens),
        by_language(tokens),
        (0,),
        _embedding(rows, columns),
        UnigramData(columns, rows),
    )
    create(folder / "bundle", parts, data, Routing())
    return folder / "bundle"


def _counts(tokenizer: Any, language: str) -> np.ndarray:
    texts = [document.text for document in sample.documents("train", [language])]
    ids = [np.array(each) for each in tokenizers.encode(tokenizer, texts)]
    return count_pieces(ids, len(tokenizer))


def _embedding(counts: np.ndarray, columns: Any, dims: int = 100) -> TfidfData:
    """An embedding of the width that allocations have; what it knows does not matter here."""
    idf = np.log((1 + len(counts)) / (1 + (counts > 0).sum(0))) + 1
    rows = np.random.default_rng(0).normal(size=(counts.shape[1], dims)).astype(np.float32)
    centroids = (counts * idf) @ rows
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    return TfidfData(columns, idf, rows, centroids)


def texts(split: Any, languages: list[str], bytes_each: int) -> list[Document]:
    """About `bytes_each` of every language, the reader's passages over and over."""
    found = []
    for language in languages:
        passages, size = list(sample.documents(split, [language])), 0
        while size < bytes_each:
            for one in passages:
                found.append(one)
                size += len(one.text.encode())
                if size >= bytes_each:
                    break
    return found


def best(actions: dict[str, Callable[[], Any]], rounds: int = 3) -> dict[str, float]:
    """Least seconds of each action, alternating."""
    seconds: dict[str, float] = {}
    for _ in range(rounds):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            taken = time.perf_counter() - start
            seconds[name] = min(taken, seconds.get(name, taken))
    return seconds


def router(bundle: Path) -> Result:
    """Weights of all prefixes: against re-embedding each, and against one expert's forward pass."""
    model = XelmForCausalLM.from_pretrained(bundle)
    tokenizer = tokenizers.load(bundle)
    joined = "\n".join(d.text for d in texts("heldout", sample.languages(), 2000))
    ids = torch.tensor(tokenizers.encode(tokenizer, [joined])[0])
    long, block = ids[:2048][None], ids[:2048].reshape(8, 256)
    routers = {kind: build(Routing(kind=kind), model.router_data) for kind in ("unigram", "tfidf")}
    actions: dict[str, Callable[[], Any]] = {
        f"{kind} {shape}": lambda r=r, x=x: r.weights(x)
        for kind, r in routers.items()
        for shape, x in (("2048", long), ("8x256", block))
    }
    expert = model.experts[0]
    with torch.no_grad():
        actions["forward"] = lambda: expert(block, use_cache=False)
        seconds = best(actions)
    embed = _reembedding(model.router_data.tfidf, long[0].numpy())
    prefixes = np.linspace(1, 2048, 32).astype(int)  # a sample of the prefixes, then scaled
    start = time.perf_counter()
    for length in prefixes:
        embed(length)
    slow = (time.perf_counter() - start) / len(prefixes) * 2048
    shares = {kind: seconds[f"{kind} 8x256"] / seconds["forward"] for kind in routers}
    return {
        "re-embedding every prefix, times slower (bar 300)": slow / seconds["tfidf 2048"],
        "share of a forward pass, unigram (bar 0.05)": shares["unigram"],
        "share of a forward pass, tfidf (bar 0.05)": shares["tfidf"],
    }


def _reembedding(about: Any, ids: np.ndarray) -> Callable[[int], np.ndarray]:
    """scikit-learn's own transform of one prefix, from its ids."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vocabulary = {str(i): i for i in range(len(about.idf))}
    vectorizer = TfidfVectorizer(analyzer=str.split, lowercase=False, vocabulary=vocabulary)
    vectorizer.idf_ = about.idf
    rows = about.rows.astype(np.float64)

    def embed(length: int) -> np.ndarray:
        matrix = vectorizer.transform([" ".join(map(str, ids[:length]))])
        point = matrix @ rows
        point /= np.linalg.norm(point)
        weights = np.exp(-((point - about.centroids) ** 2).sum(1) / 0.05)
        return np.asarray(weights / weights.sum())

    return embed


def exact(bundle: Path) -> Result:
    """float32: sparse against full, beside the plain expert's own steps against one pass."""
    model = XelmForCausalLM.from_pretrained(bundle)
    tokenizer = tokenizers.load(bundle)
    found = {d.language: d.text for d in reversed(texts("heldout", sample.languages(), 300))}
    text = " ".join(found[code][:80] for code in ("en", "ru", "hi", "zh", "ar", "en"))
    ids = torch.tensor([[0, *tokenizers.encode(tokenizer, [text])[0]]])
    result: Result = {}
    with torch.no_grad():
        own = _logs(model.experts[0](ids, use_cache=False).logits)
        steps = _logs(_stepped(model.experts[0], ids))
        result["plain expert, steps against one pass"] = float((own - steps).abs().max())
        for top_m in (1, 2):
            model.route_by(model.routing.override(top_m=top_m, negligible=0.0))
            full = _full(model, ids)
            whole = _logs(model(ids, use_cache=False).logits)
            stepped = _logs(_stepped(model, ids))
            result[f"top-{top_m}, one pass against all experts"] = float((whole - full).abs().max())
            result[f"top-{top_m}, steps against all experts"] = float((stepped - full).abs().max())
    return result


def _logs(logits: torch.Tensor) -> torch.Tensor:
    return logits.double().log_softmax(-1)


def _stepped(model: Any, ids: torch.Tensor) -> torch.Tensor:
    cache, parts = None, []
    for at in range(ids.shape[1]):
        output = model(input_ids=ids[:, at : at + 1], past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        parts.append(output.logits)
    return torch.cat(parts, 1)


def _full(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Every expert on everything, weights outside the largest at zero, mixed in float64."""
    weights = keep_largest(model.router.weights(ids), model.routing.top_m)
    total: Any = 0.0
    for index, expert in enumerate(model.experts):
        probabilities = expert(ids, use_cache=False).logits.double().softmax(-1)
        total = total + weights[..., index : index + 1] * probabilities
    return torch.as_tensor(total).log()


def generate(bundle: Path, tokens: int = 200) -> Result:
    """One stream: top-1 and top-2 against the expert alone under transformers' generate."""
    model = XelmForCausalLM.from_pretrained(bundle)
    tokenizer = tokenizers.load(bundle)
    prompt = next(sample.documents("heldout", ["de"])).text[:300]
    ids = torch.tensor([[0, *tokenizers.encode(tokenizer, [prompt])[0]]])
    settings = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
    expert = model.experts[model.names.index(model.owner("de"))]

    def team(**changes: Any) -> None:
        with model.routed(**changes):
            model.generate(ids, **settings)

    seconds = best(
        {
            "plain": lambda: expert.generate(ids, **settings),
            "top-1": lambda: team(top_m=1),
            "top-2": lambda: team(kind="uniform", top_m=2, route_every="sequence"),
        }
    )
    return {
        "expert alone, tokens a second": tokens / seconds["plain"],
        "top-1 (bar 0.85)": seconds["plain"] / seconds["top-1"],
        "top-2 per sequence (bar 0.40)": seconds["plain"] / seconds["top-2"],
    }


def batch(bundle: Path, tokens: int = 60) -> Result:
    """Sixteen rows in sixteen languages against each expert's rows alone."""
    model = XelmForCausalLM.from_pretrained(bundle)
    model.route_by(model.routing.override(top_m=1, route_every="sequence"))
    tokenizer = tokenizers.load(bundle)
    settings = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
    rows = [
        [0, *tokenizers.encode(tokenizer, [document.text])[0][:60]]
        for code in sample.languages()
        for document in list(sample.documents("heldout", [code]))[:1]
    ]
    owners = [model.owner(code) for code in sample.languages()]

    def alone() -> None:
        for name, expert in zip(model.names, model.experts, strict=True):
            own = [ids for ids, owner in zip(rows, owners, strict=True) if owner == name]
            expert.generate(**_padded(own), **settings)

    seconds = best(
        {"alone": alone, "together": lambda: model.generate(**_padded(rows), **settings)}
    )
    return {"batch of 16 in 16 languages (bar 0.80)": seconds["alone"] / seconds["together"]}


def _padded(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    length = max(map(len, rows))
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, length - len(row) :] = torch.tensor(row)
        mask[number, length - len(row) :] = 1
    return {"input_ids": ids, "attention_mask": mask}


def score(bundle: Path, size: int = 1_000_000) -> Result:
    """Mixed-language text with top-1 against one model."""
    model = XelmForCausalLM.from_pretrained(bundle, top_m=1)
    tokenizer = tokenizers.load(bundle)
    documents = texts("heldout", sample.languages(), size // 16)
    ids = [np.array(each) for each in tokenizers.encode(tokenizer, [d.text for d in documents])]
    arguments = {"end_of_text": 0, "context": CONTEXT}
    seconds = best(
        {
            "one": lambda: plain_scoring.token_log_probabilities(
                model.experts[0], ids, **arguments
            ),
            "top-1": lambda: list(scoring.token_log_probabilities(model, ids, **arguments)),
        }
    )
    return {
        "bytes": sum(len(d.text.encode()) for d in documents),
        "one model, seconds": seconds["one"],
        "top-1 (bar 1.20)": seconds["top-1"] / seconds["one"],
    }


_MEASURE = """
import gc, sys, torch
from xelm.ensemble.model import XelmForCausalLM
from xelm.corpus import sample, tokenizer as tokenizers
bundle, resident = sys.argv[1:]
tokenizer = tokenizers.load(bundle)
model = XelmForCausalLM.from_pretrained(bundle, top_m=1, resident=resident)
held, said, peak = 0, [], 0
for code in sample.languages():
    text = next(sample.documents('heldout', [code])).text[:60]
    ids = torch.tensor([[0, *tokenizers.encode(tokenizer, [text])[0]]])
    said.append(model.generate(ids, max_new_tokens=8, do_sample=False).tolist())
    gc.collect()
    live = {id(t): t for t in gc.get_objects() if torch.is_tensor(t)}.values()
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in live}
    peak = max(peak, sum(storages.values()))
    del live  # else what was evicted would stay
print(hash(str(said)), peak)
"""


def memory(bundle: Path) -> Result:
    """k = 16: bytes of all live tensors with four resident, against one expert's."""
    found = {}
    for resident in ("all", "4"):
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, str(bundle), resident],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        said, peak = done.stdout.split()
        found[resident] = (said, int(peak))
    files = sorted(bundle.glob("experts/*/model.safetensors"))
    one = files[0].stat().st_size
    return {
        "experts": len(files),
        "all resident, experts' worth": found["all"][1] / one,
        "4 resident, experts' worth (bar 4.8)": found["4"][1] / one,
        "same output": found["all"][0] == found["4"][0],
    }


BENCHMARKS: dict[str, tuple[Callable[[Path], Result], int]] = {
    "router": (router, 8),
    "exact": (exact, 8),
    "generate": (generate, 8),
    "batch": (batch, 8),
    "score": (score, 8),
    "memory": (memory, 16),
}


def main() -> None:
    """Run the benchmarks asked for, print and keep what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], default=[])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    found: Result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread used",
        "versions": {name: version(name) for name in ("xelm", "torch", "transformers")},
        "date": time.strftime("%Y-%m-%d"),
    }
    print(json.dumps(found))
    if asked.out and asked.out.is_file():
        found = {**json.loads(asked.out.read_text()), **found}
    with tempfile.TemporaryDirectory() as place:
        bundles = {k: (asked.work or Path(place)) / str(k) for k in (8, 16)}
        for name in asked.names or BENCHMARKS:
            action, k = BENCHMARKS[name]
            if not (bundles[k] / "bundle").is_dir():
                make_bundle(bundles[k], k)
            found[name] = action(bundles[k] / "bundle")
            for label, value in found[name].items():
                shown = f"{value:.4g}" if isinstance(value, float) else value
                print(f"{name:9} {label}: {shown}", flush=True)
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
