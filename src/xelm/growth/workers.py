"""Training the jobs of an addition on this machine, as a run trains its own."""

from collections.abc import Sequence
from pathlib import Path

from xelm.growth.revisions import Say
from xelm.training.job import Job


def train(
    work: Path, jobs: Sequence[Job], *, workers: int | None, device: str, title: str, say: Say
) -> None:
    """Train what is not finished; the first job is the one that matters.

    Args:
        workers: processes; 0 trains in this one, None is one a core or one a GPU.

    Raises:
        TasksFailed: the first job failed. Without others the addition is still whole: that is said.
    """
    from xelm.launching.local import LocalPool, TasksFailed, worker_count
    from xelm.launching.task import Task
    from xelm.launching.view import View
    from xelm.training import loop

    left = [job for job in jobs if not loop.is_done(work, job.name)]
    if workers == 0:
        for job in left:
            loop.train(work, job.name)
        return
    tasks = [
        Task(
            job.name,
            "xelm.training.loop:train",
            {"run": str(work), "name": job.name},
            cost=float(job.tokens) + (job is jobs[0]),  # of equals it starts first
        )
        for job in left
    ]
    if not tasks:
        return
    count = min(len(tasks), worker_count(workers, device))
    try:
        with (
            LocalPool(count, work / "logs", device) as pool,
            View(title, [task.name for task in tasks]) as view,
        ):
            pool.run(tasks, view.on_message)
    except TasksFailed as failure:
        if not loop.is_done(work, jobs[0].name):
            raise
        say(f"going on without some models: {failure}")
