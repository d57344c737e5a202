"""A text read in cached steps, for comparison with one pass over it."""

from collections.abc import Iterable, Iterator

import torch

from xelm.ensemble.model import XelmForCausalLM


def steps(
    model: XelmForCausalLM,
    ids_bt: torch.Tensor,
    mask_bt: torch.Tensor,
    positions_bt: torch.Tensor,
    stops: Iterable[int],
) -> Iterator[tuple[slice, torch.Tensor]]:
    """(columns just read, their log-probabilities [b, columns, v]), each step ending at a stop."""
    cache, start = None, 0
    for stop in stops:
        read = slice(start, stop)
        with torch.no_grad():
            output = model(
                ids_bt[:, read],
                mask_bt[:, :stop],
                positions_bt[:, read],
                past_key_values=cache,
                use_cache=True,
            )
        yield read, output.logits.log_softmax(-1)
        cache, start = output.past_key_values, stop
