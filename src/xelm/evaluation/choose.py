"""What is chosen is chosen here or in routing.choose, on dev; held-out text is not asked.

The split is an argument for tests and curves only; what decides anything passes "dev".
"""

from pathlib import Path
from statistics import fmean

from xelm.corpus.shards import TokenShards
from xelm.evaluation import arms, scores
from xelm.evaluation.contest import OWN, Contest
from xelm.evaluation.settings import PLAIN, Reading


def own_bits_per_byte(
    run: Path,
    models_by_language: dict[str, str],
    split: str = "dev",
    reading: Reading = PLAIN,
) -> dict[str, float]:
    """language -> bits per byte of the model that answers for it, on the whole split.

    What is not scored yet is scored now. Languages the split does not have are left out.
    """
    known = TokenShards(Path(run) / "corpus", split).languages
    models = {code: model for code, model in models_by_language.items() if code in known}
    for model in sorted(set(models.values())):
        languages: dict[str, int | None] = {c: None for c, m in models.items() if m == model}
        scores.score(run, model, split, languages, **reading.as_json())
    return arms.bits_per_byte(run, models, split)


def dev_table(contest: Contest) -> dict[str, dict[str, float]]:
    """arm -> language -> bits per byte on dev, of the single arms in the first order."""
    dev = [
        c for c in TokenShards(contest.run / "corpus", "dev").languages if c in contest.languages
    ]
    return {
        arm: arms.bits_per_byte(contest.run, contest.models(arm, contest.orders[0], dev), "dev")
        for arm in contest.single_arms()
    }


def best_own(contest: Contest, dev: dict[str, dict[str, float]]) -> str | None:
    """The allocation's `own` arm with the fewest bits per byte on dev; None without any."""
    own = [name + OWN for name in contest.allocations]
    return min(own, key=lambda arm: fmean(dev[arm].values()), default=None)
