"""What stands in evaluation/summary.json: all that was measured of a run, in one file.

Reports, plots and model cards are made from it alone. All figures are of held-out text, except what
stands under `dev`, `routed.*.grid` and `sweep`, on which choices were made. Bits per byte: negative
log2-likelihood over raw UTF-8 bytes. A difference is arm minus against: below zero, the arm is
better.
"""

from typing import Any

from typing_extensions import TypedDict  # pydantic reads typing's own from Python 3.12 on only


class Arm(TypedDict):
    """One arm. The seed's tokens, flops and seconds are 0: it is where all budgets begin."""

    bits_per_byte: dict[str, float]
    """language -> sum of bits over sum of bytes; the mean over the arm's data orders."""
    perplexity: dict[str, float]
    """language -> token perplexity (comparable within one tokenizer and language only)."""
    tokens: int
    """Budget: tokens consumed after the seed, repeats counted; of all experts together."""
    flops: float
    seconds: float
    """Training seconds summed over workers (first data order)."""
    batch: int | None
    """Windows a step (of one expert); None for the seed, and where experts have each their own."""
    learning_rate: float | None
    """Likewise; each expert's own are in its ledger and under `sweep`."""
    orders: list[int]
    """Data orders that the figures are the mean of; [] for the seed."""
    by_order: dict[str, float]
    """order -> bits per byte, mean over languages."""
    documents: str
    """`all` held-out documents, or `routed`: the first `routed_bytes` of each language only;
    beside such an arm compare others by `routed_arms`."""


class Comparison(TypedDict):
    """Two arms in one language, on the same documents: paired bootstrap, Holm over languages."""

    arm: str
    against: str
    language: str
    difference: float
    low: float
    high: float
    """Bounds of the interval of `significance.confidence`, not adjusted."""
    p: float
    p_adjusted: float
    """Holm over the languages of this pair of arms; below `significance.alpha`: significant."""


class MeanComparison(TypedDict):
    """Two arms over all languages: the mean of the languages' differences."""

    arm: str
    against: str
    difference: float
    low: float
    high: float
    p: float
    languages: int
    better: int
    """Languages in which the arm has fewer bits per byte."""
    significantly_better: int
    significantly_worse: int
    percent: float
    """100 * difference / bits per byte of `against` (both means over languages)."""


class Headline(TypedDict):
    """What the first line says; the arm was chosen on dev."""

    arm: str
    against: str
    text: str
    """One sentence with the figures in it, also when the arm loses."""


class Budgets(TypedDict):
    """Do all arms have the same budget, and did dense-matched see its experts' windows?"""

    equal: bool
    """All arms' tokens lie within one batch (the largest) of each other."""
    tolerance: int
    """That batch in tokens."""
    tokens: dict[str, int]
    """Arm (`dense`, `typology-8`, ...) -> tokens, of the order that differs most."""
    matched: dict[str, bool]
    """dense-matched arm -> its windows' multiset hash is the sum of its experts', in all orders."""
    text: str
    """One sentence for the report's first line."""


class Allocation(TypedDict):
    """Who has what."""

    method: str
    k: int
    experts: dict[str, dict[str, int]]
    """expert -> language -> tokens of its share."""
    owner: dict[str, str]
    """language -> the expert with most of its tokens."""
    measured: dict[str, Any]


class Matrix(TypedDict):
    """Each expert on each language (first data order, the routed documents), and forgetting."""

    bits_per_byte: dict[str, dict[str, float]]
    """expert -> language -> bits per byte."""
    seed: dict[str, float]
    """The seed on the same documents."""
    perplexity: dict[str, dict[str, float]]
    seed_perplexity: dict[str, float]
    own: float
    """Mean over languages of owner minus seed, bits per byte."""
    others: float | None
    """Mean over (expert, language that is less than 1 % of its share) of expert minus seed:
    forgetting, if above 0. None when every expert has every language."""
    others_by_language: dict[str, float]
    others_perplexity: float | None
    """The same in token perplexity, as published (METHOD: +0.77 at k = 4)."""


class Gain(TypedDict):
    """dense -> X-ELM (`own`), bits per byte gained (above zero: fewer bits)."""

    total: dict[str, float]
    """language -> dense minus own."""
    mixture: dict[str, float]
    """language -> dense minus dense-matched: from seeing other text, or in other proportions."""
    separation: dict[str, float]
    """language -> dense-matched minus own: from not sharing parameters."""


class Routed(TypedDict):
    """The router of one allocation's top1 and mixture, chosen on dev."""

    kind: str
    temperature: float
    top_m: int | None
    """None: all experts."""
    grid: list[dict[str, Any]]
    """Tried on dev: {"kind", "temperature", "top_m", "bits_per_byte" (mean over languages)}."""
    first: dict[str, float]
    """language -> share of held-out tokens before which the router put the owner first."""


class Significance(TypedDict):
    """How the comparisons were tested."""

    alpha: float
    confidence: float
    resamples: int
    units: str
    """`documents`, `groups` (documents of one work or page stay together), and orders."""


class Summary(TypedDict):
    """The whole file."""

    languages: list[str]
    arms: dict[str, Arm]
    """`seed`, `dense`, `dense-matched/<allocation>`, `<allocation>/own|top1|mixture`."""
    comparisons: list[Comparison]
    orders: int
    documents: dict[str, int]
    """language -> held-out documents."""

    name: str
    """Of the recipe."""
    bytes: dict[str, int]
    """language -> held-out bytes."""
    headline: Headline | None
    """None when there is no allocation or no control."""
    budgets: Budgets
    means: list[MeanComparison]
    significance: Significance
    allocations: dict[str, Allocation]
    matrix: dict[str, Matrix]
    """allocation -> matrix; {} when `evaluation.matrix` is off."""
    gains: dict[str, Gain]
    """allocation -> gain; mixture and separation are {} without its dense-matched."""
    routed: dict[str, Routed]
    routed_bytes: int | None
    """Held-out bytes a language for matrix and routed arms; None: all."""
    routed_documents: dict[str, int]
    routed_arms: dict[str, dict[str, float]]
    """arm -> language -> bits per byte on the routed documents, for every arm (first order)."""
    dev: dict[str, dict[str, float]]
    """arm -> language -> bits per byte on dev (seed, controls and own arms)."""
    sweep: dict[str, Any] | None
    """training/sweep.json as it is."""
    samples: dict[str, Any]
    """language -> {"prompt": str, "texts": {arm: generated text}}; {} when switched off."""
    seed: dict[str, Any]
    """{"parameters": n, "tokens": n or None (not trained here)}."""
    fingerprint: str
    """Of everything this was computed from."""
