"""Growth on real text: python benchmarks/growth.py RUN --data DATA --out OUT

RUN is a finished run (recipes/sixteen-languages.yaml); its bundle is copied to OUT, nothing of RUN
is touched. DATA has pretrain/<language>.jsonl.zst and heldout/<language>.jsonl.zst (and, if there,
eval/sib200/<language>.jsonl); the word `sample` stands for the reader inside the package.

Each language is added with equal tokens to a copy of the bundle: from the parent that `auto`
chooses, with all controls; from the published donor's expert and from the one that a probe chooses,
where they differ. Then the four experts are adopted into one bundle: routed against own, which kind
of router finds them, old documents newly routed. Run again it goes on where it stopped.
Writes OUT/growth.json, of which growth_tables.py makes the tables of docs/results.md. About 20
minutes on one core of its own.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import growth_tables
from xelm.corpus import readers, sample
from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.documents import Document
from xelm.ensemble import manifest as manifests
from xelm.ensemble.routers.constant import owner
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.verify import verify
from xelm.growth import columns
from xelm.growth.add import Request, add
from xelm.growth.adopt import adopt
from xelm.growth.comparison import Comparison
from xelm.growth.measure import BundleFigures, Texts
from xelm.growth.publish import publish
from xelm.growth.settings import overrides
from xelm.growth.text import NewText
from xelm.growth.unchanged import verify_history
from xelm.storage import atomic

LANGUAGES = ("pl", "sv", "he", "az")
PUBLISHED = {"pl": "ru", "sv": "en", "he": "ar", "az": "tr"}
"""Donors of the released code."""
KINDS = ("unigram", "tfidf")


def main() -> None:
    options = _options()
    done = options.out / "growth.json"
    found: dict[str, Any] = atomic.read_json(done) if done.is_file() else {"languages": {}}
    found |= {"settings": {k: str(v) for k, v in vars(options).items()}, "machine": _machine()}
    for code in options.languages:
        if code not in found["languages"]:
            found["languages"][code] = one_language(options, code)
            atomic.write_json(done, found)
    if "together" not in found:
        found["together"] = together(options, found["languages"])
        atomic.write_json(done, found)
    print(growth_tables.markdown(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True, help="a folder, or sample")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--allocation", default="typology-8")
    parser.add_argument("--languages", nargs="+", default=list(LANGUAGES))
    parser.add_argument("--tokens", type=int, default=300_000, help="of each expert, kin included")
    parser.add_argument("--probe", type=int, default=20_000, help="tokens of a probe; 0 for none")
    parser.add_argument("--replay", type=float, default=0.5, help="for dense; 0 trains none")
    parser.add_argument("--old-bytes", type=int, default=10_000, help="of each old language")
    parser.add_argument("--train-bytes", type=int, default=1_000_000, help="of each new language")
    parser.add_argument("--workers", type=int, help="processes to train in; 0 trains in this one")
    parser.add_argument("--set", dest="settings", nargs="*", default=[], help="batch=16 ...")
    return parser.parse_args()


def _machine() -> dict[str, Any]:
    date = time.strftime("%Y-%m-%d")
    return {"cpu": platform.processor(), "cores": os.cpu_count(), "date": date}


def copy_of(options: argparse.Namespace, name: str) -> Path:
    """The run's bundle as it was assembled, in a place of its own, files hard-linked."""
    out = options.out / "bundles" / name
    if not out.exists():
        bundle = options.run / "bundles" / options.allocation
        publish(bundle, out, lambda folder: f"# A copy of {folder.name} to grow\n")
    return out


def request(options: argparse.Namespace, bundle: Path, language: str, **more: Any) -> Request:
    asked = Request(
        bundle,
        new_text(options, language),
        tokens=options.tokens,
        run=options.run,
        work=options.out / "work" / bundle.name,
        workers=options.workers,
        replay=options.replay,
        old_bytes=options.old_bytes,
        settings=overrides(options.settings),
    )
    return replace(asked, **more)


def new_text(options: argparse.Namespace, language: str) -> NewText:
    """About as much text of every language as of the smallest one."""
    if options.data == "sample":
        return NewText(language, ["sample"])
    train = _some(options, "pretrain", language, options.train_bytes)
    return NewText(language, [train], heldout=[_some(options, "heldout", language, 60_000)])


