"""HMR: branch in rounds, each expert from its nearest ancestor instead of from the seed.

A recipe's `rounds:` names an allocation and says through which coarser groups its experts are
reached; the last round is the allocation itself:

    allocations:
      hmr: {method: typology, k: 8}
    rounds:
      hmr: [{k: 1, share: 0.2}, {k: 4, share: 0.3}, {share: 0.5}]    # 1 -> 4 -> 8

Each round has a part of the arm's budget, divided equally among its experts, so an arm in rounds
and one that branches at once cost the same. A child starts from its parent's finished files, in the
dtype they are saved in (the seed's), with a fresh optimizer. Inner experts are ordinary jobs,
`<allocation>/round-<i>/<expert>`, and can serve as any other.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xelm.errors import UserError

if TYPE_CHECKING:
    from xelm.allocation.settings import AllocationSettings
    from xelm.training.job import Job
    from xelm.training.settings import ArmSettings

SEED = "models/seed"
_INNER = re.compile(r"/round-\d+/[^/]+$")


class Round(BaseModel):
    """One round of branching; the last of an allocation has neither `k` nor `groups`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int | None = Field(None, ge=1)
    """Groups of languages, down the allocation's typological tree."""
    groups: list[list[str]] | None = Field(None, min_length=1)
    """Or the groups themselves; together they hold every language once."""
    share: float | None = Field(None, gt=0, le=1)
    """Part of the arm's budget; rounds that say nothing divide what is left equally."""
    training: dict[str, Any] = {}
    """Settings of this round over the arm's (training/settings.py)."""

    @model_validator(mode="after")
    def _one_way(self) -> "Round":
        if self.k is not None and self.groups is not None:
            raise ValueError("give `k` or `groups`, not both")
        return self

    @property
    def is_last(self) -> bool:
        """Is this the allocation itself?"""
        return self.k is None and self.groups is None


def check(name: str, rounds: Sequence[Round]) -> None:
    """Raise ValueError where the rounds of an allocation make no sequence."""
    if len(rounds) < 2:
        raise ValueError(f"rounds.{name}: give two rounds or more; the last is the allocation")
    if not rounds[-1].is_last:
        raise ValueError(
            f"rounds.{name}: the last round is allocation `{name}` itself and has no k or groups"
        )
    for number, each in enumerate(rounds[:-1], start=1):
        if each.is_last:
            raise ValueError(f"rounds.{name}: round {number} has neither `k` nor `groups`")
    shares(rounds)


def shares(rounds: Sequence[Round]) -> list[float]:
    """Part of the budget of each round; they sum to one, or ValueError."""
    given = sum(each.share or 0.0 for each in rounds)
    silent = sum(each.share is None for each in rounds)
    if (silent and given >= 1.0) or (not silent and abs(given - 1.0) > 1e-6):
        raise ValueError(f"rounds: the shares sum to {given:g}; they must sum to 1")
    rest = (1.0 - given) / silent if silent else 0.0
    return [rest if each.share is None else each.share for each in rounds]


@dataclass(frozen=True)
class Member:
    """One expert of a round."""

    job: str
    """`<allocation>/round-1/en-es`; of the last round `<allocation>/en-es`."""
    share: str
    """Its share file, relative to the run."""
    parent: str
    """Folder of the model it branches from, relative to the run."""
    tokens: Mapping[str, int]
    """Tokens of its share by language."""


def members(
    run: Path, name: str, rounds: Sequence[Round], settings: "AllocationSettings"
) -> list[list[Member]]:
    """The experts of every round of an allocation that exists; writes the inner rounds' shares.

    A child's parent is the expert of the round before that has most of its text.

    Raises:
        UserError: groups that do not hold every language once.
    """
    from xelm.corpus.shards import TokenShards

    shards = TokenShards(Path(run) / "corpus", "train")
    found: list[list[Member]] = []
    for number, each in enumerate(rounds[:-1], start=1):
        groups = _groups(each, name, number, shards, settings)
        place = f"allocations/{name}.rounds/{number}"
        team = _write(Path(run), shards, place, groups)
        found.append(_branched(team, f"{name}/round-{number}", place, found))
    found.append(_branched(_last(Path(run), name), name, f"allocations/{name}/shares", found))
    return found


def _groups(
    each: Round, name: str, number: int, shards: Any, settings: "AllocationSettings"
) -> list[list[str]]:
    """The groups of languages of an inner round."""
    if each.groups is not None:
        from xelm.corpus.languages import canonical

        groups = [[canonical(code) for code in group] for group in each.groups]
        _require_cover(f"rounds.{name}, round {number}", groups, shards.languages)
        return groups
    assert each.k is not None
    from xelm.allocation.typology import groups as typological

    if each.k > len(shards.languages):
        raise UserError(
            f"rounds.{name}, round {number}: {each.k} groups of {len(shards.languages)} "
            "languages; give a smaller k"
        )
    sizes = {code: float(len(shards.tokens(code))) for code in shards.languages}
    tree = typological(
        shards.languages,
        each.k,
        settings.pairing,
        sizes if settings.limit == "tokens" else None,
        settings.script_weight,
    )
    return [list(group) for group in tree.groups]


