"""Scores on disk: what is there is not done again, and only what is right is believed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_run import CONTEXT, ORDERS, Recipe, perform, settings, tiny_model

from xelm.corpus import tokenizer
from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.evaluation import arms, choose, scores
from xelm.evaluation.contest import Contest
from xelm.evaluation.text import documents, reading_order
from xelm.models import machine, seed


def place(run: Path, model: str, language: str, split: str = "heldout") -> Path:
    return run / "evaluation" / "scores" / split / model / f"{language}.npy"


def heldout(run: Path) -> TokenShards:
    return TokenShards(run / "corpus", "heldout")


def test_reading_order_is_a_fixed_shuffle(run: Path) -> None:
    first = reading_order(run / "corpus", "heldout", "hi")
    again = reading_order.__wrapped__(run / "corpus", "heldout", "hi")
    assert sorted(first) == list(range(5)) and first.tolist() == again.tolist()


def test_cap_takes_the_first_documents_that_fit(run: Path) -> None:
    shards = heldout(run)
    every = documents(shards, "ar")
    sizes = every.bytes.tolist()
    assert every.count == 5 and sum(sizes) == shards.bytes("ar").sum()
    assert documents(shards, "ar", sizes[0] + sizes[1]).count == 2
    assert documents(shards, "ar", sizes[0] + sizes[1] - 1).count == 1
    assert documents(shards, "ar", 1).count == 1
    some = documents(shards, "ar", sizes[0] + sizes[1])
    assert some.bytes.tolist() == sizes[:2] and len(some.tokens) == len(some.groups) == 2
    for index, tokens in zip(some.index, some.tokens, strict=True):
        assert len(shards.document("ar", int(index))) == tokens


def test_tasks_cover_every_arm_once_and_nothing_twice(scored_run: Path, run: Path) -> None:
    found = scores.tasks(run, Recipe())
    wanted = {one.name: one.arguments["languages"] for one in found}
    expert = wanted["score/heldout/pair/ar-hi"]
    assert expert == {"ar": None, "hi": None, "en": 700, "th": 700, "zh": 700}
    assert wanted["score/heldout/orders/8/pair/ar-hi"] == {"ar": None, "hi": None}
    assert wanted["score/dev/pair/ar-hi"].keys() == expert.keys()
    assert set(wanted["score/heldout/orders/8/dense"].values()) == {None}
    assert "score/dev/orders/8/dense" not in wanted
    assert all(one.cost > 0 for one in found if one.name.startswith("score"))
    assert scores.tasks(scored_run, Recipe()) == []


def test_without_routing_experts_are_not_scored_on_foreign_dev(run: Path) -> None:
    recipe = Recipe(evaluation=settings(routed=False, matrix=False, sample_tokens=0))
    wanted = {one.name: one.arguments["languages"] for one in scores.tasks(run, recipe)}
    assert wanted["score/heldout/pair/ar-hi"] == {"ar": None, "hi": None}
    assert wanted["score/dev/pair/ar-hi"] == {"ar": None, "hi": None}
    assert not any(name.startswith("sample") for name in wanted)


def test_less_of_dev_may_be_read_than_of_heldout(run: Path) -> None:
    recipe = Recipe(evaluation=settings(routed_dev_bytes=300))
    wanted = {one.name: one.arguments["languages"] for one in scores.tasks(run, recipe)}
    assert wanted["score/dev/pair/ar-hi"] == {
        "ar": None,
        "hi": None,
        "en": 300,
        "th": 300,
        "zh": 300,
    }
    assert wanted["score/heldout/pair/ar-hi"]["en"] == 700


def test_done_again_does_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    scores.score(run, "dense", "heldout", {"ar": None, "th": None}, report=events.append)
    assert events[-1]["step"] == events[-1]["steps"] and events[-1]["languages"] == ["th"]
    monkeypatch.setattr(seed, "load", lambda *_, **__: pytest.fail("loaded again"))
    scores.score(run, "dense", "heldout", {"ar": None, "th": 300})


def test_a_longer_cap_is_scored_and_the_beginning_stays(run: Path) -> None:
    shards = heldout(run)
    some, every = documents(shards, "zh", 300), documents(shards, "zh")
    assert some.count < every.count
    scores.score(run, "seed", "heldout", {"zh": 300})
    before = scores.read(run, "seed", "heldout", "zh", some)
    with pytest.raises(UserError, match="not scored yet"):
        scores.read(run, "seed", "heldout", "zh", every)
    scores.score(run, "seed", "heldout", {"zh": None})
    after = scores.read(run, "seed", "heldout", "zh", every)
    assert len(after) == every.tokens.sum()
    assert np.allclose(before, after[: len(before)], atol=1e-4)


def test_portions_do_not_change_scores(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = documents(heldout(run), "en")
    scores.score(run, "seed", "heldout", {"en": None})
    at_once = scores.read(run, "seed", "heldout", "en", every)
    place(run, "seed", "en").unlink()
    monkeypatch.setattr(scores, "_TOKENS_AT_ONCE", 50)
    scores.score(run, "seed", "heldout", {"en": None})
    assert np.allclose(at_once, scores.read(run, "seed", "heldout", "en", every), atol=1e-4)


@pytest.mark.parametrize(("native", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_what_the_machine_multiplies_in(
    native: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "has_flag", lambda _: native)
    assert settings(dtype="auto").reading("cpu").dtype == dtype
    assert settings().reading("cpu").dtype == "float32"
    assert settings(dtype="bfloat16").reading("cpu").dtype == "bfloat16"


def test_bfloat16_is_scored_anew_and_says_nearly_the_same(run: Path) -> None:
    every = documents(heldout(run), "hi")
    scores.score(run, "dense", "heldout", {"hi": None})
    exact = scores.read(run, "dense", "heldout", "hi", every)
    recipe = Recipe(evaluation=settings(dtype="bfloat16"))
    (task,) = (t for t in scores.tasks(run, recipe) if t.name == "score/heldout/dense")
    assert task.arguments["languages"]["hi"] is None
    scores.score(**task.arguments)
    rough = scores.read(run, "dense", "heldout", "hi", every)
    assert 0 < np.abs(exact - rough).max() < 0.3
    assert abs(rough.mean() / exact.mean() - 1) < 1e-3
    assert "score/heldout/dense" not in {t.name for t in scores.tasks(run, recipe)}


def test_another_model_is_scored_anew(run: Path) -> None:
    every = documents(heldout(run), "hi")
    scores.score(run, "dense", "heldout", {"hi": None})
    old = scores.read(run, "dense", "heldout", "hi", every)
    import shutil

    shutil.rmtree(run / "models/dense")
    pieces = tokenizer.load(run / "corpus/tokenizer")
    seed.save(tiny_model(77, len(pieces)), pieces, run / "models/dense", {})
    with pytest.raises(UserError, match="of another model"):
        scores.read(run, "dense", "heldout", "hi", every)
    scores.score(run, "dense", "heldout", {"hi": None})
    assert not np.allclose(old, scores.read(run, "dense", "heldout", "hi", every))


def test_damage_is_named(run: Path) -> None:
    scores.score(run, "dense", "heldout", {"hi": None})
    path = place(run, "dense", "hi")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"hi\.npy: damaged"):
        scores.read(run, "dense", "heldout", "hi", documents(heldout(run), "hi"))
    path.unlink()
    scores.score(run, "dense", "heldout", {"hi": None})


def test_a_diverged_model_is_worst_on_dev_and_refused_on_heldout(run: Path) -> None:
    import shutil

    import torch

    pieces = tokenizer.load(run / "corpus/tokenizer")
    model = tiny_model(1, len(pieces))
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    shutil.rmtree(run / "models/dense")
    seed.save(model, pieces, run / "models/dense", {})
    found = choose.own_bits_per_byte(run, {"hi": "dense"})
    assert 1000 < found["hi"] < float("inf")
    scores.score(run, "dense", "heldout", {"hi": None})
    contest = Contest.of(run, Recipe(orders=[3]))
    with pytest.raises(UserError, match="models/dense: gives hi text no probability"):
        arms.single_bits(contest, "dense", "hi", documents(heldout(run), "hi"))


def test_missing_models_are_named(run: Path) -> None:
    import shutil

    shutil.rmtree(run / "models/orders/8/pair/ar-hi")
    with pytest.raises(UserError, match=r"orders/8/pair/ar-hi not trained yet; run `xelm train"):
        scores.tasks(run, Recipe())


def test_own_tasks_wait_for_their_model(run: Path) -> None:
    (task,) = scores.own_tasks(run, "sweep/x/not-there", ["ar", "sv"], after=("sweep/x",))
    assert task.after == ("sweep/x",) and task.arguments["languages"] == {"ar": None}
    (task,) = scores.own_tasks(run, "dense", ["ar", "en"])
    scores.score(**task.arguments)
    assert scores.own_tasks(run, "dense", ["ar", "en"]) == []


def test_orders_stand_in_their_folders(contest: Contest) -> None:
    first, second = ORDERS
    assert contest.model("dense", "ar", first) == "dense"
    assert contest.model("dense-matched/pair", "ar", second) == "orders/8/dense-matched/pair"
    assert contest.model("pair/own", "zh", second) == "orders/8/pair/en-th-zh"
    assert contest.model("seed", "zh", second) == "seed"
    assert len(contest.trained()) == 1 + 2 * 4 and perform(contest.run, Recipe()) == 0
    assert contest.heldout.context == CONTEXT


def test_a_language_without_owner_is_refused(run: Path) -> None:
    from xelm.storage import atomic

    path = run / "allocations/pair/allocation.json"
    value = atomic.read_json(path)
    del value["owner"]["th"]
    atomic.write_json(path, value)
    with pytest.raises(UserError, match="no expert owns 'th'"):
        scores.tasks(run, Recipe())
