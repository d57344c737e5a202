"""What the user may say about evaluation; the recipe's `evaluation:` block."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Reading:
    """How models are run to be scored."""

    device: str = "cpu"
    dtype: str = "float32"
    compile: bool = False

    @property
    def batch_tokens(self) -> int:
        """Positions of one forward pass."""
        return 65_536 if self.device.startswith("cuda") else 4096

    def rows(self, context: int) -> int:
        """Whole windows of one forward pass."""
        return max(1, self.batch_tokens // context)

    def as_json(self) -> dict[str, Any]:
        """Arguments of a scoring task."""
        return asdict(self)


PLAIN = Reading()
"""In float32 on a CPU, as it comes."""


class EvaluationSettings(BaseModel):
    """What is measured on held-out text; what is left open here is chosen on dev."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    matrix: bool = True
    """Score every expert on every language (the forgetting matrix)."""
    routed: bool = True
    """Score `top1` and `mixture` by the router, besides `own`."""
    routed_bytes: int | None = Field(None, gt=0)
    """Bytes a language for matrix and routed arms; None is all of them."""
    routed_dev_bytes: int | None = Field(None, gt=0)
    """Bytes of dev a language that the router is chosen on; None: as `routed_bytes`."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """What a model computes in when it is scored (softmax: always float32); `auto`: bfloat16 where
    that runs natively, as in training."""
    compile: bool = False
    """Score through torch.compile: for millions of tokens on a CPU; the first ones take longer."""
    router: Literal["tfidf", "unigram", "posterior"] | None = None
    """Kind of router; None: tfidf or unigram, chosen on dev."""
    temperature: float | None = Field(None, gt=0)
    """Of the router's weights; None: chosen on dev."""
    top_m: int | None = Field(None, gt=0)
    """Experts that the mixture keeps; None: chosen on dev."""
    resamples: int = Field(20_000, ge=100)
    """Resamples of the paired bootstrap; more are taken where so few could prove nothing."""
    resample: Literal["documents", "groups"] = "documents"
    """What is drawn: single documents, or groups of them (a whole work): stricter."""
    alpha: float = Field(0.01, gt=0, lt=1)
    """Level of significance, after Holm's correction over languages."""
    sample_tokens: int = Field(40, ge=0)
    """Tokens of generated text a language in the report; 0 for none."""

    def routed_cap(self, split: str) -> int | None:
        """Bytes a language of a split that every expert reads; None is all of them."""
        if split == "dev" and self.routed_dev_bytes is not None:
            return self.routed_dev_bytes
        return self.routed_bytes

    def reading(self, device: str) -> Reading:
        """How models are run to be scored on a device; `auto` is resolved for all tasks alike."""
        if self.dtype != "auto":
            return Reading(device, self.dtype, self.compile)
        from xelm.models import machine

        dtype = str(machine.dtype("auto", device)).removeprefix("torch.")
        return Reading(device, dtype, self.compile)
