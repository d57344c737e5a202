"""The house itself: imports walk down the stairs, files stay small, nothing unsafe is used."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "xelm"
STAIRS = (
    "errors",
    "storage",
    "corpus",
    "allocation",
    "models",
    "training",
    "launching",
    "ensemble",
    "evaluation",
    "growth",
    "reporting",
    "serving",
)
FILES = sorted(PACKAGE.rglob("*.py"))
_UNSAFE_MODULES = {"pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
_UNSAFE_CALLS = {"eval", "exec", "torch.load", "yaml.load", "os.system", "numpy.load_pickle"}
_UNSAFE_KEYWORDS = {"trust_remote_code", "allow_pickle", "shell"}


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _imports(path: Path) -> Iterator[str]:
    """Rooms of xelm that a file imports from, type-checking imports included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            if module.startswith("xelm."):
                yield module.split(".")[1]


@pytest.mark.parametrize("room", STAIRS[1:])
def test_a_room_imports_only_from_rooms_above_it(room: str) -> None:
    allowed = set(STAIRS[: STAIRS.index(room) + 1]) | {"__version__"}
    wrong = {
        f"{_name(path)} imports {imported}"
        for path in FILES
        if path.relative_to(PACKAGE).parts[0] == room
        for imported in _imports(path)
        if imported not in allowed
    }
    assert not wrong


def _unsafe(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (name for name in names if name.split(".")[0] in _UNSAFE_MODULES)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _UNSAFE_CALLS:
            yield ast.unparse(node.func)
        if isinstance(node, ast.keyword) and node.arg in _UNSAFE_KEYWORDS:
            yield from () if ast.unparse(node.value) == "False" else (ast.unparse(node),)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_nothing_unsafe(path: Path) -> None:
    """No code of others runs by loading a file: no pickle, joblib, torch.load, remote code."""
    assert not list(_unsafe(path))


def test_the_scan_finds_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "import joblib\nfrom pickle import loads\nimport torch\ntorch.load(1)\n"
        "f(trust_remote_code=True)\ng(trust_remote_code=False)\nmodel.eval()\n"
    )
    assert len(list(_unsafe(path))) == 4


def test_files_are_small_and_say_what_they_are() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, f"{_name(path)} is too long"
        assert ast.get_docstring(ast.parse(text)), f"{_name(path)} does not say what it is"


def test_no_vague_names() -> None:
    vague = {"utils", "helpers", "common", "misc", "manager"}
    assert not [_name(path) for path in PACKAGE.rglob("*") if path.stem in vague]
