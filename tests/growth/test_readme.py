"""The README's way to add a language, run as it stands there (on a tiny bundle, a small budget)."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xelm.cli.main import app
from xelm.ensemble.verify import verify

README = Path(__file__).parents[2] / "README.md"


def commands() -> tuple[str, str]:
    """The Python line that writes the text, and the `xelm add` after it."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [each for each in blocks if "xelm add" in each]
    python, add = block.replace("\\\n", "").strip().splitlines()[:2]
    return python, add


def test_the_readme_adds_a_language(
    lone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, command = commands()
    monkeypatch.chdir(tmp_path)
    _, script, path = re.fullmatch(r'(python) -c "(.*)" > (\S+)', python).groups()  # type: ignore[union-attr]
    code = script.replace("\\\\", "\\")
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    Path(path).write_bytes(text)
    assert text.decode("utf-8").count("\n\n") > 60
    program, verb, place, *options = shlex.split(command.split("#")[0])
    assert (program, verb) == ("xelm", "add")
    shutil.copytree(lone, place)
    small = ["--tokens", "2000", "--workers", "0", "--old-bytes", "100"]
    result = CliRunner().invoke(app, [verb, place, *options, *small])
    assert result.exit_code == 0, result.output
    manifest = verify(Path(place))
    assert manifest.revision == 2
    assert manifest.experts[-1].languages == [options[options.index("--language") + 1]]
