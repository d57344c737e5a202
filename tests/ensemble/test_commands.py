"""The verbs that use a bundle: `xelm generate`, `verify`, `lm-eval`."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from xelm.cli.generate import generate
from xelm.cli.lm_eval import lm_eval
from xelm.cli.verify import verify
from xelm.errors import UserError

app = typer.Typer()
for verb in (generate, verify, lm_eval):
    app.command()(verb)
runner = CliRunner()


def test_generate_prints_the_prompt_and_the_text(bundle: Path) -> None:
    arguments = ["--prompt", "Der Zug", "--max-new-tokens", "6", "--seed", "1"]
    result = runner.invoke(app, ["generate", str(bundle), *arguments])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Der Zug") and len(result.output) > 10
    again = runner.invoke(app, ["generate", str(bundle), *arguments])
    assert again.output == result.output


def test_generate_tells_who_spoke(bundle: Path) -> None:
    arguments = ["--prompt", "Поезд идёт", "--max-new-tokens", "5", "--top-m", "1", "--json"]
    result = runner.invoke(app, ["generate", str(bundle), *arguments])
    told = [json.loads(line) for line in result.output.splitlines()]
    assert told[0]["expert"] == "ru-de"
    coloured = runner.invoke(
        app, ["generate", str(bundle), "--language", "ell", "--show-experts", "--prompt", "x"]
    )
    assert "ar-tr-el:" in coloured.stderr


def test_generate_tells_mistakes_in_one_line(bundle: Path) -> None:
    for arguments in (["--language", "sw"], ["--router", "astrology"], ["--route-every", "day"]):
        result = runner.invoke(app, ["generate", str(bundle), *arguments])
        assert isinstance(result.exception, UserError), result.output
        assert "\n" not in str(result.exception)


def test_verify_says_what_is_good_and_what_is_not(bundle: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["verify", str(bundle)])
    assert result.exit_code == 0 and "revision 1, 5 experts: good" in result.output
    told = json.loads(runner.invoke(app, ["verify", str(bundle), "--json"]).output)
    assert len(told["experts"]) == 5
    shutil.copytree(bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "config.json").unlink()
    result = runner.invoke(app, ["verify", str(tmp_path / "bundle")])
    assert isinstance(result.exception, UserError) and "config.json" in str(result.exception)


def test_lm_eval_without_the_harness_says_how_to_get_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lm_eval", None)
    result = runner.invoke(app, ["lm-eval", str(bundle), "--tasks", "xnli_de"])
    assert isinstance(result.exception, UserError)
    assert "xelm[eval]" in str(result.exception)
