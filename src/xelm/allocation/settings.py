"""What the user may say about an allocation; an entry of the recipe's `allocations:` block."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

Method = Literal["typology", "tfidf", "language", "random"]


class AllocationSettings(BaseModel):
    """Which expert gets which document. Keys of other methods than the chosen one are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method
    """One file a method in `xelm/allocation/`; docs/allocation has a page on each."""
    k: int | None = Field(default=None, ge=1)
    """Experts; `language` needs none, it has one a language."""
    seed: int = 0
    """Of whatever is drawn at random."""

    pairing: Literal["published", "average", "balanced"] = "published"
    """typology: how languages become groups."""
    script_weight: float = Field(default=0.0, ge=0, le=1)
    """typology: part of the distance that is the scripts' rather than the grammar's."""
    limit: Literal["languages", "tokens"] = "languages"
    """typology, balanced: what a group's size is counted in."""
    slack: float = Field(default=0.1, ge=0)
    """typology, balanced by tokens: room above equal parts."""
    parents: dict[str, str] = Field(default={})
    """typology: language -> the language whose features stand in for its own."""

    terms: Literal["pieces", "words"] = "pieces"
    """tfidf: the tokenizer's pieces, or words as published."""
    dimensions: int = Field(default=100, ge=2)
    """tfidf: width of the embedding."""
    balance: Literal["documents", "tokens"] = "documents"
    """tfidf: what every cluster gets the same amount of."""
    start: Literal["searched", "k-means++"] = "searched"
    """tfidf: how clustering begins; `searched` hardly depends on the seed."""
    starts: int = Field(default=5, ge=1)
    """tfidf: starts that compete; the one of least inertia is kept."""
    sample: int = Field(default=50_000, ge=1)
    """tfidf: documents that embedding and centroids are fitted on; bounds memory."""

    @model_validator(mode="after")
    def _only_its_own(self) -> "AllocationSettings":
        # a default written out (as in a run's run.yaml) says nothing and is no mistake
        said = {key for key, field in type(self).model_fields.items() if _differs(self, key, field)}
        strangers = said - {"method", "k", "seed"} - _OWN[self.method]
        if strangers:
            raise ValueError(f"`{min(strangers)}` is no setting of the method {self.method}")
        if (self.k is None) != (self.method == "language"):
            raise ValueError(
                "`k` is not for the method language: it has one expert a language"
                if self.method == "language"
                else "`k`, the number of experts, is missing"
            )
        return self


def _differs(settings: AllocationSettings, key: str, field: FieldInfo) -> bool:
    return bool(getattr(settings, key) != field.default)


_OWN: dict[str, set[str]] = {
    "typology": {"pairing", "script_weight", "limit", "slack", "parents"},
    "tfidf": {"terms", "dimensions", "balance", "start", "starts", "sample"},
    "language": set(),
    "random": set(),
}
