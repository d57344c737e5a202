"""Growth on real text: python benchmarks/growth.py RUN --data DATA --out OUT

RUN is a finished run (recipes/sixteen-languages.yaml); its bundle is copied to OUT, nothing of RUN
is touched. DATA has pretrain/<language>.jsonl.zst and heldout/<language>.jsonl.zst (and, if there,
eval/sib200/<language>.jsonl); the word `sample` stands for the reader inside the package.

Each language is added with equal tokens: to one bundle that grows (from the parent that `auto`
chooses, with controls), and to throw-away copies from the published donor's expert and from the one
that a probe chooses, where they differ. Then all new languages together: routed against own, which
router kind finds them, old documents newly routed. Again it goes on where it stopped.
Prints Markdown, writes OUT/growth.json. Hours on two cores with the default budget.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from xelm.corpus import readers, sample
from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.documents import Document
from xelm.ensemble import manifest as manifests
from xelm.ensemble.routers.constant import owner
from xelm.growth.add import Request, add
from xelm.growth.comparison import Comparison
from xelm.growth.measure import BundleFigures, Texts
from xelm.growth.publish import publish
from xelm.growth.text import NewText
from xelm.storage import atomic

LANGUAGES = ("pl", "sv", "he", "az")
PUBLISHED = {"pl": "ru", "sv": "en", "he": "ar", "az": "tr"}
"""Donors of the released code."""
KINDS = ("unigram", "tfidf")


def main() -> None:
    options = _options()
    bundle = copy_of(options.run / "bundles" / options.allocation, options.out / "bundle")
    found: dict[str, Any] = {"settings": {k: str(v) for k, v in vars(options).items()}}
    found["machine"] = {"cpu": platform.processor(), "cores": os.cpu_count(), "date": _today()}
    found["languages"] = {code: one_language(options, bundle, code) for code in options.languages}
    found["together"] = together(options, bundle)
    atomic.write_json(options.out / "growth.json", found)
    for line in markdown(found):
        print(line)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True, help="a folder, or sample")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--allocation", default="typology-8")
    parser.add_argument("--languages", nargs="+", default=list(LANGUAGES))
    parser.add_argument("--tokens", type=int, default=600_000, help="of each expert, kin included")
    parser.add_argument("--probe", type=int, default=30_000, help="tokens of a probe; 0 for none")
    parser.add_argument("--old-bytes", type=int, default=20_000)
    parser.add_argument("--set", dest="settings", nargs="*", default=[], help="batch=16 ...")
    return parser.parse_args()


def _today() -> str:
    return time.strftime("%Y-%m-%d")


def copy_of(bundle: Path, out: Path) -> Path:
    """The bundle's current revision in a place of its own, files hard-linked."""
    if not out.exists():
        publish(bundle, out, lambda folder: f"# A copy of {folder.name} to grow\n")
    return out


def request(options: argparse.Namespace, bundle: Path, language: str, **more: Any) -> Request:
    from xelm.growth.settings import overrides

    if options.data == "sample":
        text = NewText(language, ["sample"])
    else:
        data = Path(options.data)
        text = NewText(
            language,
            [str(data / "pretrain" / f"{language}.jsonl.zst")],
            heldout=[str(data / "heldout" / f"{language}.jsonl.zst")],
        )
    asked = Request(
        bundle,
        text,
        tokens=options.tokens,
        run=options.run,
        work=options.out / "work",
        old_bytes=options.old_bytes,
        settings=overrides(options.settings),
    )
    return replace(asked, **more)


def one_language(options: argparse.Namespace, bundle: Path, language: str) -> dict[str, Any]:
    """The addition to the growing bundle, and the other parents on copies."""
    published = published_parent(bundle, language)
    before = copy_of(bundle, options.out / "before" / language)
    start = time.perf_counter()
    main_one = add(request(options, bundle, language))
    seconds = time.perf_counter() - start
    parents = {"auto": main_one.parent, "published": published}
    figures = {main_one.parent: figure(main_one)}
    if published not in figures:
        figures[published] = on_a_copy(options, before, language, "published", parent=published)[1]
    if options.probe:
        chosen, value = on_a_copy(options, before, language, "probe", probe=options.probe)
        parents["probe"] = chosen
        figures.setdefault(chosen, value)
    arms = {arm.name: arm.bits_per_byte for arm in main_one.arms}
    if "expert from seed" in arms:
        figures.setdefault("seed", arms["expert from seed"])
    return {
        "parents": parents,
        "nearest": main_one.donors["nearest"][:3],
        "zero_shot": {c["name"]: c["bits_per_byte"] for c in main_one.donors["candidates"]},
        "trained_from": figures,
        "seconds": seconds,
        "report": main_one.as_json(),
    }


def published_parent(bundle: Path, language: str) -> str:
    """The expert that owns the published donor language (nearest by typology elsewhere)."""
    from xelm.allocation.typology import nearest
    from xelm.ensemble.routers.data import RouterData

    data = RouterData.load(bundle / manifests.read(bundle).router.folder)
    donor = PUBLISHED.get(language)
    if donor not in data.languages:
        donor = nearest(language, sorted(set(data.languages) - {language}))[0][0]
    return owner(data.languages, donor)


