"""Did every arm consume the same, and dense-matched exactly what its experts did? From ledgers."""

from collections.abc import Mapping

from xelm.corpus import windows_hash
from xelm.evaluation.contest import MATCHED, OWN, SEED, Contest, ledger
from xelm.evaluation.schema import Budgets


def budgets(contest: Contest) -> Budgets:
    """What the ledgers of all data orders say, in figures and in one sentence."""
    arms = [*contest.controls, *contest.allocations]
    tokens = {
        order: {arm: _tokens(contest, arm, order) for arm in arms} for order in contest.orders
    }
    tolerance = max((_batch_tokens(contest, arm) for arm in arms), default=0)
    worst = max(tokens.values(), key=_spread)
    equal = all(_spread(found) <= tolerance for found in tokens.values())
    matched = {
        arm: all(_is_matched(contest, arm, order) for order in contest.orders)
        for arm in arms
        if arm.startswith(MATCHED)
    }
    return {
        "equal": equal,
        "tolerance": tolerance,
        "tokens": worst,
        "matched": matched,
        "text": sentence(worst, tolerance, equal, matched),
    }


def sentence(
    tokens: Mapping[str, int], tolerance: int, equal: bool, matched: Mapping[str, bool]
) -> str:
    """The report's statement on budgets."""
    if not tokens:
        return "Nothing was trained, so there are no budgets."
    if equal:
        parts = [
            f"Equal budgets: each arm consumed {readable(min(tokens.values()))} tokens"
            f" (to within one batch of {tolerance:,} tokens)"
        ]
    else:
        listed = ", ".join(f"{arm} {readable(n)}" for arm, n in sorted(tokens.items()))
        parts = [f"UNEQUAL BUDGETS, so gains are not the method's alone: {listed} tokens"]
    good = [arm for arm, same in matched.items() if same]
    bad = [arm for arm, same in matched.items() if not same]
    if good:
        parts.append(f"{', '.join(good)} saw exactly the windows its experts saw")
    if bad:
        parts.append(f"{', '.join(bad)} DID NOT SEE the windows its experts saw")
    return "; ".join(parts) + "."


def readable(tokens: int) -> str:
    """`400,000`, `4.00 million`, `10.5 billion`."""
    for size, name in ((1_000_000_000, "billion"), (1_000_000, "million")):
        if tokens >= size:
            return f"{tokens / size:.3g} {name}"
    return f"{tokens:,}"


def arm_of(contest: Contest, arm: str) -> str:
    """What was trained for an arm of the table: `typology-8` for `typology-8/own`."""
    known = [name for name in contest.allocations if arm.startswith(name + "/")]
    return max(known, key=len) if known and arm not in contest.controls else arm


def cost(contest: Contest, arm: str) -> dict[str, float]:
    """Tokens, flops and seconds of all models of an arm (first order); zeros for the seed."""
    if arm == SEED:
        return {"tokens": 0, "flops": 0, "seconds": 0}
    found = [ledger(contest.run, model) for model in contest.paid_for(arm, contest.orders[0])]
    return {key: sum(one[key] for one in found) for key in ("tokens", "flops", "seconds")}


def _tokens(contest: Contest, arm: str, order: int) -> int:
    return sum(int(ledger(contest.run, model)["tokens"]) for model in contest.paid_for(arm, order))


def _batch_tokens(contest: Contest, arm: str) -> int:
    found = [ledger(contest.run, model) for model in contest.jobs(arm, contest.orders[0])]
    return max(int(one["batch"]) * int(one["context"]) for one in found)


def _spread(tokens: Mapping[str, int]) -> int:
    return max(tokens.values(), default=0) - min(tokens.values(), default=0)


def _is_matched(contest: Contest, arm: str, order: int) -> bool:
    (control,) = contest.jobs(arm, order)
    experts = contest.paid_for(arm.removeprefix(MATCHED), order)
    parts = [ledger(contest.run, model)["windows_hash"] for model in experts]
    return bool(ledger(contest.run, control)["windows_hash"] == windows_hash.union(parts))


__all__ = ["OWN", "arm_of", "budgets", "cost", "readable", "sentence"]
