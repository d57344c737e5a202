"""`xelm tree` as a user sees it: groups, donors, JSON, files and mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from xelm.cli.tree import tree
from xelm.errors import UserError

CODES = "en es de el ja ko hi ur bg ru fr ar tr zh vi sw"
PUBLISHED = CODES.split()


@pytest.fixture
def run():  # type: ignore[no-untyped-def]
    """Run the verb; returns stdout and stderr, or raises the user's mistake."""
    app = typer.Typer()
    app.command()(tree)

    def call(*arguments: object) -> tuple[str, str]:
        found = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(found.exception, UserError):
            raise found.exception
        assert found.exit_code == 0, found.output
        return found.stdout, found.stderr

    return call


def test_groups_as_published(run) -> None:  # type: ignore[no-untyped-def]
    out, told = run(*PUBLISHED, "--k", 8)
    assert "en es  0.150\n" in out and "sw vi  0.537\n" in out
    assert out.count("\n") == 8 and told == ""


def test_json(run) -> None:  # type: ignore[no-untyped-def]
    out, _ = run(*PUBLISHED, "--k", 4, "--json")
    value = json.loads(out)
    assert value["k"] == len(value["groups"]) == len(value["distances"]) == 4
    assert ["bg", "en", "es", "ru"] in value["groups"]
    assert value["newick"].endswith(";")


def test_donors(run) -> None:  # type: ignore[no-untyped-def]
    out, _ = run("--nearest", "pl", *PUBLISHED)
    assert out.splitlines()[0].split() == ["ru", "0.223"]
    assert len(out.splitlines()) == 16
    out, _ = run("--nearest", "az", *PUBLISHED, "--json")
    assert json.loads(out)["nearest"][0]["language"] == "tr"


def test_without_k_the_tree(run) -> None:  # type: ignore[no-untyped-def]
    out, _ = run("en", "es", "ja")
    assert out.startswith("(") and out.endswith(";\n")


def test_files(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run("en", "es", "ja", "--k", 2, "--picture", tmp_path / "t.svg", "--newick", tmp_path / "t.nwk")
    assert "Japanese" in (tmp_path / "t.svg").read_text()
    assert (tmp_path / "t.nwk").read_text().endswith(";\n")


def test_notes_go_to_stderr(run) -> None:  # type: ignore[no-untyped-def]
    out, told = run("en", "vec", "--k", 1)
    assert told.startswith("note: vec: not in the database") and "note" not in out
    _, told = run("en", "vec", "--k", 1, "--parent", "vec=it")
    assert told == "note: vec: features of it, given by hand\n"


def test_balanced_by_tokens_of_a_run(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    tokens = {"en": 100, "es": 90, "ja": 10, "ko": 10}
    plain, stats = tmp_path / "tokens.json", tmp_path / "stats.json"
    plain.write_text(json.dumps(tokens))
    train = {language: {"tokens": count} for language, count in tokens.items()}
    stats.write_text(json.dumps({"splits": {"train": train}}))
    arguments = (*tokens, "--k", 2, "--method", "balanced")
    assert "en es" in run(*arguments)[0]
    for path in (plain, stats):
        assert "en es" not in run(*arguments, "--tokens", path)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["en", "de", "--k", "3"], "between 1 and the number of languages, 2"),
        (["en", "de", "--k", "1", "--method", "best"], "published, average, balanced"),
        (["en", "xx-yy-zz-q"], "unknown"),
        (["en", "de", "--parent", "de"], "LANGUAGE=PARENT"),
        (["en", "de", "--tokens", "nowhere.json"], "nowhere.json"),
        (["en", "--nearest", "en"], "at least one other"),
        (["en", "de", "--picture", "a.gif"], "a.gif"),
    ],
)
def test_mistakes(run, arguments: list[str], message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        run(*arguments)


def test_it_needs_no_heavy_library() -> None:
    """Under two seconds means: neither torch nor transformers, sklearn, matplotlib nor lang2vec."""
    code = f"""
import sys
from xelm.cli.tree import tree
tree({PUBLISHED}, k=2, json=True)
heavy = "torch transformers sklearn scipy matplotlib lang2vec pkg_resources".split()
print(*[name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["k"] == 2
    assert done.stderr == "\n"
