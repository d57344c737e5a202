"""Adding a language: the expert, its column, its report, and nothing else touched."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import CONTEXT, snapshot, text, text_file, unchanged

from xelm.corpus.shards import TokenShards
from xelm.ensemble import manifest as manifests
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.verify import verify
from xelm.errors import UserError
from xelm.growth.add import Request, add
from xelm.growth.comparison import Comparison
from xelm.growth.jobs import settings_for
from xelm.growth.remove import remove
from xelm.growth.text import NewText
from xelm.growth.unchanged import verify_history
from xelm.storage import atomic

FAST = {"batch": 2, "micro_batch": 2, "dtype": "float32", "learning_rate": 1e-2, "compile": False}


def silent(line: str) -> None:
    pass


def request(bundle: Path, folder: Path, language: str = "pl", **changes: Any) -> Request:
    asked = Request(
        bundle,
        NewText(language, [str(text_file(folder, language))]),
        tokens=20 * CONTEXT,
        workers=0,
        settings=FAST,
        old_bytes=300,
    )
    return replace(asked, **changes)


@pytest.fixture(scope="module")
def added(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison, Any]:
    """One addition inside a run, with all controls; the tests look at it."""
    import shutil

    place = tmp_path_factory.mktemp("added")
    run = Path(shutil.copytree(made_run, place / "run"))
    bundle = run / "bundles" / "pair"
    before = snapshot(bundle)
    return bundle, add(request(bundle, place), say=silent), before


class TestInARun:
    def test_bundle_grew_by_one_expert_and_nothing_else(self, added: Any) -> None:
        bundle, made, before = added
        manifest = verify(bundle)
        assert (manifest.revision, made.revision) == (2, 2)
        assert [expert.name for expert in manifest.experts] == ["en-sw", "ru", "pl"]
        new = manifest.expert("pl")
        assert new.languages == ["pl"] and new.parent == made.parent
        assert unchanged(before, bundle)
        verify_history(bundle)

    def test_reads_new_and_kin_in_the_given_shares(self, added: Any) -> None:
        bundle, _, _ = added
        tokens = manifests.read(bundle).expert("pl").tokens
        assert tokens["pl"] == 10 * CONTEXT
        assert sum(tokens.values()) == 20 * CONTEXT and len(tokens) == 2

    def test_old_columns_stand_as_they_stood(self, added: Any) -> None:
        bundle, _, _ = added
        old = RouterData.load(bundle / manifests.revision(bundle, 1).router.folder)
        new = RouterData.load(bundle / manifests.read(bundle).router.folder)
        assert old.unigram and new.unigram and old.tfidf and new.tfidf
        assert new.unigram.columns[:-1] == old.unigram.columns
        np.testing.assert_array_equal(new.unigram.counts[:-1], old.unigram.counts)
        np.testing.assert_array_equal(new.tfidf.centroids[:-1], old.tfidf.centroids)
        np.testing.assert_array_equal(new.tfidf.rows, old.tfidf.rows)
        assert new.unigram.columns[-1].expert == new.tfidf.columns[-1].expert == "pl"
        assert new.languages["pl"] == {"pl": 10 * CONTEXT}
        assert {k: v for k, v in new.languages.items() if k != "pl"} == old.languages

    def test_bounds_are_lowered_for_the_new_language_and_never_raised(self, added: Any) -> None:
        bundle, _, _ = added
        old = RouterData.load(bundle / manifests.revision(bundle, 1).router.folder)
        new = RouterData.load(bundle / manifests.read(bundle).router.folder)
        assert set(new.bounds) == set(old.bounds) == {"tfidf", "unigram"}
        assert all(new.bounds[kind] <= bound for kind, bound in old.bounds.items())

    def test_old_own_figures_are_the_same_to_the_last_digit(self, added: Any) -> None:
        _, made, _ = added
        assert set(made.old) == {"en", "ru", "sw"}
        assert made.own_unchanged()
        assert made.newly_routed() == (0, sum(each.documents for each in made.old.values()))
        for each in made.old.values():
            assert len(each.dense) == 3

    def test_report_compares_all_arms_on_equal_windows(self, added: Any) -> None:
        _, made, _ = added
        tokens = {arm.name: (arm.tokens, arm.new_tokens) for arm in made.arms}
        budget = (20 * CONTEXT, 10 * CONTEXT)
        trained = ["expert from seed", "dense, same windows", "dense, with replay"]
        assert [tokens[name] for name in trained] == [budget] * 3
        assert tokens[f"expert from {made.parent}"] == budget
        assert {"seed", "dense before", f"{made.parent} before"} < set(tokens)
        figures = {arm.name: arm.bits_per_byte for arm in made.arms}
        assert figures[f"expert from {made.parent}"] < figures[f"{made.parent} before"]

    def test_new_language_is_recognised(self, added: Any) -> None:
        bundle, made, _ = added
        assert made.recognised[0] == made.recognised[1] > 0
        own = {arm.name: arm.bits_per_byte for arm in made.arms}[f"expert from {made.parent}"]
        assert made.routed == pytest.approx(own, rel=0.05)
        assert manifests.read(bundle).history[-1]["bits_per_byte"] == {"pl": own}

    def test_report_survives_json(self, added: Any) -> None:
        _, made, _ = added
        assert Comparison.from_json(json.loads(json.dumps(made.as_json()))).arms == made.arms

    def test_the_model_loads_and_speaks_it(self, added: Any) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        import xelm  # noqa: F401

        bundle, _, _ = added
        model = AutoModelForCausalLM.from_pretrained(bundle)
        pieces = AutoTokenizer.from_pretrained(bundle)
        ids = pieces(text("pl", "prompt"), return_tensors="pt", add_special_tokens=False).input_ids
        with torch.no_grad():
            assert model(input_ids=ids[:, :12], use_cache=False).logits.shape == (1, 12, 400)
        assert model.owner("pl") == "pl"

    def test_again_says_it_is_done(self, added: Any, tmp_path: Path) -> None:
        bundle, made, _ = added
        said = list[str]()
        again = request(bundle, bundle.parents[2])
        assert add(again, say=said.append).arms == made.arms
        assert "already" in said[0] and manifests.read(bundle).revision == 2

    def test_refuses_a_language_that_is_there(self, added: Any, tmp_path: Path) -> None:
        bundle, _, _ = added
        with pytest.raises(UserError, match=r"'ru': expert 'ru' of .* has it already"):
            add(request(bundle, tmp_path, "ru"), say=silent)
        with pytest.raises(UserError, match="expert 'pl' is in this bundle already"):
            add(request(bundle, tmp_path, "he", name="pl"), say=silent)


class TestAlone:
    def test_without_a_run_it_says_what_is_missing(self, lone: Path, tmp_path: Path) -> None:
        said = list[str]()
        before = snapshot(lone)
        made = add(request(lone, tmp_path), say=said.append)
        assert any("training on pl alone" in line for line in said)
        assert [arm.name for arm in made.arms] == [
            f"{made.parent} before",
            f"expert from {made.parent}",
        ]
        assert manifests.read(lone).expert("pl").tokens == {"pl": 20 * CONTEXT}
        assert made.old_text == "the reader that comes with xelm" and made.own_unchanged()
        assert any("seed" in note for note in made.notes) and any("dense" in n for n in made.notes)
        assert unchanged(before, lone)

    def test_donor_text_from_files(self, lone: Path, tmp_path: Path) -> None:
        donor = str(text_file(tmp_path, "ru"))
        asked = request(lone, tmp_path, controls=False, with_donor=0.25)
        asked = replace(asked, text=replace(asked.text, donor=[donor]))
        add(asked, say=silent)
        assert manifests.read(lone).expert("pl").tokens == {"pl": 15 * CONTEXT, "ru": 5 * CONTEXT}

    def test_parent_by_name_and_by_mistake(self, lone: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"there are auto, .*ru"):
            add(request(lone, tmp_path, parent="de"), say=silent)
        with pytest.raises(UserError, match="--seed"):
            add(request(lone, tmp_path, parent="seed"), say=silent)
        add(request(lone, tmp_path, parent="ru", controls=False), say=silent)
        assert manifests.read(lone).expert("pl").parent == "ru"

    def test_a_seed_that_is_not_ours(self, lone: Path, run: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="not the seed of"):
            add(request(lone, tmp_path, seed=run / "models" / "dense"), say=silent)
        asked = request(lone, tmp_path, seed=run / "models" / "seed", parent="seed", controls=False)
        made = add(asked, say=silent)
        assert manifests.read(lone).expert("pl").parent == "seed"
        assert [arm.name for arm in made.arms] == ["seed", "expert from seed"]


def test_settings_are_the_experts_with_longer_steps(tmp_path: Path) -> None:
    mine = {"batch": 4, "learning_rate": 1e-3, "schedule": "linear"}
    atomic.write_json(tmp_path / "ledger.json", {"settings": mine})
    found = settings_for(tmp_path, {}, tokens=1000)
    assert (found.batch, found.learning_rate, found.schedule) == (4, 5e-3, "linear")
    assert settings_for(tmp_path, {"learning_rate": 2e-3}, tokens=1000).learning_rate == 2e-3


def test_a_new_expert_from_the_seed_does_not_train_as_the_seed_did(
    run: Path, tmp_path: Path
) -> None:
    path = run / "models" / "seed" / "ledger.json"
    atomic.write_json(path, atomic.read_json(path) | {"settings": {"weight_decay": 0.7}})
    bundle = run / "bundles" / "pair"
    add(request(bundle, tmp_path, parent="seed", controls=False), say=silent)
    folder = bundle / manifests.read(bundle).expert("pl").folder
    assert atomic.read_json(folder / "ledger.json")["settings"]["weight_decay"] != 0.7


def test_a_probe_trains_every_candidate_before_it_chooses(run: Path, tmp_path: Path) -> None:
    bundle = run / "bundles" / "pair"
    made = add(request(bundle, tmp_path, probe=4 * CONTEXT, controls=False), say=silent)
    candidates = made.donors["candidates"]
    assert {each["name"] for each in candidates} == {"seed", "en-sw", "ru"}
    assert all(each["probed"] < each["bits_per_byte"] for each in candidates)
    assert made.parent == min(candidates, key=lambda each: each["probed"])["name"]
    assert not list(run.rglob("models/probe"))


class TestInterrupted:
    def test_goes_on_after_training(self, lone: Path, tmp_path: Path, monkeypatch: Any) -> None:
        from xelm.growth import addition

        def fail(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        asked = request(lone, tmp_path)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(addition.Addition, "commit", fail)
            add(asked, say=silent)
        trained = next(tmp_path.rglob("models/expert/model.safetensors"))
        inode = trained.stat().st_ino
        assert manifests.read(lone).revision == 1
        add(asked, say=silent)
        assert trained.stat().st_ino == inode and manifests.read(lone).revision == 2

    def test_goes_on_after_the_change(self, lone: Path, tmp_path: Path, monkeypatch: Any) -> None:
        from xelm.growth import comparison

        def fail(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        asked = request(lone, tmp_path)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(comparison, "compare", fail)
            add(asked, say=silent)
        assert manifests.read(lone).revision == 2
        made = add(asked, say=silent)
        assert manifests.read(lone).revision == made.revision == 2

    def test_after_a_removal_it_is_put_back(self, lone: Path, tmp_path: Path) -> None:
        asked = request(lone, tmp_path)
        add(asked, say=silent)
        remove(lone, "pl")
        add(asked, say=silent)
        manifest = verify(lone)
        assert manifest.revision == 4 and manifest.expert("pl").languages == ["pl"]


def _add(asked: Request) -> None:
    torch.set_num_threads(1)
    add(asked, say=silent)


def test_two_additions_at_once_both_succeed(lone: Path, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=_add, args=(request(lone, tmp_path, code, controls=False),))
        for code in ("pl", "he")
    ]
    before = snapshot(lone)
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    manifest = verify(lone)
    assert manifest.revision == 3
    assert {expert.name for expert in manifest.experts} == {"en-sw", "ru", "pl", "he"}
    data = RouterData.load(lone / manifest.router.folder)
    assert data.unigram is not None and len(data.unigram.columns) == 5
    assert unchanged(before, lone)


def test_corpus_of_an_addition_links_the_kin(added: Any) -> None:
    bundle, _, _ = added
    corpus = next((bundle.parents[1] / "growth" / "pair").glob("pl-*")) / "corpus"
    shards = TokenShards(corpus, "train")
    assert shards.languages == ["en", "pl", "ru", "sw"]
    assert (corpus / "train" / "ru").is_symlink()
    run = TokenShards(bundle.parents[1] / "corpus", "train")
    np.testing.assert_array_equal(shards.tokens("ru"), run.tokens("ru"))
    assert atomic.read_json(corpus / "stats.json")["fingerprints"]["train"] != run.fingerprint
