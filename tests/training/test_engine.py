"""The step: accumulation, partial batches, reuse by the next expert, compilation, small GPUs."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig

from xelm.errors import UserError
from xelm.training import engines
from xelm.training.engine import Engine
from xelm.training.job import plan
from xelm.training.settings import ArmSettings

CONTEXT = 16


def config(**more: object) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=48,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.2,
        **more,
    )


def engine(micro_batch: int = 4, dtype: torch.dtype = torch.float32, **more: object) -> Engine:
    torch.manual_seed(0)
    made = Engine(config(), CONTEXT, micro_batch, dtype, **more)  # type: ignore[arg-type]
    made.load(first_state())
    return made


def first_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    model = Engine(config(), CONTEXT, 1).model
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def windows(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 60, size=(count, CONTEXT + 1))


def reference(data: np.ndarray, steps: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Plain transformers and plain AdamW."""
    model = Engine(config(), CONTEXT, 1).model.__class__(config())
    model.load_state_dict(first_state(), strict=False)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=1e-2,
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    ids, losses = torch.from_numpy(data), []
    for _ in range(steps):
        logits = model(input_ids=ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, dict(model.named_parameters())


@pytest.mark.parametrize("micro_batch", [1, 2, 4, 6, 8])
def test_steps_are_those_of_plain_adamw_whatever_the_micro_batch(micro_batch: int) -> None:
    data = windows(6)
    losses, parameters = reference(data, 4)
    made = engine(micro_batch)
    made.master.configure((0.9, 0.95), 1e-8, 0.1)
    ours = [float(made.step(data, 1e-2)) for _ in range(4)]
    np.testing.assert_allclose(ours, losses, rtol=1e-4)
    for name, tensor in made.state().items():
        torch.testing.assert_close(tensor, parameters[name], rtol=1e-3, atol=2e-4)


def test_the_next_expert_starts_afresh_in_the_same_engine() -> None:
    data, used = windows(4), engine()
    for _ in range(3):
        used.step(data, 1e-2)
    used.load(first_state())
    fresh = engine()
    for made in (used, fresh):
        made.step(data, 1e-2)
    left, right = used.state(), fresh.state()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_bfloat16_steps_keep_changes_smaller_than_its_resolution() -> None:
    made, data = engine(dtype=torch.bfloat16), windows(4)
    before = {name: tensor.clone() for name, tensor in made.state().items()}
    for _ in range(20):
        made.step(data, 1e-5)
    moved = [float((tensor - before[name]).abs().max()) for name, tensor in made.state().items()]
    assert all(1e-5 < distance < 1e-3 for distance in moved)


def test_dev_loss_is_the_training_loss_without_a_step() -> None:
    made, data = engine(), windows(5)
    assert made.mean_loss(data) == pytest.approx(float(made.step(data, 0.0)), rel=1e-5)


def test_recomputing_activations_changes_nothing() -> None:
    data = windows(4)
    plain, saving = engine(), engine(activation_checkpointing=True)
    for made in (plain, saving):
        made.step(data, 1e-2)
    for name, tensor in plain.state().items():
        torch.testing.assert_close(tensor, saving.state()[name])


def test_out_of_memory_halves_the_micro_batch_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, told = engine(4), []
    monkeypatch.setattr(made, "tell", told.append)
    whole = made._loss

    def small(inputs: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        if len(inputs) > 1:
            raise torch.OutOfMemoryError("no")
        return whole(inputs, *rest)

    monkeypatch.setattr(made, "_loss", small)
    data, plain = windows(4), engine(4)
    assert float(made.step(data, 1e-2)) == pytest.approx(float(plain.step(data, 1e-2)), rel=1e-5)
    assert made.micro_batch == 1 and len(told) == 2
    monkeypatch.setattr(made, "_loss", lambda *rest: small(torch.zeros(2, 2), *rest))
    with pytest.raises(UserError, match="one window does not fit"):
        made.step(data, 1e-2)


@pytest.mark.slow
def test_compiled_steps_agree_and_compile_once_for_all_batches() -> None:
    torch._dynamo.reset()
    made, plain = engine(2, compile=True), engine(2)
    for count in (2, 6, 3):
        data = windows(count)
        assert float(made.step(data, 1e-2)) == pytest.approx(
            float(plain.step(data, 1e-2)), rel=1e-3
        )
    made.load(first_state())
    made.step(windows(4), 1e-2)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_step_agrees_with_the_cpu(dtype: torch.dtype) -> None:
    data = windows(6)
    here, there = engine(), engine(dtype=dtype, device="cuda", compile=True)
    for _ in range(3):
        expected = float(here.step(data, 1e-3))
        assert float(there.step(data, 1e-3)) == pytest.approx(expected, rel=2e-2)


@pytest.mark.gpu
def test_a_gpu_restores_its_optimizer() -> None:
    data, made, again = windows(4), engine(device="cuda"), engine(device="cuda")
    made.step(data, 1e-2)
    again.master.restore(
        [(name, tensor.cpu()) for name, tensor in made.master.checkpoint().items()], 1
    )
    for each in (made, again):
        each.step(data, 1e-2)
    assert all(torch.equal(t, again.state()[n]) for n, t in made.state().items())


def test_without_a_compiler_it_trains_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    from xelm.training import engines
    from xelm.training.job import plan
    from xelm.training.settings import ArmSettings

    job = plan("dense", tokens=64, context=8, settings=ArmSettings())
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(engines.shutil, "which", lambda name: None)
    assert engines.flags(job)["compile"] is False
    monkeypatch.setattr(engines.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert engines.flags(job)["compile"] is True


def test_a_retired_engine_holds_no_more_than_weights_and_trains_the_next_expert() -> None:
    data, fresh, used = windows(4), engine(), engine()
    used.step(data, 1e-2)
    left = used.state()
    used.master.retire()
    assert all(torch.equal(tensor, used.state()[name]) for name, tensor in left.items())
    assert all(name.startswith("master.") for name in used.master.checkpoint())
    used.load(first_state())
    used.master.configure((0.9, 0.95), 1e-8, 0.1)
    fresh.master.configure((0.9, 0.95), 1e-8, 0.1)
    for each in (fresh, used):
        each.step(data, 1e-2)
        each.step(data, 1e-2)
    assert all(torch.equal(t, used.state()[name]) for name, t in fresh.state().items())


@pytest.mark.parametrize(("batch", "at_once"), [(2, 2), (3, 3), (8, 8), (20, 8)])
def test_a_small_batch_is_not_padded_to_the_micro_batch(batch: int, at_once: int) -> None:
    settings = ArmSettings(batch=batch, micro_batch=8, compile=False, dtype="float32")
    job = plan("dense", tokens=8 * CONTEXT, context=CONTEXT, settings=settings)
    assert engines.engine_for(job, config(), lambda event: None).micro_batch == at_once
    assert engines.flags(job)["micro_batch"] == at_once
