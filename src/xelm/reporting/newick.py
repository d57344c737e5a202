"""Trees in Newick notation: `((en:0.15,es:0.15):0.1,ru:0.25);`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from xelm.errors import UserError

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|[(),:;]|[^\s(),:;']+)")


@dataclass
class Node:
    """A node; `length` is the edge to its parent."""

    name: str = ""
    length: float = 0.0
    children: list["Node"] = field(default_factory=list)

    def leaves(self) -> list["Node"]:
        """The leaves below, from first to last; the node itself when it is one."""
        if not self.children:
            return [self]
        return [leaf for child in self.children for leaf in child.leaves()]

    def depth(self) -> float:
        """Longest way down to a leaf."""
        return max((child.length + child.depth() for child in self.children), default=0.0)


def parse(text: str) -> Node:
    """The tree.

    Raises:
        UserError: the text is no tree in Newick notation.
    """
    tokens = [match[1] for match in _TOKEN.finditer(text)]
    stream = iter([*tokens, ";", ""])
    node, token = _node(stream, next(stream))
    if token != ";" or node.depth() < 0 or not node.leaves()[0].name:
        raise UserError(f"{text[:40]!r}: not a tree in Newick notation")
    return node


def _node(stream: Iterator[str], token: str) -> tuple[Node, str]:
    """A node that begins at `token`, and the token after it."""
    node = Node()
    if token == "(":
        token = ","
        while token == ",":
            child, token = _node(stream, next(stream))
            node.children.append(child)
        if token != ")":
            raise UserError("a tree in Newick notation has a bracket that never closes")
        token = next(stream)
    if token not in {"(", ")", ",", ":", ";", ""}:
        node.name, token = token.strip("'").replace("''", "'"), next(stream)
    if token == ":":
        node.length, token = _length(next(stream)), next(stream)
    return node, token


def _length(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"a tree in Newick notation has the length {text!r}") from None
