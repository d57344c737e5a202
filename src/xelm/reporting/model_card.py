"""The README.md of a bundle: who the experts are, what they cost, how they do, how they were made.

Made from what stands in the bundle (xelm.json, the experts' ledgers) and, where the run is at hand,
from its summary; whatever is missing is left out. Growth changes the team but not the experts that
were there, so an expert's own figures hold in later revisions; routed figures do not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import ExpertEntry, Manifest
from xelm.errors import UserError
from xelm.reporting import arms, origin, standings
from xelm.reporting.accounts import duration
from xelm.reporting.arms import Arm
from xelm.reporting.page import environment
from xelm.reporting.pictures.frame import language_name
from xelm.reporting.run_files import RunFiles
from xelm.reporting.scale import short
from xelm.storage import atomic

NAME = "README.md"
_STALE = "Measured at revision 1; routed figures, and those of experts changed since, are left out."


@dataclass(frozen=True)
class Bundle:
    """A bundle's manifest, the ledgers of its experts, and the run it came from if at hand."""

    folder: Path
    manifest: Manifest
    ledgers: Mapping[str, Mapping[str, Any]]
    """Expert -> ledger, for those that have one."""
    run: RunFiles | None

    @classmethod
    def read(cls, folder: Path, run: Path | None = None) -> "Bundle":
        """Read it; a bundle in `<run>/bundles/` finds its run by itself.

        Raises:
            UserError: no bundle is there, or it is broken.
        """
        folder = Path(folder)
        manifest = manifests.read(folder)
        paths = {one.name: folder / one.folder / "ledger.json" for one in manifest.experts}
        ledgers = {name: atomic.read_json(path) for name, path in paths.items() if path.is_file()}
        around = folder.resolve().parent
        if run is None and around.name == "bundles":
            run = around.parent
        files = RunFiles(Path(run)) if run is not None else None
        if files and not (files.folder / "evaluation" / "summary.json").is_file():
            files = None
        return cls(folder, manifest, ledgers, files)

    @property
    def allocation(self) -> str | None:
        """The allocation of the run's summary that this bundle was assembled of."""
        name = self.folder.resolve().name
        return name if self.run and name in self.run.summary["allocations"] else None

    def unchanged(self) -> set[str]:
        """Experts that are what they were at revision 1, when the run was evaluated."""
        first = self._first()
        return {one.name for one in self.manifest.experts if one in first.experts}

    def has_grown(self) -> bool:
        """Is it another team, or another router, than at revision 1?"""
        first = self._first()
        return (first.experts, first.router) != (self.manifest.experts, self.manifest.router)

    def _first(self) -> Manifest:
        try:
            return manifests.revision(self.folder, 1)
        except UserError:  # pruned: nothing can be said to be unchanged
            return self.manifest.model_copy(update={"experts": []})


def write(bundle: Path, run: Path | None = None) -> Path:
    """Write the card into the bundle; returns its path. The same card is not written twice.

    Args:
        run: the run that the bundle was assembled in; found by itself in `<run>/bundles/`.

    Raises:
        UserError: no bundle is there, or it is broken.
    """
    path = Path(bundle) / NAME
    held = manifests.lock(bundle).acquire(blocking=True)  # nobody changes what the card tells of
    try:
        text = render(Bundle.read(bundle, run))
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            atomic.write_text(path, text)
    finally:
        held.release()
    return path


def render(bundle: Bundle) -> str:
    """The card, Markdown with the head that the hub reads."""
    languages = sorted({code for one in bundle.manifest.experts for code in one.languages})
    figures = _figures(bundle)
    text = (
        environment()
        .get_template("card.md")
        .render(
            title=bundle.folder.resolve().name,
            revision=bundle.manifest.revision,
            languages=[{"code": code} for code in languages if code != "und"],
            parameters=_first_of(bundle, "parameters"),
            method=_method(bundle),
            experts=[_expert(bundle, one) for one in bundle.manifest.experts],
            costs=_costs(bundle),
            lineage="\n".join(lineage(bundle)),
            router=_router(bundle.manifest),
            history=list(_history(bundle.manifest)),
            facts=_facts(bundle),
            recipe=origin.recipe(bundle.run) if bundle.run else "",
            **figures,
        )
    )
    return text.rstrip() + "\n"


def _figures(bundle: Bundle) -> dict[str, Any]:
    """The table of results; nothing in it without a summary."""
    empty = dict.fromkeys(("headline", "budget", "legend", "stale"), "")
    if bundle.run is None or bundle.allocation is None:
        return {**empty, "columns": [], "rows": []}
    summary, grown = bundle.run.summary, bundle.has_grown()
    table = standings.tables(summary)[-1]  # where routed arms stand beside the others
    mine = [arm for arm in table.arms if arm.allocation in (None, bundle.allocation)]
    shown = [arm for arm in mine if not (grown and arm.kind in {"top1", "mixture"})]
    headline = summary.get("headline")
    ours = headline and arms.parse(headline["arm"]).allocation == bundle.allocation
    return {
        "headline": headline["text"] if headline and ours else "",
        "budget": summary["budgets"]["text"],
        "columns": [arm.kind for arm in shown],
        "rows": list(_rows(bundle, table, shown)),
        "legend": standings.legend(summary, table).replace("*", "\\*"),
        "stale": _STALE if grown else "",
    }


