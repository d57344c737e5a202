"""Environment of processes that train; apart from torch, since it must stand before its import."""

WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # a second thread that spins starves the neighbour's worker
    "GOMP_SPINCOUNT": "5000",  # 50 us; none costs a lone worker 13 %, 30000 halves it beside one
    "THP_MEM_ALLOC_ENABLE": "1",  # huge pages for tensors
    "TOKENIZERS_PARALLELISM": "false",
}
