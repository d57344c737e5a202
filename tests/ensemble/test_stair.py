"""The files of this room form a stair: no two of them need each other, however late they import."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from xelm import ensemble

ROOM = Path(str(ensemble.__file__)).parent
NAME = "xelm.ensemble"


def imported(path: Path) -> set[str]:
    """Modules of the room that a file imports anywhere, in functions and for types as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAME):
            whole = str(node.module)
            found.add(whole)
            found |= {f"{whole}.{alias.name}" for alias in node.names}
    return found


def graph() -> dict[str, set[str]]:
    files = {
        ".".join([NAME, *path.relative_to(ROOM).with_suffix("").parts]): path
        for path in sorted(ROOM.rglob("*.py"))
        if path.name != "__init__.py"
    }
    return {name: imported(path) & set(files) for name, path in files.items()}


def test_no_two_files_need_each_other() -> None:
    try:
        order = list(TopologicalSorter(graph()).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")
    assert order.index(f"{NAME}.loading") < order.index(f"{NAME}.model")
