"""A user's mistakes through the command itself: one line, exit code 2, nothing lost."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xelm.cli.main import main
from xelm.corpus import sample
from xelm.training.events import Stopped

Xelm = Callable[..., str]


@pytest.fixture
def xelm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Xelm:
    """Run the command; returns stderr after checking that it is one line and exit code 2."""

    def call(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["xelm", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        error = capsys.readouterr().err
        assert end.value.code == 2, error
        assert error.startswith("xelm: ") and error.count("\n") == 1, error
        assert "Traceback" not in error
        return error

    return call


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A folder of real text in three languages."""
    folder = tmp_path / "text"
    folder.mkdir()
    for language in ("en", "ru", "hi"):
        rows = [
            json.dumps({"text": text, "lang": language, "id": passage, "group": passage})
            for passage, text in sample.passages(language).items()
        ]
        (folder / f"{language}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def recipe(tmp_path: Path, text: Path) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(
        f"""
name: trial
corpus: {{train: {text}, vocabulary: 300, context: 32, dev_share: 0.1, heldout_share: 0.1}}
seed: {{size: 300k, tokens: 1000}}
allocations: {{language: {{method: language}}}}
training: {{tokens: 1000}}
"""
    )
    return path


def _out(tmp_path: Path) -> list[str]:
    return ["--out", str(tmp_path / "out")]


def test_no_such_recipe(xelm: Xelm) -> None:
    assert "did you mean demo?" in xelm("run", "demmo")


def test_missing_path(xelm: Xelm, recipe: Path, tmp_path: Path) -> None:
    error = xelm("run", recipe, "--set", f"corpus.train={tmp_path}/nowhere", *_out(tmp_path))
    assert f"{tmp_path}/nowhere" in error


def test_empty_corpus(xelm: Xelm, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    error = xelm("run", recipe, "--set", f"corpus.train={tmp_path}/empty", *_out(tmp_path))
    assert f"{tmp_path}/empty" in error


def test_broken_line_names_file_and_line(
    xelm: Xelm, recipe: Path, text: Path, tmp_path: Path
) -> None:
    with (text / "ru.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "оборван\n')
    lines = len((text / "ru.jsonl").read_text(encoding="utf-8").splitlines())
    error = xelm("run", recipe, *_out(tmp_path))
    assert f"ru.jsonl:{lines}" in error


def test_invalid_utf8(xelm: Xelm, recipe: Path, text: Path, tmp_path: Path) -> None:
    (text / "hi.jsonl").write_bytes(b'{"text": "\xff\xfe", "lang": "hi"}\n')
    assert "hi.jsonl:1" in xelm("run", recipe, *_out(tmp_path))


def test_unknown_language(xelm: Xelm, recipe: Path, tmp_path: Path) -> None:
    error = xelm("run", recipe, "--set", "corpus.languages=[en, klingonese]", *_out(tmp_path))
    assert "klingonese" in error


def test_too_little_text(xelm: Xelm, recipe: Path, text: Path, tmp_path: Path) -> None:
    row = json.dumps({"text": "Habari ya asubuhi.", "lang": "sw"})
    (text / "sw.jsonl").write_text(row + "\n", encoding="utf-8")
    assert "sw" in xelm("run", recipe, *_out(tmp_path))


def test_heldout_text_in_train(xelm: Xelm, recipe: Path, text: Path, tmp_path: Path) -> None:
    shutil.copytree(text, tmp_path / "heldout")
    error = xelm("run", recipe, "--set", f"corpus.heldout={tmp_path}/heldout", *_out(tmp_path))
    assert "held" in error


def test_more_experts_than_languages(xelm: Xelm, recipe: Path, tmp_path: Path) -> None:
    wanted = "allocations.language={method: typology, k: 4}"
    error = xelm(
        "run", recipe, "--set", wanted, "--set", "corpus.languages=[en, ru, hi]", *_out(tmp_path)
    )
    assert "4 experts for 3 languages" in error
    assert not (tmp_path / "out" / "corpus").exists()


def test_misspelt_key(xelm: Xelm, recipe: Path, tmp_path: Path) -> None:
    assert "did you mean `vocabulary`?" in xelm("run", recipe, "--set", "corpus.vocabulry=3")


def test_another_recipe(xelm: Xelm, recipe: Path, tmp_path: Path) -> None:
    from xelm.config import load
    from xelm.run import Run

    Run.create(load(recipe), tmp_path / "out")
    before = (tmp_path / "out" / "run.yaml").read_bytes()
    error = xelm("run", recipe, "--set", "corpus.context=64", *_out(tmp_path))
    assert "another recipe (differs in corpus.context)" in error
    assert (tmp_path / "out" / "run.yaml").read_bytes() == before


def test_seed_without_a_model(xelm: Xelm, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    error = xelm("run", recipe, "--set", f"seed={{folder: {tmp_path}/seed}}", *_out(tmp_path))
    assert f"{tmp_path}/seed" in error


def test_a_tokenizer_that_does_not_fit(xelm: Xelm, recipe: Path, tmp_path: Path) -> None:
    from xelm.corpus import tokenizer as tokenizers
    from xelm.models import seed as models
    from xelm.models.sizes import size

    documents = list(sample.documents("train", ["en", "ru"]))
    small, large = (tokenizers.train(documents, vocabulary) for vocabulary in (300, 400))
    model = models.build(size("300k", 300), small)
    models.save(model, small, tmp_path / "seed", {})
    large.save_pretrained(tmp_path / "large")
    settings = [f"seed={{folder: {tmp_path}/seed}}", f"corpus.tokenizer={tmp_path}/large"]
    error = xelm("run", recipe, "--set", settings[0], "--set", settings[1], *_out(tmp_path))
    assert "400 entries" in error and "300" in error
    assert not (tmp_path / "out" / "corpus").exists()


def test_no_run_here(xelm: Xelm, tmp_path: Path) -> None:
    for verb in ("prepare", "allocate", "train", "assemble", "evaluate", "report", "status"):
        assert "no run" in xelm(verb, tmp_path)


def test_too_little_disk(
    xelm: Xelm, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    error = xelm("run", recipe, *_out(tmp_path))
    assert "disk" in error or "free" in error or "space" in error


def test_a_stopped_command_says_so_and_exits_with_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> None:
        raise Stopped("stopped; the same command goes on from here")

    monkeypatch.setattr("xelm.training.packed.fingerprints", stopped)
    monkeypatch.setattr(sys, "argv", ["xelm", "train", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 75
    assert capsys.readouterr().err == "xelm: stopped; the same command goes on from here\n"