def _rows(bundle: Bundle, table: standings.Standings, shown: list[Arm]) -> Iterator[dict[str, Any]]:
    assert bundle.run is not None
    owner = bundle.run.summary["allocations"][bundle.allocation]["owner"]
    unchanged = bundle.unchanged()
    for row in table.rows:
        expert = owner.get(row.language, "") if row.language else ""
        kept = expert in unchanged if row.language else not bundle.has_grown()
        cells = {arm: row.cells.get(arm) for arm in shown if kept or not arm.is_team}
        best = min((cell.value for cell in cells.values() if cell), default=0.0)
        yield {
            "language": language_name(row.language) if row.language else "**mean**",
            "expert": expert if kept else "",
            "cells": [_cell(cells.get(arm), best) for arm in shown],
        }


def _cell(cell: standings.Cell | None, best: float) -> str:
    if cell is None:
        return "–"
    text = f"{cell.value:.3f}"
    mark = cell.mark.replace("*", "\\*")
    return f"**{text}**{mark}" if cell.value == best else text + mark


def _expert(bundle: Bundle, entry: ExpertEntry) -> dict[str, Any]:
    ledger = bundle.ledgers.get(entry.name, {})
    rate = ledger.get("learning_rate")
    return {
        "name": entry.name,
        "languages": entry.languages,
        "tokens": ledger.get("tokens") or sum(entry.tokens.values()),
        "steps": ledger.get("steps"),
        "batch": ledger.get("batch"),
        "learning_rate": f"{rate:g}" if rate else None,
        "seconds": ledger.get("seconds"),
    }


def _costs(bundle: Bundle) -> str:
    """The whole team's budget in a sentence; nothing when a ledger is missing."""
    ledgers = list(bundle.ledgers.values())
    if len(ledgers) < len(bundle.manifest.experts):
        return ""
    tokens, flops, seconds = (
        sum(ledger.get(key) or 0 for ledger in ledgers) for key in ("tokens", "flops", "seconds")
    )
    return (
        f"All experts together: {tokens:,} tokens, repeats counted, {short(flops)} FLOPs, "
        f"{duration(seconds)} of training."
    )


def lineage(bundle: Bundle) -> Iterator[str]:
    """The tree of branching, a line a model."""
    entries = {one.name: one for one in bundle.manifest.experts}
    children: dict[str, list[str]] = {}
    for one in bundle.manifest.experts:
        parent = one.parent or "seed"
        children.setdefault(parent, []).append(one.name)
    roots = ["seed", *(name for name in children if name not in entries and name != "seed")]
    for root in roots:
        if root in children:
            yield root if root == "seed" else f"{root} (not in the bundle)"
            yield from _below(root, children, entries, "")


def _below(
    name: str, children: Mapping[str, list[str]], entries: Mapping[str, ExpertEntry], indent: str
) -> Iterator[str]:
    below = children.get(name, [])
    for number, child in enumerate(below):
        last = number == len(below) - 1
        names = ", ".join(language_name(code) for code in entries[child].languages)
        yield f"{indent}{'└── ' if last else '├── '}{child}: {names}"
        yield from _below(child, children, entries, indent + ("    " if last else "│   "))


def _router(manifest: Manifest) -> dict[str, str]:
    known = {key: value for key, value in manifest.router.settings.items() if value is not None}
    settings = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in known.items())
    return {"kind": manifest.router.kind, "settings": settings}


def _history(manifest: Manifest) -> Iterator[dict[str, Any]]:
    for number, event in enumerate(manifest.history, start=1):
        who = event.get("expert") or ""
        codes = event.get("languages") or []
        names = ", ".join(language_name(code) for code in codes)
        parts = [str(event.get("action", "")), str(who), f"({names})" if names else ""]
        yield {
            "revision": event.get("revision", number),
            "date": str(event.get("time", ""))[:10],
            "what": " ".join(part for part in parts if part),
        }


def _method(bundle: Bundle) -> str | None:
    if bundle.run is None or bundle.allocation is None:
        return None
    return str(bundle.run.summary["allocations"][bundle.allocation]["method"])


def _facts(bundle: Bundle) -> dict[str, str]:
    """Versions, commit and machines; from the run, else from the ledgers."""
    made = origin.facts_of(bundle.run.made) if bundle.run else {}
    machines = origin.machines(bundle.ledgers.values())
    return {**made, **({"Trained on": "; ".join(machines)} if machines else {})}


def _first_of(bundle: Bundle, key: str) -> Any:
    return next((ledger[key] for ledger in bundle.ledgers.values() if ledger.get(key)), None)
