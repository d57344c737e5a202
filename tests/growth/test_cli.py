"""The verbs of growth, as the user types them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from tiny import CONTEXT, text_file, trained
from typer.testing import CliRunner

from xelm.cli import grow, start
from xelm.cli.verify import verify
from xelm.ensemble import manifest as manifests
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.verify import verify as whole
from xelm.errors import UserError
from xelm.growth.remove import remove

Xelm = Callable[..., str]
VERBS = ("add", "remove", "upgrade", "adopt", "log", "checkout", "prune", "publish", "lineage")


@pytest.fixture
def xelm() -> Xelm:
    """Run a verb; returns what it prints."""
    app = typer.Typer(pretty_exceptions_enable=False)
    for verb in VERBS:
        app.command(verb)(getattr(grow, verb))
    app.command("verify")(verify)

    def call(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def added(xelm: Xelm, bundle: Path, folder: Path, *more: object) -> str:
    settings = ("batch=2", "micro_batch=2", "dtype=float32", "learning_rate=1e-2")
    return xelm(
        *("add", bundle, "--language", "pol", "--text", text_file(folder, "pl")),
        *("--tokens", 8 * CONTEXT, "--workers", 0, "--old-bytes", 200),
        *(part for each in settings for part in ("--set", each)),
        *more,
    )


def test_add_tells_donors_arms_and_old_languages(xelm: Xelm, bundle: Path, tmp_path: Path) -> None:
    shown = added(xelm, bundle, tmp_path)
    for part in (
        "Donors for Polish",
        "nearest by typology",
        "Polish, held-out text",
        "dense, with replay",
        "Old languages, bits per byte, the run's held-out text",
        "the same to the last digit in 3 of 3",
        "Bytes per token",
        "revision 2, expert pl; nothing else changed",
    ):
        assert part in shown, shown
    assert whole(bundle).expert("pl").languages == ["pl"]


def test_add_as_json_then_log_lineage_and_back(xelm: Xelm, lone: Path, tmp_path: Path) -> None:
    made = json.loads(added(xelm, lone, tmp_path, "--json", "--no-controls"))
    assert made["language"] == "pl" and made["revision"] == 2
    entries = json.loads(xelm("log", lone, "--json"))
    assert entries[-1]["details"]["parent"] == made["parent"]
    assert made["parent"] in xelm("log", lone)
    (tree,) = json.loads(xelm("lineage", lone, "--json"))
    assert tree["name"] == "seed"
    xelm("lineage", lone, "--svg", tmp_path / "tree.svg")
    assert ">pl</text>" in (tmp_path / "tree.svg").read_text(encoding="utf-8")
    assert "revision 3, as revision 1" in xelm("checkout", lone, 1)
    assert "2 folder(s)" in xelm("prune", lone, "--keep", 1, "--dry-run")
    assert "2 folder(s)" in xelm("prune", lone, "--keep", 1)
    xelm("remove", lone, "ru")
    assert "expert en-sw: byte-identical since revision 1" in xelm("verify", lone)
    assert json.loads(xelm("verify", lone, "--json"))["unchanged_since"] == {"en-sw": 1}
    assert [expert.name for expert in manifests.read(lone).experts] == ["en-sw"]


def test_adopt_with_text_is_routed(xelm: Xelm, lone: Path, tmp_path: Path, pieces: Any) -> None:
    source = trained(pieces, tmp_path / "theirs", 7)
    xelm(
        "adopt", lone, "--expert", source, "--languages", "pl", "--text", text_file(tmp_path, "pl")
    )
    data = RouterData.load(lone / manifests.read(lone).router.folder)
    assert data.unigram and data.unigram.columns[-1].language == "pl"
    assert data.tfidf and len(data.tfidf.columns) == len(data.tfidf.centroids) == 4
    assert "upgraded" in xelm(
        "upgrade", lone, "pl", "--from", trained(pieces, tmp_path / "m", 8), "--force"
    )


def test_publish_writes_a_card(xelm: Xelm, bundle: Path, tmp_path: Path) -> None:
    xelm("publish", bundle, "--out", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---") and "en-sw" in card
    with pytest.raises(UserError, match="--out FOLDER or --hub"):
        xelm("publish", bundle)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--language", "polnish"], "did you mean"),
        (["--language", "ru"], "has it already"),
        (["--language", "he", "--text", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--language", "he", "--name", "a/b"], "give letters, digits"),
        (["--language", "he", "--with-donor", "1.5"], "--with-donor 1.5"),
        (["--language", "he", "--set", "bach=3"], "--set bach"),
        (["--language", "he", "--set", "batch"], "write it as key=value"),
        (["--language", "he", "--run", "nowhere"], "no run here"),
        (["--language", "he", "--seed", "nowhere"], "no model here"),
    ],
)
def test_mistakes(
    xelm: Xelm, lone: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    if "--text" not in arguments:
        arguments = [*arguments, "--text", str(text_file(tmp_path, "he"))]
    with pytest.raises(UserError, match=message):
        xelm("add", lone, *arguments, "--workers", 0)
    assert manifests.read(lone).revision == 1


def test_the_card_is_of_the_revision_that_is_there(
    xelm: Xelm, lone: Path, tmp_path: Path, pieces: Any
) -> None:
    """Every verb writes it anew; a change made in Python takes the old one away."""

    def card() -> str:
        return (lone / "README.md").read_text(encoding="utf-8")

    added(xelm, lone, tmp_path, "--no-controls")
    assert "revision 2." in card() and "Polish" in card()
    xelm("remove", lone, "pl")
    assert "revision 3." in card() and "- pl" not in card()
    source = trained(pieces, tmp_path / "theirs", 7)
    xelm("adopt", lone, "--expert", source, "--languages", "he")
    assert "revision 4." in card() and "Hebrew" in card()
    xelm("upgrade", lone, "he", "--from", trained(pieces, tmp_path / "more", 8), "--force")
    assert "revision 5." in card()
    xelm("checkout", lone, 1)
    assert "revision 6." in card() and "- he" not in card()
    remove(lone, "ru")
    assert not (lone / "README.md").exists()


def test_the_demo_ends_with_a_language_added(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(start, "_run", lambda recipe, folder: None)
    monkeypatch.setattr(grow, "add", lambda bundle, **more: asked.append((bundle, more)))
    start.demo(Path("runs/demo"))
    bundle = Path("runs/demo/bundles/typology-8")
    assert asked == [(bundle, {"language": "sv", "text": ["sample"]})]
