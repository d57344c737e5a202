"""The rows of the table of results, the gain split in two, and the sentence that sums it up."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from xelm.evaluation import budgets, choose
from xelm.evaluation.arms import Field
from xelm.evaluation.contest import DENSE, MATCHED, OWN, SEED, Contest, ledger
from xelm.evaluation.schema import Arm, Gain, Headline, MeanComparison


def arm_row(contest: Contest, arm: str, fields: Mapping[str, Field], which: str) -> Arm:
    """One arm of the table, from its bits in every language and its models' ledgers."""
    trained = budgets.arm_of(contest, arm)
    cost = budgets.cost(contest, trained)
    jobs = [] if arm == SEED else contest.jobs(trained, contest.orders[0])
    ledgers = [ledger(contest.run, job) for job in jobs]
    orders = [] if arm == SEED else list(contest.orders[: _columns(fields, arm)])
    by_order = {
        str(order): fmean(
            float(one.bits[arm][:, column].sum() / one.documents.bytes.sum())
            for one in fields.values()
        )
        for column, order in enumerate(orders)
    }
    return {
        "bits_per_byte": {code: one.bits_per_byte(arm) for code, one in fields.items()},
        "perplexity": {code: one.perplexity(arm) for code, one in fields.items()},
        "tokens": int(cost["tokens"]),
        "flops": cost["flops"],
        "seconds": cost["seconds"],
        "batch": _common(ledgers, "batch"),
        "learning_rate": _common(ledgers, "learning_rate"),
        "orders": orders,
        "by_order": by_order,
        "documents": which,
    }


def _common(ledgers: Sequence[Mapping[str, Any]], key: str) -> Any:
    """What all say alike; None where experts have each their own."""
    found = {one.get(key) for one in ledgers}
    return found.pop() if len(found) == 1 else None


def _columns(fields: Mapping[str, Field], arm: str) -> int:
    columns: int = next(iter(fields.values())).bits[arm].shape[1]
    return columns


def headline(
    contest: Contest,
    dev: dict[str, dict[str, float]],
    table: Mapping[str, Arm],
    means: Sequence[MeanComparison],
) -> Headline | None:
    """The arm that is best on dev against dense; None when nothing was compared."""
    arm = choose.best_own(contest, dev)
    against = DENSE if DENSE in contest.controls else next(iter(contest.controls), None)
    if arm is None or against is None:
        return None
    mean = next((one for one in means if (one["arm"], one["against"]) == (arm, against)), None)
    if mean is None:
        return None
    return {"arm": arm, "against": against, "text": _sentence(mean, table, contest.settings.alpha)}


def _sentence(mean: MeanComparison, table: Mapping[str, Arm], alpha: float) -> str:
    arm, against = mean["arm"], mean["against"]
    ours, theirs = (fmean(table[one]["bits_per_byte"].values()) for one in (arm, against))
    way = "fewer" if mean["difference"] < 0 else "more"
    worse = mean["significantly_worse"]
    loses = f", significantly more in {worse}" if worse else ""
    return (
        f"{arm} needs {abs(mean['percent']):.1f} % {way} bits per byte than {against} "
        f"({ours:.3f} against {theirs:.3f}, mean of languages): fewer in {mean['better']} of "
        f"{mean['languages']} languages, significantly (Holm, {alpha:g}) in "
        f"{mean['significantly_better']}{loses}."
    )


def gain(name: str, table: Mapping[str, Arm]) -> Gain:
    """dense -> own, split at dense-matched where there is one."""

    def less(better: str, base: str) -> dict[str, float]:
        if better not in table or base not in table:
            return {}
        ours, theirs = table[better]["bits_per_byte"], table[base]["bits_per_byte"]
        return {language: theirs[language] - ours[language] for language in ours}

    own, matched = name + OWN, MATCHED + name
    return {
        "total": less(own, DENSE),
        "mixture": less(matched, DENSE),
        "separation": less(own, matched),
    }