def _require_cover(where: str, groups: Sequence[Sequence[str]], languages: Sequence[str]) -> None:
    given = [code for group in groups for code in group]
    for code in languages:
        if given.count(code) != 1:
            times = "in no group" if code not in given else "in more than one group"
            raise UserError(f"{where}: language {code!r} is {times}; each must be in one")
    for code in given:
        if code not in languages:
            raise UserError(f"{where}: the corpus has no language {code!r}; leave it out")


def _write(
    run: Path, shards: Any, place: str, groups: Sequence[Sequence[str]]
) -> dict[str, dict[str, int]]:
    """Share files of an inner round; expert -> language -> tokens."""
    from xelm.allocation.result import by_groups
    from xelm.corpus.share import Share

    team = {}
    for expert, documents in by_groups(groups).items():
        share, path = Share.of(shards, documents), run / place / f"{expert}.json"
        if not path.is_file():
            share.save(path)
        team[expert] = {code: share.token_count(code) for code in share.languages}
    return team


def _last(run: Path, name: str) -> dict[str, dict[str, int]]:
    """Expert -> language -> tokens of the allocation itself."""
    from xelm.storage import atomic

    value = atomic.read_json(run / "allocations" / name / "allocation.json")
    return {expert: dict(about["languages"]) for expert, about in value["experts"].items()}


def _branched(
    team: Mapping[str, Mapping[str, int]], prefix: str, place: str, before: list[list[Member]]
) -> list[Member]:
    return [
        Member(
            job=f"{prefix}/{expert}",
            share=f"{place}/{expert}.json",
            parent=_parent(tokens, before[-1]) if before else SEED,
            tokens=tokens,
        )
        for expert, tokens in team.items()
    ]


def _parent(tokens: Mapping[str, int], candidates: Sequence[Member]) -> str:
    """Folder of the candidate with most of these tokens; of equals the first."""

    def common(candidate: Member) -> int:
        return sum(min(n, candidate.tokens.get(code, 0)) for code, n in tokens.items())

    return f"models/{max(candidates, key=common).job}"


def jobs(
    run: Path,
    name: str,
    rounds: Sequence[Round],
    allocation: "AllocationSettings",
    settings: "ArmSettings",
    *,
    windows: int,
    context: int,
    order: int = 0,
    prefix: str = "",
    published: bool = False,
) -> list["Job"]:
    """All jobs of an arm in rounds, parents before children, `windows` in all.

    Args:
        prefix: before the jobs' names (`orders/1/`).
        published: same number of steps in every round, the batch divided by its experts.
    """
    from xelm.training.job import divided_batch, plan

    teams = members(run, name, rounds, allocation)
    found = []
    for each, team, amount in zip(rounds, teams, _windows(rounds, windows), strict=True):
        used = _changed(settings, each.training, name)
        if published:
            used = used.model_copy(update={"batch": divided_batch(used.batch, len(team))})
        for number, member in enumerate(team):
            part = amount // len(team) + (number < amount % len(team))
            found.append(
                plan(
                    prefix + member.job,
                    tokens=part * context,
                    context=context,
                    settings=used,
                    share=member.share,
                    parent=_prefixed(member.parent, prefix),
                    order_seed=order,
                )
            )
    return found


def _changed(settings: "ArmSettings", changes: Mapping[str, Any], name: str) -> "ArmSettings":
    from pydantic import ValidationError

    try:
        return type(settings)(**{**settings.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"rounds.{name}: training.{key}: {first['msg']}") from None


def _prefixed(parent: str, prefix: str) -> str:
    if parent == SEED:
        return parent
    return f"models/{prefix}{parent.removeprefix('models/')}"


def _windows(rounds: Sequence[Round], windows: int) -> list[int]:
    """Whole windows of each round that sum to `windows`, by cumulated shares."""
    ends, total = [0], 0.0
    for share in shares(rounds):
        total += share
        ends.append(round(total * windows))
    return [end - start for start, end in pairwise(ends)]


def is_inner(job: str) -> bool:
    """Is this the name of an expert that others branched from, and no arm's own?"""
    return _INNER.search(job) is not None


def after(job: "Job", names: Sequence[str]) -> tuple[str, ...]:
    """The jobs among `names` that must have ended before `job` may start: its parent's."""
    parent = (job.parent or "").removeprefix("models/")
    return (parent,) if parent in names else ()
