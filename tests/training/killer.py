"""Train a job in children that are killed again and again: python killer.py RUN NAME KILLS

A third of the kills comes at any moment of the start, a third soon after a new checkpoint, a third
while one is being written. Prints [kills, those that left a half-written checkpoint] as JSON.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import transformers.models.llama.modeling_llama  # noqa: F401  imported once, not by each child

import xelm.training.session  # noqa: F401
from xelm.training import loop

SOON = 0.05  # seconds: a few steps and their checkpoints


def is_gone(child: int) -> bool:
    """Has it ended? (It stays there to be waited for.)"""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def wait_for(there: Callable[[], object], child: int) -> None:
    while not there() and not is_gone(child):
        time.sleep(0.0002)


def main() -> None:
    run, name, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    checkpoints = run / "training" / name / "checkpoints"
    chance = random.Random(5)
    killed = saving = begun = 0
    while not (run / "models" / name).exists():
        before = set(checkpoints.glob("0*"))
        child = os.fork()  # nothing was computed in this process, so no thread is lost
        if child == 0:
            loop.train(run, name)
            os._exit(0)
        if begun < kills:
            if begun % 3 == 0:
                time.sleep(chance.uniform(0.0, 0.5))
            elif begun % 3 == 1:
                wait_for(lambda old=before: set(checkpoints.glob("0*")) - old, child)
                time.sleep(chance.uniform(0.0, SOON))
            else:
                wait_for(lambda: any(checkpoints.glob(".*.tmp-*/*")), child)
            os.kill(child, signal.SIGKILL)
        begun += 1
        died = os.waitpid(child, 0)[1] != 0
        killed += died
        saving += died and any(checkpoints.glob(".*.tmp-*"))
    print(json.dumps([killed, saving]))


if __name__ == "__main__":
    main()
