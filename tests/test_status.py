"""The status of a run agrees with what is in its folder."""

from pathlib import Path

import pytest

from xelm import plan, status
from xelm.config import validate
from xelm.errors import UserError
from xelm.storage import atomic


def test_status_tells_done_begun_and_waiting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run here .*xelm run"):
        status.status(tmp_path)
    recipe = {
        "name": "trial",
        "corpus": {"train": "sample", "context": 100},
        "seed": {"folder": "sample"},
        "allocations": {"typology-3": {"method": "typology", "k": 3}},
        "training": {"tokens": 100_000},
    }
    atomic.write_text(tmp_path / "run.yaml", "recipe: {}\n")
    experts = {name: {"languages": {name: 900}} for name in ("en", "ru", "zh")}
    value = {"experts": experts, "owner": {name: name for name in experts}}
    atomic.write_json(tmp_path / "allocations" / "typology-3" / "allocation.json", value)
    plan.write(tmp_path, plan.all_jobs(tmp_path, validate(recipe, "trial.yaml")))
    metrics = tmp_path / "training" / "typology-3" / "ru" / "metrics.jsonl"
    metrics.write_text('{"step": 3, "tokens": 1800}\n{"step": 4, "to', encoding="utf-8")
    about = status.status(tmp_path)
    assert about["jobs"]["typology-3/ru"] == {"state": "begun", "step": 3, "tokens": 1800}
    assert about["jobs"]["dense"] == {"state": "waiting"}
    assert about["allocated"] == ["typology-3"] and not about["evaluated"]
