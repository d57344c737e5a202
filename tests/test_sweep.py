"""The search on a grid against brute force; a real sweep, held-out text away, against plain HF."""

import json
import math
import shutil
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from xelm.config import SweepSettings, load
from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.run import Run
from xelm.storage.manifest import DamagedArtefact
from xelm.sweep import Cell, Chooser, at_edge, choosers, next_cells
from xelm.training import loop

BATCHES, RATES = [4, 8, 16, 32], [5e-4, 1e-3, 2e-3]
RECIPE = """
name: small
corpus: {train: sample, languages: [en, hi, ru, zh], vocabulary: 400, context: 32}
seed: {size: 300k, tokens: 8_000, training: {compile: false}}
allocations:
  typology-2: {method: typology, k: 2}
controls: [dense]
training:
  tokens: 4_000
  defaults: {compile: false, batch: 8, learning_rate: 1e-3}
sweep: {batch: [4, 8, 16], learning_rate: [1e-3, 1e-2], share: 0.5, search: neighbours}
launching: {workers: 1}
"""


def searched(search: str, start: Cell, table: dict[Cell, float]) -> dict[Cell, float]:
    """Ask for cells and answer with the table until nothing more is asked."""
    settings = SweepSettings(batch=BATCHES, learning_rate=RATES, share=1, search=search)
    found: dict[Cell, float] = {}
    for _ in table:
        wanted = next_cells(settings, start, found)
        assert len(set(wanted)) == len(wanted) and not found.keys() & set(wanted)
        found |= {cell: table[cell] for cell in wanted}
    assert not next_cells(settings, start, found)
    return found


tables = st.lists(st.integers(0, 6), min_size=12, max_size=12).map(
    lambda values: dict(zip([(b, r) for b in BATCHES for r in RATES], values, strict=True))
)


@given(tables, st.sampled_from(BATCHES), st.sampled_from(RATES))
def test_no_neighbour_of_the_best_is_better(
    table: dict[Cell, float], batch: int, rate: float
) -> None:
    found = searched("neighbours", (batch, rate), table)
    best = min(found.values())
    row, column = min(cell for cell in found if found[cell] == best)
    for other, value in table.items():
        steps = abs(BATCHES.index(row) - BATCHES.index(other[0]))
        steps += abs(RATES.index(column) - RATES.index(other[1]))
        if steps == 1:
            assert other in found and value >= best


@given(tables, st.sampled_from(BATCHES), st.sampled_from(RATES))
def test_a_full_search_tries_all(table: dict[Cell, float], batch: int, rate: float) -> None:
    assert searched("full", (batch, rate), table) == table


def test_a_search_over_a_bowl_is_short_and_finds_the_bottom() -> None:
    table = {
        (b, r): (math.log2(b) - 4) ** 2 + (math.log2(r / 1e-3)) ** 2 for b in BATCHES for r in RATES
    }
    found = searched("neighbours", (8, 1e-3), table)
    assert min(found, key=found.__getitem__) == (16, 1e-3) and len(found) == 8


@pytest.mark.parametrize(
    ("batch", "rate", "edges"),
    [
        (2, 1e-3, []),
        (4, 1e-3, ["batch"]),
        (2, 2e-3, ["learning_rate"]),
        (4, 5e-4, ["batch", "learning_rate"]),
        (1, 1e-3, []),  # no batch is smaller
    ],
)
def test_a_best_at_the_edge_is_said_to_be_one(batch: int, rate: float, edges: list[str]) -> None:
    grid = SweepSettings(batch=[1, 2, 4], learning_rate=[5e-4, 1e-3, 2e-3])
    assert at_edge(grid, {"batch": batch, "learning_rate": rate}) == edges


