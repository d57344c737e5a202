"""lm-evaluation-harness on a bundle: its own Hugging Face class, once `xelm` is imported."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xelm.errors import UserError


def evaluate(
    bundle: Path,
    tasks: Sequence[str],
    *,
    num_fewshot: int | None = None,
    limit: float | None = None,
    batch_size: int = 8,
    device: str = "cpu",
    include_path: Path | None = None,
    **routing: Any,
) -> dict[str, dict[str, Any]]:
    """task -> metric -> value, as the harness gives them.

    Experts compute in the dtype they were saved in; in float32 on a CPU without bfloat16 products.

    Args:
        tasks: names known to the harness (or to `include_path`), or paths of yaml files.
        routing: router, top_m ... for XelmForCausalLM.from_pretrained.

    Raises:
        UserError: the harness is not installed, or knows no such task.
    """
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise UserError(
            "lm-eval: not installed; pip install 'xelm[eval]' (lm-evaluation-harness)"
        ) from None
    import torch
    from transformers import AutoTokenizer

    from xelm.ensemble.model import XelmForCausalLM
    from xelm.models import machine

    place = None if include_path is None else str(include_path)
    manager = TaskManager(include_path=place, include_defaults=False)
    if _unknown(tasks, manager):  # reading the harness's own thousands of tasks takes seconds
        manager = TaskManager(include_path=place)
    if unknown := _unknown(tasks, manager):
        raise UserError(
            f"--tasks: the harness knows no {', '.join(unknown)}; see `lm-eval ls tasks`"
        )
    # Tasks are prompts, long products: emulated in bfloat16 they take five times as long.
    dtype = None if machine.multiplies_bfloat16(device) else torch.float32
    model = XelmForCausalLM.from_pretrained(bundle, dtype=dtype, **routing)
    if device != "cpu":
        model.to(device)
    wrapped = HFLM(
        pretrained=model,
        tokenizer=AutoTokenizer.from_pretrained(bundle),
        batch_size=batch_size,
        max_length=model.context or model.config.max_position_embeddings,
    )
    found = simple_evaluate(
        model=wrapped,
        tasks=list(tasks),
        num_fewshot=num_fewshot,
        limit=limit,
        task_manager=manager,
        bootstrap_iters=0,
    )
    results: dict[str, dict[str, Any]] = json.loads(json.dumps(found["results"], default=str))
    return results


def _unknown(tasks: Sequence[str], manager: Any) -> list[str]:
    return [name for name in tasks if not Path(name).is_file() and not manager.match_tasks([name])]
