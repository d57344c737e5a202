"""A bundle in and out of transformers: round trips, half precision, few experts in memory."""

import filecmp
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

import xelm
from xelm.ensemble import manifest as manifests
from xelm.ensemble.bundle import verify
from xelm.ensemble.model import XelmForCausalLM
from xelm.errors import UserError


def same_folder(one: Path, other: Path) -> bool:
    names = {p.relative_to(one) for p in one.rglob("*") if p.is_file()}
    if names != {p.relative_to(other) for p in other.rglob("*") if p.is_file()}:
        return False
    return all(filecmp.cmp(one / name, other / name, shallow=False) for name in names)


def batch(encode: Any, texts: Any, *languages: str, length: int = 40) -> torch.Tensor:
    return torch.tensor(np.stack([encode([texts[code][0]])[0][:length] for code in languages]))


def test_save_is_byte_identical(bundle: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(bundle)
    model.save_pretrained(tmp_path / "copy")
    assert same_folder(bundle, tmp_path / "copy")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "copy")
    again.save_pretrained(tmp_path / "third")
    assert same_folder(bundle, tmp_path / "third")


def test_saving_half_precision_tells_the_truth(
    bundle: Path, tmp_path: Path, encode: Any, texts: Any
) -> None:
    model = AutoModelForCausalLM.from_pretrained(bundle).half()
    model.save_pretrained(tmp_path / "half")
    verify(tmp_path / "half")
    manifest = manifests.read(tmp_path / "half")
    assert manifest.revision == 2 and manifest.history[-1]["action"] == "save"
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "half")
    assert loaded.dtype == torch.float16
    ids = batch(encode, texts, "en", "hi")
    wanted = AutoModelForCausalLM.from_pretrained(bundle, dtype=torch.float16)
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, wanted(ids).logits)
    with pytest.raises(UserError, match="save elsewhere"):
        XelmForCausalLM.from_pretrained(bundle).half().save_pretrained(bundle)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_one_expert_in_half_precision(
    single: Path, encode: Any, texts: Any, dtype: torch.dtype
) -> None:
    team = AutoModelForCausalLM.from_pretrained(single, dtype=dtype)
    plain = AutoModelForCausalLM.from_pretrained(next((single / "experts").iterdir()), dtype=dtype)
    ids = batch(encode, texts, "en", "es")
    with torch.no_grad():
        assert torch.equal(team(ids).logits, plain(ids).logits)
        assert torch.equal(
            team.generate(ids, max_new_tokens=8, do_sample=False),
            plain.generate(ids, max_new_tokens=8, do_sample=False),
        )


def test_half_precision_mixes_in_float32(bundle: Path, encode: Any, texts: Any) -> None:
    model = XelmForCausalLM.from_pretrained(bundle, router="uniform", dtype=torch.bfloat16)
    output = model(batch(encode, texts, "en"))
    assert output.logits.dtype == torch.float32
    assert torch.allclose(output.logits.exp().sum(-1), torch.ones(1), atol=1e-4)
    model.generate(batch(encode, texts, "en", "zh"), max_new_tokens=4)


def test_pipeline_on_one_expert_equals_the_plain_model(single: Path, texts: Any) -> None:
    expert = next((single / "experts").iterdir())
    tokenizer = AutoTokenizer.from_pretrained(single)
    settings = {"max_new_tokens": 10, "do_sample": False}
    prompts = [texts["en"][0][:40], texts["es"][0][:70]]
    results = []
    for folder in (single, expert):
        model = AutoModelForCausalLM.from_pretrained(folder)
        speak = pipeline("text-generation", model=model, tokenizer=tokenizer, batch_size=2)
        results.append(speak(prompts, **settings))
    assert results[0] == results[1]


def test_pipeline_from_the_folder_alone(bundle: Path, texts: Any) -> None:
    speak = pipeline("text-generation", model=str(bundle), max_new_tokens=6)
    for language in ("en", "ar", "zh"):
        (told,) = speak(texts[language][0][:30])
        assert len(told["generated_text"]) > 30


def test_few_in_memory_say_the_same(bundle: Path, encode: Any, texts: Any, switching: str) -> None:
    every = XelmForCausalLM.from_pretrained(bundle, top_m=2)
    few = XelmForCausalLM.from_pretrained(bundle, top_m=2, resident=2)
    ids = torch.tensor(encode([switching])[0])[None]
    settings = {"max_new_tokens": 10, "do_sample": False, "eos_token_id": None}
    with torch.no_grad():
        assert torch.equal(every(ids).logits, few(ids).logits)
    assert torch.equal(every.generate(ids, **settings), few.generate(ids, **settings))
    assert len(few.experts._loaded) <= 2 and few.experts.loads >= 3
    for refused in (few.half, few.train, lambda: few.to(torch.float64)):
        with pytest.raises(UserError, match="resident"):
            refused()
    few.eval()