def test_the_start_must_be_on_the_grid(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    with pytest.raises(UserError, match=r"sweep\.batch.*12 of dense is not in the grid"):
        load(path, ["training.arms.dense.batch=12"])


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained after its sweep, its held-out text taken away before."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "small.yaml").write_text(RECIPE)
    run = Run.create(load(folder / "small.yaml"), folder / "run", lambda _: None)
    run.prepare()
    run.allocate()
    shutil.rmtree(folder / "run" / "corpus" / "heldout")
    run.train()
    return folder / "run"


def plain_bits_per_byte(run: Path, model: str, language: str) -> float:
    """Of the dev text, token by token, windows half overlapping, by the plain model in float64."""
    network = AutoModelForCausalLM.from_pretrained(run / "models" / model, dtype=torch.float64)
    shards = TokenShards(run / "corpus", "dev")
    context, half = shards.context, shards.context // 2
    sizes = np.load(run / "corpus" / "dev" / language / "bytes.npy")
    bits = 0.0
    for number in range(len(sizes)):
        targets = torch.tensor(np.asarray(shards.document(language, number)).tolist())
        inputs = torch.cat([torch.tensor([shards.end_of_text]), targets[:-1]])
        for start in range(0, max(1, len(targets) - half), half):
            with torch.no_grad():
                logits = network(inputs[None, start : start + context]).logits[0]
            logs = logits.log_softmax(-1).gather(1, targets[start : start + context, None])
            bits -= float(logs[half if start else 0 :].sum()) / math.log(2)
    return bits / float(sizes.sum())


def test_the_scores_are_the_plain_models(swept: Path) -> None:
    arms = json.loads((swept / "training" / "sweep.json").read_text())["arms"]
    owner = json.loads((swept / "allocations/typology-2/allocation.json").read_text())["owner"]
    for arm, about in arms.items():
        name, score = min(about["scores"].items(), key=lambda item: item[1])
        models = {c: arm if arm == "dense" else f"{arm}/{owner[c]}" for c in owner}
        expected = fmean(
            plain_bits_per_byte(swept, f"sweep/{arm}/{name}/{model}", language)
            for language, model in models.items()
        )
        assert score == pytest.approx(expected, rel=1e-5)


def test_an_arm_is_trained_by_its_best(swept: Path) -> None:
    arms = json.loads((swept / "training" / "sweep.json").read_text())["arms"]
    for arm, job in {"dense": "dense", "typology-2": "typology-2/en-hi"}.items():
        best = min(arms[arm]["scores"], key=arms[arm]["scores"].__getitem__)
        path = next(swept.glob(f"training/{job.split('/')[0]}/**/job.json"))
        settings = json.loads(path.read_text())["settings"]
        assert f"b{settings['batch']}-lr{settings['learning_rate']:g}" == best
        assert {k: settings[k] for k in arms[arm]["chosen"]} == arms[arm]["chosen"]


def test_done_work_is_not_done_again(swept: Path) -> None:
    (swept / "training" / "sweep.json").unlink()
    models = {path: path.stat().st_mtime_ns for path in swept.glob("models/**/*.safetensors")}
    Run.open(swept, lambda _: None).train()
    assert {path: path.stat().st_mtime_ns for path in models} == models
    assert (swept / "training" / "sweep.json").is_file()


@pytest.fixture(scope="module")
def on_all(swept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose sweep had the whole budget; corpus, seed and allocation are those of `swept`."""
    folder = tmp_path_factory.mktemp("on-all")
    (folder / "small.yaml").write_text(RECIPE)
    sets = ["sweep.share=1", "sweep.batch=[8]", "sweep.learning_rate=[1e-3, 1e-2]"]
    run = Run.create(load(folder / "small.yaml", sets), folder / "run", lambda _: None)
    for part in ("corpus", "allocations", "models/seed", "training/seed"):
        shutil.copytree(swept / part, folder / "run" / part)
    run.train()
    return folder / "run"


@pytest.fixture(scope="module")
def by_expert(swept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `on_all`, every expert at its own best, with a team of random text beside it."""
    folder = tmp_path_factory.mktemp("by-expert")
    sets = ["sweep.share=1", "sweep.choose=expert", "sweep.batch=[4, 8]"]
    sets += ["allocations.random-5={method: random, k: 5}"]
    sets += ["training.arms={random-5: {learning_rate: 1e-2}, typology-2/en-ru: {batch: 4}}"]
    (folder / "small.yaml").write_text(RECIPE)
    run = Run.create(load(folder / "small.yaml", sets), folder / "run", lambda _: None)
    for part in ("corpus", "models/seed", "training/seed"):
        shutil.copytree(swept / part, folder / "run" / part)
    run.allocate()
    run.train()
    return folder / "run"


def test_every_expert_has_its_own_best(by_expert: Path) -> None:
    about = json.loads((by_expert / "training" / "sweep.json").read_text())["arms"]["typology-2"]
    owner = json.loads((by_expert / "allocations/typology-2/allocation.json").read_text())["owner"]
    assert sorted(about["experts"]) == sorted(set(owner.values()))
    for expert, own in about["experts"].items():
        name, score = min(own["scores"].items(), key=lambda item: item[1])
        expected = fmean(
            plain_bits_per_byte(by_expert, f"sweep/typology-2/{name}/typology-2/{expert}", code)
            for code in owner
            if owner[code] == expert
        )
        assert score == pytest.approx(expected, rel=1e-5)
        ledger = json.loads((by_expert / f"models/typology-2/{expert}/ledger.json").read_text())
        assert f"b{ledger['batch']}-lr{ledger['learning_rate']:g}" == name
        assert ledger["job"] == f"sweep/typology-2/{name}/typology-2/{expert}"  # trained once


def test_an_arm_whose_experts_choose_is_the_mean_of_its_languages(by_expert: Path) -> None:
    about = json.loads((by_expert / "training" / "sweep.json").read_text())["arms"]["typology-2"]
    owner = json.loads((by_expert / "allocations/typology-2/allocation.json").read_text())["owner"]
    parts = about["experts"]
    assert set(about["scores"]) == set.intersection(*(set(one["scores"]) for one in parts.values()))
    for name, score in about["scores"].items():
        assert score == pytest.approx(fmean(parts[owner[c]]["scores"][name] for c in owner))


def test_experts_without_a_language_of_their_own_share_a_setting(by_expert: Path) -> None:
    about = json.loads((by_expert / "training" / "sweep.json").read_text())["arms"]["random-5"]
    assert "experts" not in about  # 5 experts, 4 languages: some own none, so have no dev text
    ledgers = [json.loads(p.read_text()) for p in by_expert.glob("models/random-5/*/ledger.json")]
    settings = {(one["batch"], one["learning_rate"]) for one in ledgers}
    assert settings == {(about["chosen"]["batch"], about["chosen"]["learning_rate"])}


def test_an_expert_without_dev_text_keeps_its_team_from_choosing(
    by_expert: Path, tmp_path: Path
) -> None:
    recipe = load(by_expert.parent / "small.yaml", ["sweep.choose=expert"])
    assert choosers(by_expert, recipe)[1:] == [
        Chooser("typology-2", "en-ru"),
        Chooser("typology-2", "hi-zh"),
    ]
    for part in ("corpus/stats.json", "allocations/typology-2/allocation.json"):
        (tmp_path / part).parent.mkdir(parents=True)
        shutil.copy(by_expert / part, tmp_path / part)
    stats = json.loads((tmp_path / "corpus/stats.json").read_text())
    for language in ("hi", "zh"):
        del stats["splits"]["dev"][language]
    (tmp_path / "corpus/stats.json").write_text(json.dumps(stats))
    assert choosers(tmp_path, recipe) == [Chooser("dense"), Chooser("typology-2")]


def weights(run: Path, model: str) -> bytes:
    return (run / "models" / model / "model.safetensors").read_bytes()


@pytest.mark.parametrize("model", ["dense", "typology-2/en-ru"])
def test_a_sweep_on_the_whole_budget_has_trained_the_arms(
    on_all: Path, tmp_path: Path, model: str
) -> None:
    ledger = json.loads((on_all / "models" / model / "ledger.json").read_text())
    assert ledger["job"].startswith(f"sweep/{model.split('/')[0]}/")
    run = tmp_path / "run"
    shutil.copytree(on_all, run)
    shutil.rmtree(run / "models" / model)
    loop.train(run, model)  # the same job, trained
    assert weights(run, model) == weights(on_all, model)
    assert json.loads((run / "models" / model / "ledger.json").read_text())["job"] == model


def test_a_sweep_on_a_part_leaves_the_arms_to_train(swept: Path) -> None:
    models = swept / "models"
    trained = [models / "dense", *(models / "typology-2").iterdir()]
    jobs = [json.loads((folder / "ledger.json").read_text())["job"] for folder in trained]
    assert jobs == [folder.relative_to(models).as_posix() for folder in trained]


def test_a_damaged_model_of_the_sweep_is_not_taken(on_all: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(on_all, run)
    shutil.rmtree(run / "models" / "dense")
    best = json.loads((on_all / "models/dense/ledger.json").read_text())["job"]
    path = run / "models" / best / "model.safetensors"
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    path.write_bytes(bytes(flipped))
    with pytest.raises(DamagedArtefact, match=r"model\.safetensors"):
        Run.open(run, lambda _: None).train()
    assert not (run / "models" / "dense").exists()
