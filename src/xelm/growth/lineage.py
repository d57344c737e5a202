"""`xelm lineage`: who branched from whom, on how many tokens, and how well each speaks.

Of a bundle: its experts and, where they are remembered, the ancestors that are not in it. Of a run:
every finished model, rounds included. Bits per byte are held-out figures of a node's own languages
where an evaluation or an addition measured them; else a run's dev estimate at the end of training,
which says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import ExpertEntry, Manifest
from xelm.errors import UserError
from xelm.growth import fit
from xelm.growth.unchanged import older
from xelm.storage import atomic
from xelm.storage import manifest as contents

if TYPE_CHECKING:
    from rich.tree import Tree

SEED = "seed"
_SHOWN = 4  # languages named at a node; more are counted


@dataclass
class Node:
    """One model and what branched from it."""

    name: str
    parent: str | None = None
    languages: list[str] = field(default_factory=list)
    tokens: int = 0
    """Trained on since its parent; 0 where nobody said."""
    bits_per_byte: dict[str, float] = field(default_factory=dict)
    """Of its own languages."""
    split: str = ""
    """What the figures are of: `heldout`, `dev`, or nothing."""
    current: bool = True
    """Part of the bundle's current revision (in a run: always)."""
    children: list["Node"] = field(default_factory=list)

    def mean(self) -> float | None:
        """Mean bits per byte over its languages."""
        if not self.bits_per_byte:
            return None
        return sum(self.bits_per_byte.values()) / len(self.bits_per_byte)

    def facts(self) -> str:
        """One line: languages, tokens, bits per byte."""
        parts = []
        if self.languages:
            many = len(self.languages) > _SHOWN
            parts.append(f"{len(self.languages)} languages" if many else " ".join(self.languages))
        if self.tokens:
            parts.append(f"{short(self.tokens)} tokens")
        mean = self.mean()
        if mean is not None:
            parts.append(f"{mean:.3f} bits/byte{' on dev' if self.split == 'dev' else ''}")
        if not self.current:
            parts.append("not in the bundle")
        return ", ".join(parts)


@dataclass(frozen=True)
class Lineage:
    """A forest; mostly one tree with the seed as its root."""

    roots: list[Node]

    def nodes(self) -> Iterator[Node]:
        """All nodes, parents before children."""
        waiting = list(self.roots)
        while waiting:
            node = waiting.pop(0)
            yield node
            waiting[:0] = node.children

    def by_name(self) -> dict[str, Node]:
        """Name -> node."""
        return {node.name: node for node in self.nodes()}

    def as_json(self) -> list[dict[str, Any]]:
        """The roots as nested plain values."""
        return [asdict(root) for root in self.roots]

    def as_rich(self) -> "Tree":
        """A tree for the terminal."""
        from rich.markup import escape
        from rich.tree import Tree

        def grow(tree: Tree, nodes: list[Node]) -> None:
            for node in nodes:
                style = "bold" if node.current else "dim"
                grow(
                    tree.add(f"[{style}]{escape(node.name)}[/] {escape(node.facts())}"),
                    node.children,
                )

        whole = Tree("lineage", hide_root=True)
        grow(whole, self.roots)
        return whole

    def as_text(self) -> str:
        """The same in plain characters."""
        return "\n".join(line for root in self.roots for line in _lines(root))


def _lines(node: Node) -> Iterator[str]:
    yield f"{node.name}  {node.facts()}".rstrip()
    for number, child in enumerate(node.children, start=1):
        last = number == len(node.children)
        for place, line in enumerate(_lines(child)):
            first = "└── " if last else "├── "
            rest = "    " if last else "│   "
            yield (rest if place else first) + line