def test_a_choice_of_experts(bundle: Path, encode: Any, texts: Any) -> None:
    some = XelmForCausalLM.from_pretrained(bundle, experts=["zh-ja", "en-es"])
    assert some.names == ("zh-ja", "en-es")
    some(batch(encode, texts, "ja"))
    assert some.expert_weights[0, -1].argmax() == 0
    with pytest.raises(UserError, match="no expert 'xx'"):
        XelmForCausalLM.from_pretrained(bundle, experts=["xx"])


def test_routing_can_be_chosen_on_loading(bundle: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(bundle, router="tfidf", temperature=0.3, top_m=2)
    assert (model.routing.kind, model.routing.temperature, model.routing.top_m) == ("tfidf", 0.3, 2)
    with pytest.raises(UserError, match="kind"):
        AutoModelForCausalLM.from_pretrained(bundle, router="astrology")
    with pytest.raises(UserError, match="unknown argument 'topm'"):
        AutoModelForCausalLM.from_pretrained(bundle, topm=2)


def test_nothing_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no bundle here"):
        XelmForCausalLM.from_pretrained(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        XelmForCausalLM.from_pretrained(tmp_path / "absent")


def test_the_hub_is_read_and_written_as_files(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub id goes through snapshot_download, an upload through upload_folder."""
    import huggingface_hub

    snapshot = tmp_path / "models--some--team" / "snapshots" / "abc"
    blobs = snapshot.parents[1] / "blobs"
    blobs.mkdir(parents=True)
    for number, path in enumerate(sorted(p for p in bundle.rglob("*") if p.is_file())):
        (blobs / str(number)).write_bytes(path.read_bytes())
        link = snapshot / path.relative_to(bundle)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blobs / str(number))
    asked: list[Any] = []

    def download(name: str, **arguments: Any) -> str:
        asked.append((name, arguments))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = XelmForCausalLM.from_pretrained("some/team", revision="v1")
    assert asked == [("some/team", {"revision": "v1"})]
    sent: dict[str, Any] = {}

    class Api:
        def __init__(self, **_: Any) -> None: ...

        def create_repo(self, repo_id: str, **_: Any) -> Any:
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, *, folder_path: str, **arguments: Any) -> Any:
            sent.update(arguments, same=same_folder(Path(folder_path), bundle))
            return type("Commit", (), {"commit_url": "https://hub/commit"})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert model.push_to_hub("me/team", private=True) == "https://hub/commit"
    assert sent["same"] and sent["repo_id"] == "me/team"


def test_registration_is_lazy() -> None:
    code = (
        "import sys, xelm; assert 'transformers' not in sys.modules and 'torch' not in sys.modules;"
        "from transformers import AutoConfig; "
        "print(type(AutoConfig.for_model('xelm')).__name__)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "XelmConfig", result.stderr
    late = "import transformers; from transformers import AutoModelForCausalLM as A; import xelm; "
    late += "from transformers import AutoConfig; "
    late += "print(A._model_mapping[type(AutoConfig.for_model('xelm'))].__name__)"
    result = subprocess.run([sys.executable, "-c", late], capture_output=True, text=True)
    assert result.stdout.strip() == "XelmForCausalLM", result.stderr
    assert xelm.__version__


def test_embeddings_and_vocabulary_are_left_alone(bundle: Path) -> None:
    model = XelmForCausalLM.from_pretrained(bundle)
    with pytest.raises(UserError, match="vocabulary is fixed"):
        model.resize_token_embeddings(700)
    with pytest.raises(UserError, match="not made from a configuration"):
        XelmForCausalLM(model.config)


def test_peft_adapts_the_experts(bundle: Path, encode: Any, texts: Any) -> None:
    peft = pytest.importorskip("peft")
    model = XelmForCausalLM.from_pretrained(bundle)
    ids = batch(encode, texts, "en", "ru")
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"], r=2))
    loss = adapted(input_ids=ids, labels=ids).loss
    loss.backward()
    grads = [p.grad for p in adapted.parameters() if p.requires_grad and p.grad is not None]
    assert grads and all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.slow
def test_a_compiled_expert(bundle: Path, encode: Any, texts: Any) -> None:
    model = XelmForCausalLM.from_pretrained(bundle, top_m=1)
    ids = batch(encode, texts, "hi")
    with torch.no_grad():
        before = model(ids).logits
        model.experts[model.names.index("hi")].compile()
        assert torch.allclose(model(ids).logits, before, atol=1e-5)


@pytest.mark.slow
def test_a_compiled_expert_alone_equals_the_compiled_plain_model(
    single: Path, encode: Any, texts: Any
) -> None:
    team = XelmForCausalLM.from_pretrained(single)
    plain = AutoModelForCausalLM.from_pretrained(next((single / "experts").iterdir()))
    team.experts[0].compile()
    plain.compile()
    ids = batch(encode, texts, "en")
    with torch.no_grad():
        assert torch.equal(team(ids).logits, plain(ids).logits)
