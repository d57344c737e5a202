"""The whole way on real text, with real kills: it ends in the same bits, and is done once."""

import json
import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from xelm.config import Recipe, load, validate
from xelm.errors import UserError
from xelm.launching.local import LocalPool
from xelm.run import STAGES, Run

RECIPE = """
name: small
corpus: {train: sample, languages: [en, hi, ru, zh], vocabulary: 400, context: 32}
seed: {size: 300k, tokens: 8_000, training: {compile: false, checkpoint_seconds: 0}}
allocations:
  typology-2: {method: typology, k: 2}
controls: [dense, dense-matched/typology-2]
training:
  tokens: 8_000
  defaults: {compile: false, checkpoint_seconds: 0}
evaluation: {resamples: 200, sample_tokens: 4}
launching: {workers: 1}
"""


def _quiet(_: str) -> None:
    return


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(RECIPE)
    return load(path)


_begun: list[int] = []
"""Numbers of the workers that `finished` began."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    begin = LocalPool._start

    def noted(pool: LocalPool, number: int) -> Any:
        _begun.append(number)
        return begin(pool, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalPool, "_start", noted)
        Run.create(recipe, folder, _quiet).all()
    return folder


def _weights(run: Path) -> dict[str, str]:
    return {
        path.relative_to(run).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.glob("models/**/*.safetensors"))
    }


def _figures(run: Path) -> object:
    summary = json.loads((run / "evaluation" / "summary.json").read_text())
    arms = {arm: value["bits_per_byte"] for arm, value in summary["arms"].items()}
    return arms, summary["comparisons"]


def test_what_a_run_leaves(finished: Path) -> None:
    for name in ("seed", "dense", "dense-matched/typology-2"):
        assert (finished / "models" / name / "config.json").is_file()
    assert len(list((finished / "models" / "typology-2").iterdir())) == 2
    assert (finished / "bundles" / "typology-2" / "xelm.json").is_file()
    assert (finished / "report.html").stat().st_size > 10_000
    summary = json.loads((finished / "evaluation" / "summary.json").read_text())
    arms = {"seed", "dense", "dense-matched/typology-2"}
    arms |= {f"typology-2/{kind}" for kind in ("own", "top1", "mixture")}
    assert set(summary["arms"]) == arms
    assert set(summary["languages"]) == {"en", "hi", "ru", "zh"}


def test_one_worker_serves_all_stages(finished: Path) -> None:
    assert _begun == [0]
    log = (finished / "logs" / "worker-0.log").read_text()
    assert "Traceback" not in log


def test_budgets_and_windows_agree(finished: Path) -> None:
    ledgers = {
        path.parent.relative_to(finished / "models").as_posix(): json.loads(path.read_text())
        for path in finished.glob("models/**/ledger.json")
    }
    experts = [ledger for name, ledger in ledgers.items() if name.startswith("typology-2/")]
    matched = ledgers["dense-matched/typology-2"]
    assert sum(ledger["tokens"] for ledger in experts) == matched["tokens"]
    assert matched["tokens"] == ledgers["dense"]["tokens"]
    sums = sum(int(ledger["windows_hash"], 16) for ledger in experts) % 2**128
    assert sums == int(matched["windows_hash"], 16)
    assert sums != int(ledgers["dense"]["windows_hash"], 16)


def test_again_does_nothing(finished: Path, recipe: Recipe) -> None:
    files = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    Run.create(recipe, finished, _quiet).all()
    again = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    changed = {p for p in files.keys() | again.keys() if files.get(p) != again.get(p)}
    assert not {p for p in changed if not p.name.endswith((".lock", "lock"))}


@pytest.mark.parametrize("after", [0.0, 1.0, 2.5])
def test_killed_and_run_again_it_ends_the_same(
    finished: Path, tmp_path: Path, recipe: Recipe, after: float
) -> None:
    """SIGKILL launcher and workers at some moment; the same command ends in the same bits."""
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "xelm.cli.main", "run", str(path), "--out", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (out / "training").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(after)
    _kill_all(process, out)
    Run.create(recipe, out, _quiet).all()
    assert _weights(out) == _weights(finished)
    assert _figures(out) == _figures(finished)


def _kill_all(process: "subprocess.Popen[bytes]", out: Path) -> None:
    """The launcher and its workers, which have process groups of their own."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = children.read_text().split() if children.exists() else []
    for pid in [process.pid, *map(int, workers)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def test_another_recipe_is_refused(finished: Path) -> None:
    text = RECIPE.replace("tokens: 8_000\n  defaults", "tokens: 9_000\n  defaults")
    import yaml

    other = validate(yaml.safe_load(text), "small.yaml")
    with pytest.raises(UserError, match=r"another recipe \(differs in training.tokens\)"):
        Run.create(other, finished)


def test_a_run_made_before_a_setting_existed_goes_on(tmp_path: Path, recipe: Recipe) -> None:
    import yaml

    Run.create(recipe, tmp_path / "run")
    path = tmp_path / "run" / "run.yaml"
    value = yaml.safe_load(path.read_text())
    del value["recipe"]["rounds"]
    path.write_text(yaml.safe_dump(value))
    Run.create(recipe, tmp_path / "run")


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="not empty and not a run"):
        Run.create(recipe, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_launching_does_not_make_another_recipe(finished: Path, recipe: Recipe) -> None:
    moved = recipe.model_copy(
        update={"launching": recipe.launching.model_copy(update={"workers": 2})}
    )
    Run.create(moved, finished)


def test_stages_are_methods() -> None:
    assert all(callable(getattr(Run, stage)) for stage in STAGES)


def test_a_run_takes_changes_that_touch_nothing_it_began(finished: Path, tmp_path: Path) -> None:
    import shutil

    import yaml

    run = tmp_path / "run"
    shutil.copytree(finished, run)
    value = yaml.safe_load(RECIPE)
    value["training"].setdefault("arms", {})["dense"] = {"learning_rate": 5e-4}
    changed = validate(value, "small.yaml")
    with pytest.raises(UserError, match="and dense was begun by that"):
        Run.create(changed, run)
    value["training"]["arms"]["dense"] = {"checkpoint_seconds": 7, "log_every": 3}  # same model
    Run.create(validate(value, "small.yaml"), run)
    value["training"]["arms"]["dense"] = {"learning_rate": 5e-4}
    shutil.rmtree(run / "models" / "dense")
    assert Run.create(changed, run).recipe == changed
    assert Run.open(run).recipe == changed
    value["corpus"]["context"] = 64
    with pytest.raises(UserError, match=r"differs in corpus.context\)"):
        Run.create(validate(value, "small.yaml"), run)


def test_a_seed_may_go_on_with_more_processes(tmp_path: Path) -> None:
    import yaml

    value = yaml.safe_load(RECIPE)
    Run.create(validate(value, "small.yaml"), tmp_path / "run")
    value["seed"]["training"] |= {"processes": 2, "threads": 2, "dev_every": 9}
    Run.create(validate(value, "small.yaml"), tmp_path / "run")
    value["seed"]["training"]["learning_rate"] = 1e-4
    with pytest.raises(UserError, match=r"differs in seed.training.learning_rate\)"):
        Run.create(validate(value, "small.yaml"), tmp_path / "run")


def test_teams_without_any_expert_do_not_hold_up_the_others(finished: Path, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "bundles")
    text = (run / "run.yaml").read_text()
    (run / "run.yaml").write_text(
        text.replace("allocations:\n", "allocations:\n    other: {method: language}\n", 1)
    )
    said: list[str] = []
    again = Run.open(run, said.append)
    again.allocate()
    again.assemble()
    assert (run / "bundles" / "typology-2" / "xelm.json").is_file()
    assert not (run / "bundles" / "other").exists()
    assert any("models/other: no expert is finished" in line for line in said)
    shutil.rmtree(run / "models" / "typology-2")
    with pytest.raises(UserError, match="no expert is finished"):
        Run.open(run, said.append).assemble()
