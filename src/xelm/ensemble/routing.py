"""The settings of routing: how weights are made, and what is done with them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xelm.errors import UserError

Kind = Literal["unigram", "tfidf", "posterior", "language", "uniform", "fixed"]


class Routing(BaseModel):
    """Stored in a bundle's xelm.json (`router.kind`, `router.settings`); any field can be
    overridden when the bundle is loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "unigram"
    temperature: float | None = Field(None, gt=0)
    """T; None is .1 for tfidf, 1 (Bayes) for unigram and posterior."""
    exponent: Literal[2, 4] = 2
    """Of the distance (tfidf): 2 in the paper, 4 in the released code."""
    smoothing: float = Field(0.5, gt=0)
    """Pseudo-count of every piece (unigram)."""
    weights: dict[str, float] | None = None
    """Expert -> weight (fixed)."""
    language: str | None = None
    """The known language (language)."""
    abstain: bool = True
    """Let the seed answer when nothing fits (unigram, tfidf), where the bundle carries it."""
    top_m: int | None = Field(None, ge=1)
    """Experts mixed at a time; None mixes all whose weight is not negligible."""
    negligible: float = Field(1e-6, ge=0, lt=1)
    """Weights below this are dropped, so that their experts need not run; the largest never is."""
    route_every: Literal["token", "sequence"] = "token"
    """`sequence`: the weights are settled by the prompt, or by the first `route_tokens` tokens."""
    route_tokens: int | None = Field(None, ge=1)
    """With `sequence`: tokens after which the weights stay; None is the whole first call."""

    def override(self, **changes: Any) -> "Routing":
        """The same with the changes that are not None; UserError naming a setting that is wrong."""
        given = {key: value for key, value in changes.items() if value is not None}
        if "kind" in given and given["kind"] != self.kind and "temperature" not in given:
            given["temperature"] = None  # one kind's temperature means nothing to another
        return parse({**self.model_dump(), **given})


def parse(values: dict[str, Any], where: str = "routing") -> Routing:
    """Validate plain values; UserError naming the setting."""
    try:
        return Routing.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {key}: {first['msg']}; see xelm.ensemble.routing") from None
