"""How experts are mixed: probabilities, not logits (arXiv 2401.10440, section 2.3).

On stored log-probabilities (evaluation) and on whole distributions (generation), with the same
choice of the m largest weights.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch

    from xelm.ensemble.routers.base import Router


def keep_largest(
    weights: "torch.Tensor", top_m: int | None = None, negligible: float = 0.0
) -> "torch.Tensor":
    """The m largest weights [..., k], those below `negligible` dropped, summing to one again.

    The largest is kept whatever it is; of equal ones the earlier expert wins. With all kept the
    weights come back as they were, not even divided by their sum.
    """
    import torch

    k = weights.shape[-1]
    if top_m == 1:
        best = weights.argmax(-1, keepdim=True)
        return torch.zeros_like(weights).scatter_(-1, best, 1.0)
    kept = torch.ones_like(weights, dtype=torch.bool)
    if top_m is not None and top_m < k:
        order = weights.sort(dim=-1, descending=True, stable=True).indices
        kept = torch.zeros_like(kept).scatter_(-1, order[..., :top_m], True)
    if negligible > 0:
        best = weights.argmax(-1, keepdim=True)
        kept = (kept & (weights >= negligible)).scatter(-1, best, True)
    if bool(kept.all()):
        return weights
    chosen = torch.where(kept, weights, 0.0)
    return chosen / chosen.sum(-1, keepdim=True)


def mix(
    log_probabilities: ArrayLike, weights: ArrayLike, top_m: int | None = None
) -> NDArray[np.float64]:
    """log of sum_j w_j p_j for n tokens, float64 [n].

    Args:
        log_probabilities: natural log p_j(token) of each expert, [k, n].
        weights: [n, k].
        top_m: keep this many of each token's largest weights; None keeps all.
    """
    import torch

    logs_nk = torch.as_tensor(np.asarray(log_probabilities)).double().T
    weights_nk = keep_largest(torch.as_tensor(np.asarray(weights)).double(), top_m)
    mixed: NDArray[np.float64] = torch.logsumexp(logs_nk + weights_nk.log(), -1).numpy()
    return mixed


def document_weights(
    router: "Router", ids: ArrayLike, log_probabilities: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Weights with which each of a document's n tokens is predicted, float64 [n, k].

    Row 0 is the prior, row t what the router says of tokens 0..t-1: no weight has seen the token
    it scores. A posterior router needs `log_probabilities` [k, n] instead of the ids.
    """
    return weights_of_sums(router, document_sums(router, ids, log_probabilities))


def document_sums(
    router: "Router", ids: ArrayLike, log_probabilities: ArrayLike | None = None
) -> "torch.Tensor":
    """What a router knows after each of a document's tokens, float64 [n, d]; no setting of how it
    decides plays a part in it."""
    import torch

    if not np.size(ids):
        return router.prior.new_zeros((0, router.width))
    if router.needs_likelihood:
        assert log_probabilities is not None, "a posterior router needs log-probabilities"
        logs_btk = torch.as_tensor(np.asarray(log_probabilities)).double().T[None]
        read: torch.Tensor = router.read_likelihood(router.start(1), logs_btk)[0][0]  # type: ignore[operator]
        return read
    ids_bt = torch.as_tensor(np.asarray(ids).astype(np.int64))[None]
    return router.read(router.start(1), ids_bt.to(router.prior.device))[0][0]


def weights_of_sums(router: "Router", sums_nd: "torch.Tensor") -> NDArray[np.float64]:
    """`document_weights` from `document_sums`."""
    import torch

    before = torch.cat([router.prior[None], router.decide(sums_nd[:-1])])
    weights: NDArray[np.float64] = before[: len(sums_nd)].cpu().numpy()
    return weights


NEVER = -1e30
"""Stands for log 0: added to any log-probability it vanishes, and its gradient is not NaN."""


def _log(weight: "torch.Tensor") -> "torch.Tensor":
    return weight.log().clamp_min(NEVER)


def mix_logits(
    parts: "list[tuple[torch.Tensor, torch.Tensor]]",
) -> "torch.Tensor":
    """log of the weighted sum of probabilities, [..., v], in float32 (float64 for such experts).

    `parts` holds (logits [..., v], weight [...]) of each expert; a weight of zero adds nothing.
    """
    import torch

    total: torch.Tensor | None = None
    for logits, weight in parts:
        wide = logits if logits.dtype == torch.float64 else logits.float()
        logs = wide.log_softmax(-1) + _log(weight.to(wide.dtype))[..., None]
        total = logs if total is None else torch.logaddexp(total, logs)
    assert total is not None, "nothing to mix"
    return total
