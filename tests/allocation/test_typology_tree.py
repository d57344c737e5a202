"""Newick read back by another parser."""

import re
from typing import Any

import pytest

from xelm.allocation.typology_groups import METHODS, Method, groups
from xelm.allocation.typology_tree import newick

CODES = "ar bg de el en es fr hi ja ko ru sw tr ur vi zh-Hant"
LANGUAGES = CODES.split()


def parse(text: str) -> Any:
    """Newick as nested lists of (label or list, branch length); a reader of its own."""
    tokens = re.findall(r"'(?:[^']|'')*'|[(),;]|:[-\d.e]+|[^(),:;']+", text)

    def node() -> tuple[Any, float]:
        if tokens[0] == "(":
            value: Any = []
            while tokens.pop(0) in "(,":
                value.append(node())
        else:
            value = tokens.pop(0)
        return value, float(tokens.pop(0)[1:]) if tokens[0].startswith(":") else 0.0

    tree = node()
    assert tokens == [";"] or tokens == [";", "\n"]
    return tree


def leaves(tree: Any) -> dict[str, float]:
    """Language -> distance from this node's parent."""
    value, length = tree
    if isinstance(value, str):
        return {value: length}
    return {name: far + length for child in value for name, far in leaves(child).items()}


def clusters(tree: Any) -> set[frozenset[str]]:
    value, _ = tree
    if isinstance(value, str):
        return {frozenset([value])}
    return {frozenset(leaves(tree))}.union(*(clusters(child) for child in value))


@pytest.mark.parametrize("method", METHODS)
def test_newick_reads_back(method: Method) -> None:
    found = groups(LANGUAGES, 4, method)
    tree = parse(newick(found))
    assert sorted(leaves(tree)) == sorted(LANGUAGES)
    assert clusters(tree) >= {frozenset(group) for group in found.groups}
    depths = list(leaves(tree).values())
    assert max(depths) - min(depths) < 1e-4  # all languages live today
    assert not re.search(r":-", newick(found))


def test_path_between_a_pair_is_its_distance() -> None:
    tree = parse(newick(groups(["en", "es"], 1)))
    assert sum(leaves(tree).values()) == pytest.approx(0.150, abs=5e-4)


def test_one_language() -> None:
    assert newick(groups(["en"], 1)) == "en;\n"
