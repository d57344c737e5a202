"""The preview of a run agrees with the plan."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from xelm import plan, preview, sweep
from xelm.config import Recipe, validate
from xelm.models.sizes import size
from xelm.storage import atomic


def recipe(**sections: Any) -> Recipe:
    return validate(
        {
            "name": "trial",
            "corpus": {"train": "sample", "context": 100},
            "seed": {"folder": "sample"},
            "allocations": {"typology-3": {"method": "typology", "k": 3}},
            "controls": ["dense", "dense-matched/typology-3"],
            "training": {"tokens": 100_000, "defaults": {"batch": 6}},
            **sections,
        },
        "trial.yaml",
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    experts = {name: {"languages": {name: 900}} for name in ("en", "ru", "zh")}
    value = {"experts": experts, "owner": {name: name for name in experts}}
    atomic.write_json(tmp_path / "allocations" / "typology-3" / "allocation.json", value)
    return tmp_path


@pytest.mark.parametrize("steps", [None, "published"])
def test_jobs_and_steps_are_those_of_the_plan(run: Path, steps: str | None) -> None:
    asked = recipe(training={"tokens": 100_000, "defaults": {"batch": 6}, "steps": steps})
    jobs = plan.all_jobs(run, asked)
    for arm, row in preview.describe(asked)["arms"].items():
        own = [job for job in jobs if job.name == arm or job.name.startswith(f"{arm}/")]
        assert row["jobs"] == len(own)
        assert {job.settings.batch for job in own} == {row["batch"]}
        assert all(abs(job.steps - row["steps"]) <= 1 for job in own)
        assert abs(sum(job.tokens for job in own) - row["tokens"]) < 100


def test_memory_counts_every_process() -> None:
    fresh: dict[str, Any] = {"size": "2m", "tokens": 100_000}
    parameters = size("2m", 8192).parameters
    both = {"tokens": 100_000, "defaults": {"batch": 6}, "arms": {"dense": {"processes": 3}}}

    def memory(**sections: Any) -> int:
        asked = recipe(corpus={"train": "sample", "vocabulary": 8192}, **sections)
        return int(preview.describe(asked)["training_memory_bytes"])

    assert memory(seed=fresh) == 18 * parameters
    assert memory(seed=fresh | {"training": {"processes": 2}}) == 34 * parameters
    assert memory(seed=fresh, training=both) == 50 * parameters
    on_gpu = {"device": "cuda"}
    assert memory(seed=fresh, training=both, launching=on_gpu) == 18 * parameters


def test_a_helpers_bytes_are_what_it_holds() -> None:
    """Counted from the tensors of an engine that has not updated, and the memory shared with it."""
    from transformers import AutoConfig

    from xelm.training.data_parallel import _Memory
    from xelm.training.engine import Engine

    config = AutoConfig.for_model(
        "llama",
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    engine = Engine(config, 8, 1, torch.bfloat16)
    memory = _Memory(engine, room=1)
    master = engine.master
    held = [master.flat_weights, master.flat_gradient, *master.weights().values()]
    shared = [memory.weights, memory.gradient]
    count = master.flat_weights.numel()
    memory.close()
    bytes_ = sum(each.numel() * each.element_size() for each in (*held, *shared))
    assert bytes_ == preview._BYTES_OF_A_HELPER * count


def test_missing_text_is_named(tmp_path: Path) -> None:
    about = preview.describe(recipe(corpus={"train": str(tmp_path / "nowhere"), "context": 100}))
    (missing,) = about["missing"]
    assert missing.startswith("corpus.train: ") and "nowhere" in missing


def test_the_plan_is_json_as_well(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preview.show(recipe(), run, as_json=True)
    assert json.loads(capsys.readouterr().out)["arms"]["dense"]["steps"] == 167
    preview.show(recipe(), run)
    assert "memory: " in (shown := capsys.readouterr().out) and "167" in shown


def test_a_seed_that_is_trained_here_counts(run: Path) -> None:
    fresh: dict[str, Any] = {"size": "2m", "tokens": 300_000, "training": {"batch": 16}}
    asked = recipe(corpus={"train": "sample", "vocabulary": 8192}, seed=fresh)
    about, job = preview.describe(asked), plan.seed_job(asked)
    assert job is not None
    assert (about["seed"]["steps"], about["seed"]["tokens"]) == (job.steps, job.tokens)
    of_arms = sum(arm["flops"] for arm in about["arms"].values())
    assert about["flops"] == of_arms + 6 * size("2m", 8192).parameters * job.tokens
    assert preview.describe(recipe())["seed"]["flops"] is None


@pytest.mark.parametrize("search", ["full", "neighbours"])
def test_a_sweep_counts_what_it_begins_with(
    run: Path, search: str, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = {"batch": [3, 6, 12], "learning_rate": [1e-3, 2e-3, 4e-3], "share": 0.5}
    asked = recipe(sweep=grid | {"search": search})
    about = preview.describe(asked)["sweep"]
    cells = 9 if search == "full" else 5  # batch 6 at its usual 2e-3, and all four beside it
    assert set(about["settings"].values()) == {cells}
    jobs = [
        job for arm in asked.arms() for job in sweep.jobs(run, asked, sweep.Chooser(arm), (6, 2e-3))
    ]
    assert about["tokens"] == pytest.approx(cells * sum(job.tokens for job in jobs), rel=0.01)
    preview.show(asked, run)
    shown = f"{'at least ' if search == 'neighbours' else ''}{3 * cells} settings on 50%"
    assert f"before the arms, {shown}" in capsys.readouterr().out


def test_a_sweep_on_the_whole_budget_trains_the_first_order() -> None:
    grid = {"batch": [3, 6], "learning_rate": [1e-3], "share": 1}
    orders = preview.describe(recipe(sweep=grid, orders=[0, 1]))
    of_arms = sum(arm["flops"] for arm in orders["arms"].values())
    assert orders["flops"] == orders["sweep"]["flops"] + of_arms
