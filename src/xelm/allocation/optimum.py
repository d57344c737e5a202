"""The exact optimum of a balanced assignment by min-cost flow: the reference, not the tool.

Needs the extra `exact` (ortools) and one arc per document and cluster, so it is for checking what
prices and exchange find, up to some hundred thousand documents.
"""

import numpy as np
import numpy.typing as npt

from xelm.allocation.prices import Float64, Floats, Labels
from xelm.errors import UserError

RESOLUTION = 2**24
"""Costs become whole numbers of (largest - smallest cost) / RESOLUTION, float32's own step."""


def assign(costs_kn: Floats, capacities: Float64) -> Labels:
    """Labels int32 [n] of least total cost with exactly capacities[j] documents in cluster j.

    costs_kn [k, n]; capacities [k] whole numbers with sum n. UserError when ortools is missing.
    """
    flow = _solver()
    k, n = costs_kn.shape
    documents, clusters = np.arange(n, dtype=np.int32), np.arange(k, dtype=np.int32)
    arcs = flow.add_arcs_with_capacity_and_unit_cost(
        np.tile(documents, k), np.repeat(n + clusters, n), np.ones(k * n), _whole(costs_kn).ravel()
    )
    supply = np.concatenate([np.ones(n), -np.asarray(capacities)]).astype(np.int64)
    flow.set_nodes_supplies(np.arange(n + k, dtype=np.int32), supply)
    status = flow.solve()
    assert status == flow.OPTIMAL, f"min-cost flow ended with status {status}"
    return np.asarray(flow.flows(arcs).reshape(k, n).argmax(axis=0), dtype=np.int32)


def _solver():  # type: ignore[no-untyped-def]
    try:
        from ortools.graph.python import min_cost_flow
    except ImportError as missing:
        raise UserError("the exact optimum needs ortools: pip install 'xelm[exact]'") from missing
    return min_cost_flow.SimpleMinCostFlow()


def _whole(costs_kn: Floats) -> npt.NDArray[np.int64]:
    costs = costs_kn.astype(np.float64)
    width = max(float(np.ptp(costs)), 1e-300)
    whole: npt.NDArray[np.int64] = np.rint((costs - costs.min()) * (RESOLUTION / width)).astype(
        np.int64
    )
    return whole
