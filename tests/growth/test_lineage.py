"""Trees of bundles and runs, on a terminal, as plain text and as a picture."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny import trained

from xelm.ensemble import manifest as manifests
from xelm.errors import UserError
from xelm.growth.adopt import adopt
from xelm.growth.lineage import Lineage, Node, lineage, of_bundle, short
from xelm.growth.lineage_svg import svg
from xelm.growth.remove import remove
from xelm.growth.upgrade import upgrade
from xelm.storage import atomic
from xelm.training.inputs import weights_fingerprint


def child_of(bundle: Path, parent: str, name: str, folder: Path, pieces: Any) -> None:
    """Adopt an expert that branched from one of the bundle."""
    weights = weights_fingerprint(bundle / manifests.read(bundle).expert(parent).folder)
    record = {"fingerprints": {"seed": weights}, "tokens_by_language": {name: 5000}, "tokens": 5000}
    source = trained(pieces, folder / name, len(name) + 30, **record)
    adopt(bundle, source, [name], say=lambda line: None)


def test_a_bundle_of_experts_of_different_depth(bundle: Path, tmp_path: Path, pieces: Any) -> None:
    child_of(bundle, "ru", "pl", tmp_path, pieces)
    tree = of_bundle(bundle)
    assert [root.name for root in tree.roots] == ["seed"]
    assert [child.name for child in tree.roots[0].children] == ["en-sw", "ru"]
    assert [child.name for child in tree.by_name()["ru"].children] == ["pl"]
    assert tree.as_text().splitlines()[0] == "seed"
    assert tree.as_text().splitlines()[-1] == "    └── pl  pl, 5k tokens"


def test_ancestors_that_were_removed_are_remembered(
    bundle: Path, tmp_path: Path, pieces: Any
) -> None:
    child_of(bundle, "ru", "pl", tmp_path, pieces)
    remove(bundle, "ru")
    node = of_bundle(bundle).by_name()["ru"]
    assert not node.current and [child.name for child in node.children] == ["pl"]
    assert "not in the bundle" in node.facts()


def test_figures_come_from_the_runs_evaluation_for_what_it_measured(
    bundle: Path, tmp_path: Path, pieces: Any
) -> None:
    arms = {
        "seed": {"bits_per_byte": {"en": 4.0, "ru": 5.0, "sw": 6.0}},
        "pair/own": {"bits_per_byte": {"en": 1.0, "ru": 2.0, "sw": 3.0}},
    }
    atomic.write_json(bundle.parents[1] / "evaluation" / "summary.json", {"arms": arms})
    nodes = of_bundle(bundle).by_name()
    assert nodes["seed"].mean() == 5.0
    assert nodes["en-sw"].mean() == 2.0 and nodes["ru"].mean() == 2.0
    assert "2.000 bits/byte" in nodes["ru"].facts()
    upgrade(bundle, "ru", trained(pieces, tmp_path / "more", 50), force=True)
    assert of_bundle(bundle).by_name()["ru"].mean() is None  # nobody measured this one


def test_of_a_run(run: Path) -> None:
    folder = run / "models" / "pair" / "ru"
    (folder / "metrics.jsonl").write_text(
        '{"step": 1, "dev_by_language": {"ru": 9.0}}\n{"step": 2, "dev_by_language": {"ru": 3.5, '
        '"en": 1.0}}\n{"step": 3}\n',
        encoding="utf-8",
    )
    tree = lineage(run)
    assert {root.name for root in tree.roots} == {"seed", "dense"}
    node = tree.by_name()["pair/ru"]
    assert node.bits_per_byte == {"ru": 3.5} and node.facts().endswith("3.500 bits/byte on dev")


def test_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a bundle"):
        lineage(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(UserError, match="no finished model"):
        lineage(tmp_path)


def made_up() -> Lineage:
    leaf = Node("a<b>&c", "x", ["pl"], 1_200_000, {"pl": 1.25}, "heldout")
    gone = Node("x", "seed", ["a", "b", "c", "d", "e"], 10, current=False, children=[leaf])
    return Lineage([Node("seed", children=[gone, Node("y", "seed", ["sv"])])])


def test_the_picture_is_whole_and_nothing_overlaps() -> None:
    root = ElementTree.fromstring(svg(made_up()))
    space = "{http://www.w3.org/2000/svg}"
    names = [text for text in root.iter(f"{space}text") if "name" in text.get("class", "")]
    assert [text.text for text in names] == ["seed", "x", "a<b>&c", "y"]
    assert len(list(root.iter(f"{space}path"))) == 3
    places = {(text.get("x"), text.get("y")) for text in names}
    assert len(places) == 4
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for text in root.iter(f"{space}text"):
        assert 0 < float(text.get("x", 0)) < width and 0 < float(text.get("y", 0)) < height


def test_the_terminal_shows_every_node() -> None:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(made_up().as_rich())
    shown = captured.get()
    for part in ("a<b>&c", "1.2M tokens", "1.250 bits/byte", "5 languages"):
        assert part in shown


def test_short() -> None:
    assert [short(n) for n in (7, 1500, 12_345_678, 2 * 10**9)] == ["7", "1.5k", "12.3M", "2B"]
