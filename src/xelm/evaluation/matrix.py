"""Each expert on each language; forgetting is what it lost, against the seed, on foreign ones.

A language is foreign to an expert that had next to none of it: clusters of documents always hold a
stray page of everything.
"""

from collections.abc import Mapping
from statistics import fmean

from xelm.evaluation import scores
from xelm.evaluation.arms import bits_of
from xelm.evaluation.arms import perplexity as perplexity_of
from xelm.evaluation.contest import SEED, Contest
from xelm.evaluation.schema import Matrix
from xelm.evaluation.text import documents

Table = dict[str, float]
_STRAY = 0.01


def matrix(contest: Contest, allocation: str) -> Matrix:
    """The matrix of one allocation, first data order, on the routed documents."""
    team = contest.teams[allocation]
    seed, seed_perplexity = _row(contest, SEED)
    rows = {expert: _row(contest, contest.expert(allocation, expert)) for expert in team.experts}
    bits = {expert: row[0] for expert, row in rows.items()}
    perplexity = {expert: row[1] for expert, row in rows.items()}
    foreign = {
        language: [e for e, share in team.experts.items() if is_foreign(language, share)]
        for language in contest.languages
    }
    by_language = {
        language: fmean(bits[e][language] - seed[language] for e in experts)
        for language, experts in foreign.items()
        if experts
    }
    return {
        "bits_per_byte": bits,
        "seed": seed,
        "perplexity": perplexity,
        "seed_perplexity": seed_perplexity,
        "own": fmean(bits[team.owner[c]][c] - seed[c] for c in contest.languages),
        "others": _mean_change(bits, seed, foreign),
        "others_by_language": by_language,
        "others_perplexity": _mean_change(perplexity, seed_perplexity, foreign),
    }


def is_foreign(language: str, share: Mapping[str, int]) -> bool:
    """Is the language less than 1 % of an expert's tokens (language -> tokens)?"""
    return share.get(language, 0) < _STRAY * sum(share.values())


def _mean_change(
    rows: dict[str, Table], seed: Table, foreign: dict[str, list[str]]
) -> float | None:
    """Mean of expert minus seed over all (expert, language outside its share); None: no such."""
    changes = [rows[e][code] - seed[code] for code, experts in foreign.items() for e in experts]
    return fmean(changes) if changes else None


def _row(contest: Contest, model: str) -> tuple[Table, Table]:
    """Bits per byte and perplexity of one model by language."""
    bits: Table = {}
    perplexity: Table = {}
    for language in contest.languages:
        chosen = documents(contest.heldout, language, contest.settings.routed_bytes)
        logs = scores.read(contest.run, model, "heldout", language, chosen)
        total = float(bits_of(logs, chosen).sum())
        bits[language] = total / float(chosen.bytes.sum())
        perplexity[language] = perplexity_of(total, chosen)
    return bits, perplexity