def short(tokens: int) -> str:
    """`12_345_678` -> `12.3M`."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if tokens >= size:
            return f"{tokens / size:.3g}{unit}"
    return str(tokens)


def lineage(folder: Path) -> Lineage:
    """Of a bundle or of a run, whichever `folder` is."""
    folder = Path(folder)
    if (folder / manifests.NAME).is_file():
        return of_bundle(folder)
    if (folder / "models").is_dir():
        return of_run(folder)
    raise UserError(f"{folder}: neither a bundle (no xelm.json) nor a run (no models/)")


def of_bundle(bundle: Path) -> Lineage:
    """The experts of the current revision and their ancestors, as far as they are remembered.

    Experts that were reached in rounds have ancestors that are in no bundle; the run knows them.
    """
    bundle = Path(bundle)
    current = manifests.read(bundle)
    past = {expert.name: expert for manifest in older(bundle) for expert in manifest.experts}
    figures = _figures(bundle, current)
    entries = {expert.name: expert for expert in current.experts}
    for expert in list(entries.values()):
        _add_ancestors(expert, past, entries)
    here = {expert.name for expert in current.experts}
    nodes = [
        Node(
            name=expert.name,
            parent=expert.parent,
            languages=list(expert.languages),
            tokens=_tokens(bundle, expert),
            bits_per_byte=figures.get(expert.fingerprint, {}),
            split="heldout" if figures.get(expert.fingerprint) else "",
            current=expert.name in here,
        )
        for expert in entries.values()
    ]
    seed = Node(SEED, bits_per_byte=_of_arm(bundle, SEED), split="heldout")
    return _grown([seed, *nodes, *_of_rounds(bundle, nodes)])


def _of_rounds(bundle: Path, nodes: Sequence[Node]) -> Iterator[Node]:
    """Ancestors by the names they have in their run, from it where the bundle lies in one."""
    run, known = bundle.resolve().parent.parent, {SEED, *(node.name for node in nodes)}
    waiting = [node.parent for node in nodes]
    for name in waiting:  # grows while it is read: parents of parents
        if name is None or name in known:
            continue
        known.add(name)
        folder = run / "models" / name
        node = _of_model(folder, name) if (folder / "ledger.json").is_file() else Node(name)
        node.current = False
        waiting.append(node.parent)
        yield node


def _add_ancestors(
    expert: ExpertEntry, past: dict[str, ExpertEntry], entries: dict[str, ExpertEntry]
) -> None:
    """Ancestors that were removed since, as far as old revisions remember them."""
    while expert.parent in past and expert.parent not in entries:
        assert expert.parent is not None
        expert = entries.setdefault(expert.parent, past[expert.parent])


def _tokens(bundle: Path, expert: ExpertEntry) -> int:
    record = fit.ledger(bundle / expert.folder)
    return int(record.get("tokens") or sum(expert.tokens.values()))


def _figures(bundle: Path, manifest: Manifest) -> dict[str, dict[str, float]]:
    """Fingerprint of an expert -> held-out figures, of the history and the run's evaluation."""
    found: dict[str, dict[str, float]] = {}
    own = _of_arm(bundle, f"{bundle.resolve().name}/own")
    first = next(older(bundle), manifest)
    for expert in first.experts if own else ():
        found[expert.fingerprint] = {code: own[code] for code in expert.languages if code in own}
    for event in manifest.history:
        if event.get("bits_per_byte") and event.get("fingerprint"):
            found[event["fingerprint"]] = dict(event["bits_per_byte"])
    return found


def _of_arm(bundle: Path, arm: str) -> dict[str, float]:
    """An arm's held-out figures from the evaluation of the run that a bundle lies in."""
    path = bundle.resolve().parent.parent / "evaluation" / "summary.json"
    if bundle.resolve().parent.name != "bundles" or not path.is_file():
        return {}
    arms = atomic.read_json(path).get("arms", {})
    return dict(arms.get(arm, {}).get("bits_per_byte", {}))


def of_run(run: Path) -> Lineage:
    """Every finished model of a run; the sweep's and other data orders' are left out."""
    models = Path(run) / "models"
    found = sorted(path.parent for path in models.rglob("ledger.json"))
    nodes = []
    for folder in found:
        name = folder.relative_to(models).as_posix()
        if (folder / contents.MANIFEST).is_file() and not name.startswith(("sweep/", "orders/")):
            nodes.append(_of_model(folder, name))
    if not nodes:
        raise UserError(f"{models}: no finished model; run `xelm train {run}` first")
    return _grown(nodes)


def _of_model(folder: Path, name: str) -> Node:
    record = fit.ledger(folder)
    tokens = fit.tokens_by_language(record)
    parent = record.get("parent")
    dev = _last_dev(folder / "metrics.jsonl")
    return Node(
        name=name,
        parent=str(parent).split("models/", 1)[-1] if parent else None,
        languages=sorted(tokens),
        tokens=sum(tokens.values()),
        bits_per_byte={code: dev[code] for code in sorted(tokens) if code in dev},
        split="dev" if dev else "",
    )


def _last_dev(path: Path) -> dict[str, float]:
    from xelm.training import metrics

    found: dict[str, float] = {}
    for row in metrics.read(path):
        found = row.get("dev_by_language") or found
    return found


def _grown(nodes: list[Node]) -> Lineage:
    """Children under parents; a parent that is not there makes a root."""
    by_name = {node.name: node for node in nodes}
    roots: list[Node] = []
    for node in nodes:
        parent = by_name.get(node.parent) if node.parent != node.name and node.parent else None
        (parent.children if parent is not None else roots).append(node)
    kept = [root for root in roots if root.children or root.name != SEED or len(roots) == 1]
    return Lineage(kept)