def figure(made: Comparison) -> float:
    """Bits per byte of the new expert."""
    return next(a.bits_per_byte for a in made.arms if a.name == f"expert from {made.parent}")


def on_a_copy(
    options: argparse.Namespace, before: Path, language: str, why: str, **more: Any
) -> tuple[str, float]:
    """(parent, bits per byte) of the same addition without controls to a throw-away copy."""
    copy = copy_of(before, options.out / "copies" / f"{language}-{why}")
    made = add(request(options, copy, language, controls=False, old_bytes=1, **more))
    return made.parent, figure(made)


def together(options: argparse.Namespace, bundle: Path) -> dict[str, Any]:
    """All languages in the bundle that grew: routed against own, by kind of router."""
    manifest, tokenizer = manifests.read(bundle), tokenizers.load(bundle)
    new = Texts.of_documents(_heldout(options, options.languages), tokenizer, limit=200_000)
    figures = BundleFigures(bundle, manifest, new, _context(bundle))
    own, routed = figures.own(), figures.routed()
    old = [code for code in figures.data.languages if code not in options.languages]
    found: dict[str, Any] = {
        code: {"own": own[code], "routed": routed[code]} for code in options.languages
    }
    sets = {"documents": _heldout(options, [*options.languages, *old])}
    if options.data != "sample" and (Path(options.data) / "eval" / "sib200").is_dir():
        sets["sentences"] = _sentences(options, [*options.languages, *old])
    found["recognised"] = {
        name: recognised(bundle, Texts.of_documents(some, tokenizer), options.languages)
        for name, some in sets.items()
    }
    return found


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


def _heldout(options: argparse.Namespace, languages: Sequence[str]) -> Iterable[Document]:
    if options.data == "sample":
        return sample.documents("heldout", languages)
    files = [Path(options.data) / "heldout" / f"{code}.jsonl.zst" for code in languages]
    return readers.read([path for path in files if path.is_file()])


def _sentences(options: argparse.Namespace, languages: Sequence[str]) -> Iterable[Document]:
    for code in languages:
        path = Path(options.data) / "eval" / "sib200" / f"{code}.jsonl"
        for number, line in enumerate(path.open(encoding="utf-8") if path.is_file() else ()):
            yield Document(json.loads(line)["text"], code, str(number), str(number), "sib200")


def _context(bundle: Path) -> int:
    expert = manifests.read(bundle).experts[0]
    return int(atomic.read_json(bundle / expert.folder / "ledger.json")["context"])


def markdown(found: dict[str, Any]) -> Iterable[str]:
    """The tables of docs/results.md."""
    yield "| language | donor by typology | expert of it | auto | probe | from it | from auto |" + (
        " from probe | from seed | dense | dense, replay |"
    )
    yield "|" + "---|" * 11
    for code, one in found["languages"].items():
        made, parents = one["trained_from"], one["parents"]
        arms = {arm["name"]: arm["bits_per_byte"] for arm in one["report"]["arms"]}
        cells = [
            code,
            f"{one['nearest'][0][0]} ({one['nearest'][0][1]:.3f})" if one["nearest"] else "",
            parents["published"],
            parents["auto"],
            parents.get("probe", ""),
            _cell(made.get(parents["published"])),
            _cell(made.get(parents["auto"])),
            _cell(made.get(parents.get("probe", ""))),
            _cell(made.get("seed")),
            _cell(arms.get("dense, same windows")),
            _cell(arms.get("dense, with replay")),
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "| language | own | routed | routed/own | bytes per token | unseen by the embedding |"
    yield "|" + "---|" * 6
    for code, one in found["languages"].items():
        both, report = found["together"][code], one["report"]
        ratio = both["routed"] / both["own"] - 1
        rate, blind = report["bytes_per_token"][code], report["blind"]
        yield (
            f"| {code} | {both['own']:.4f} | {both['routed']:.4f} | {ratio:+.2%} | {rate:.2f} | "
            f"{'' if blind is None else f'{blind:.1%}'} |"
        )
    yield ""
    yield "| old languages, mean of each | own before | own after | dense before | after | replay |"
    yield "|" + "---|" * 6
    for code, one in found["languages"].items():
        yield f"| adding {code} | {' | '.join(_old(one['report']['old']))} |"
    yield ""
    yield from _recognised(found["together"]["recognised"], list(found["languages"]))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _old(old: dict[str, Any]) -> list[str]:
    rows = [[*each["own"], *each["dense"]] for each in old.values()]
    return [f"{sum(column) / len(rows):.4f}" for column in zip(*rows, strict=True)]


def _recognised(found: dict[str, Any], new: Sequence[str]) -> Iterable[str]:
    yield "| router | text | " + " | ".join(new) + " | old languages | old to new experts |"
    yield "|" + "---|" * (len(new) + 4)
    for name, kinds in found.items():
        for kind, about in kinds.items():
            right = {code: a / max(1, b) for code, (a, b) in about["right"].items()}
            old = [value for code, value in right.items() if code not in new]
            cells = [f"{right[code]:.1%}" if code in right else "" for code in new]
            mean = f"{sum(old) / len(old):.2%}" if old else ""
            yield (
                f"| {kind} | {name} | {' | '.join(cells)} | {mean} | "
                f"{about['old_to_new']} of {about['old']} |"
            )


if __name__ == "__main__":
    main()