def _some(options: argparse.Namespace, part: str, language: str, limit: int) -> str:
    """A file of documents evenly spaced through what there is, about `limit` bytes of them."""
    path = options.out / part / f"{language}.jsonl"
    if not path.is_file():
        every = list(readers.read([Path(options.data) / part / f"{language}.jsonl.zst"]))
        size = sum(len(document.text.encode("utf-8")) for document in every)
        rows = [
            {"text": d.text, "lang": language, "group": d.group, "source": d.source}
            for d in every[:: max(1, round(size / limit))]
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        atomic.write_text(path, "".join(lines))
    return str(path)


def one_language(options: argparse.Namespace, language: str) -> dict[str, Any]:
    """The addition by `auto` with controls, and from other parents where they differ."""
    bundle = copy_of(options, f"{language}-auto")
    published = published_parent(bundle, language)
    start = time.perf_counter()
    made = add(request(options, bundle, language))
    seconds = time.perf_counter() - start
    verify(bundle)
    parents, figures = {"auto": made.parent, "published": published}, {made.parent: figure(made)}
    if published not in figures:
        figures[published] = figure(other(options, language, "published", parent=published))
    if options.probe:
        probed = other(options, language, "probe", probe=options.probe)
        parents["probe"] = probed.parent
        figures.setdefault(probed.parent, figure(probed))
    arms = {arm.name: arm.bits_per_byte for arm in made.arms}
    figures.setdefault("seed", arms.get("expert from seed", float("nan")))
    return {
        "parents": parents,
        "trained_from": figures,
        "unchanged_since": verify_history(bundle),
        "own_unchanged": made.own_unchanged(),
        "seconds": seconds,
        "report": made.as_json(),
    }


def published_parent(bundle: Path, language: str) -> str:
    """The expert that owns the published donor language (nearest by typology elsewhere)."""
    from xelm.allocation.typology import nearest

    data = RouterData.load(bundle / manifests.read(bundle).router.folder)
    donor = PUBLISHED.get(language)
    if donor not in data.languages:
        donor = nearest(language, sorted(set(data.languages) - {language}))[0][0]
    return owner(data.languages, donor)


def figure(made: Comparison) -> float:
    """Bits per byte of the new expert."""
    return next(a.bits_per_byte for a in made.arms if a.name == f"expert from {made.parent}")


def other(options: argparse.Namespace, language: str, why: str, **more: Any) -> Comparison:
    """The same addition without controls to another copy, from another parent."""
    copy = copy_of(options, f"{language}-{why}")
    return add(request(options, copy, language, controls=False, old_bytes=1, **more))


def together(options: argparse.Namespace, made: dict[str, Any]) -> dict[str, Any]:
    """The experts of all languages adopted into one bundle: routed against own, by kind."""
    bundle = copy_of(options, "together")
    for code in made:
        if all(code not in expert.languages for expert in manifests.read(bundle).experts):
            grown = options.out / "bundles" / f"{code}-auto"
            source = grown / manifests.read(grown).expert(code).folder
            column = columns.of_files(bundle, _train_files(options, code), [code])
            adopt(bundle, source, [code], columns=column)
    manifest, tokenizer = verify(bundle), tokenizers.load(bundle)
    new = Texts.of_documents(_heldout(options, list(made), new=made), tokenizer)
    figures = BundleFigures(bundle, manifest, new, _context(bundle))
    own, routed = figures.own(), figures.routed()
    old = [code for code in figures.data.languages if code not in made]
    documents = [*_heldout(options, list(made), new=made), *_heldout(options, old)]
    sets = {"documents": documents}
    if options.data != "sample" and (Path(options.data) / "eval" / "sib200").is_dir():
        sets["sentences"] = list(_sentences(options, [*made, *old]))
    return {
        "new": {code: {"own": own[code], "routed": routed[code]} for code in made},
        "recognised": {
            name: recognised(bundle, Texts.of_documents(some, tokenizer), list(made))
            for name, some in sets.items()
        },
    }


def _train_files(options: argparse.Namespace, language: str) -> list[str]:
    if options.data != "sample":
        return list(new_text(options, language).train)
    path = options.out / "pretrain" / f"{language}.txt"
    texts = [document.text for document in sample.documents("train", [language])]
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, "\n\n".join(texts))
    return [str(path)]


def recognised(bundle: Path, texts: Texts, new: Sequence[str]) -> dict[str, Any]:
    """Kind of router -> language -> [right, all], and old texts that go to a new expert."""
    manifest, found = manifests.read(bundle), dict[str, Any]()
    for kind in KINDS:
        router = manifest.router.model_copy(update={"kind": kind, "settings": {}})
        changed = manifest.model_copy(update={"router": router})
        figures = BundleFigures(bundle, changed, texts, _context(bundle), limit=1)
        first, owners = figures.first(), figures.data.languages
        names = {owner(owners, code) for code in new}
        old = [code for code in first if code not in new]
        found[kind] = {
            "right": {c: [some.count(owner(owners, c)), len(some)] for c, some in first.items()},
            "old_to_new": sum(name in names for code in old for name in first[code]),
            "old": sum(len(first[code]) for code in old),
        }
    return found


def _heldout(
    options: argparse.Namespace, languages: Sequence[str], new: Iterable[str] = ()
) -> Iterator[Document]:
    if options.data == "sample":
        yield from sample.documents("heldout", languages)
        return
    for code in languages:
        path = Path(options.data) / "heldout" / f"{code}.jsonl.zst"
        yield from readers.read(new_text(options, code).heldout if code in set(new) else [path])


def _sentences(options: argparse.Namespace, languages: Sequence[str]) -> Iterable[Document]:
    for code in languages:
        path = Path(options.data) / "eval" / "sib200" / f"{code}.jsonl"
        for number, line in enumerate(path.open(encoding="utf-8") if path.is_file() else ()):
            yield Document(json.loads(line)["text"], code, str(number), str(number), "sib200")


def _context(bundle: Path) -> int:
    expert = manifests.read(bundle).experts[0]
    return int(atomic.read_json(bundle / expert.folder / "ledger.json")["context"])


if __name__ == "__main__":
    main()
