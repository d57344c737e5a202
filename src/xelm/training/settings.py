"""How one arm trains: every number a user can set, with its meaning and its default."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Preserve = Literal["none", "freeze-middle", "l2-to-seed", "revert-middle", "lora"]


class ArmSettings(BaseModel):
    """Settings of one arm (dense, dense-matched, the experts of an allocation, the seed)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: int = Field(8, ge=1)
    """Windows per step."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak of the schedule."""
    schedule: Literal["linear", "cosine", "constant", "wsd"] = "linear"
    """After warm-up: down in a line, by a cosine, not at all, or (warm-up, stable, decay) late."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Part of all steps over which the rate rises from zero."""
    decay_to: float = Field(0.0, ge=0, le=1)
    """Where the schedule ends, as a part of the peak."""
    decay: float = Field(0.3, gt=0, le=1)
    """The part of all steps that `wsd` spends going down."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled, times the learning rate; on matrices only."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's memories."""
    eps: float = Field(1e-8, gt=0)
    """AdamW's epsilon (the paper used 1e-6)."""
    clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 means no clipping."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Set in the model's config wherever it knows a dropout (the paper used 0.1)."""
    alpha: float = Field(1.0, ge=0)
    """Temperature of the languages in a share: probability ~ size^alpha; 1 = as they are."""
    preserve: Preserve = "none"
    """How the seed's ability is kept (training/preserve/)."""
    preserve_strength: float | None = Field(None, ge=0)
    """l2-to-seed: the pull on the middle layers; lora: the rank. Default: the method's own."""
    micro_batch: int = Field(8, ge=1)
    """Windows per forward pass, at most; larger batches accumulate. Arms that share it share the
    compiled graph."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the forward and backward pass; master weights and optimizer are float32 always."""
    compile: bool = True
    """Through torch.compile; one graph serves all experts of a run."""
    threads: int = Field(1, ge=1)
    """Of each process, on a CPU. Results are the same to the bit for the same number only."""
    processes: int = Field(1, ge=1)
    """On a CPU: each takes a part of every batch. One is best for experts side by side, one a
    core for a seed that trains alone. Not with `dropout` or `preserve`; bits as of threads."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    checkpoint_seconds: float = Field(120.0, ge=0)
    """A checkpoint at most this often (and at a stop); 0 means after every step."""
    dev_every: int = Field(0, ge=0)
    """Steps between measurements on dev windows, written to metrics.jsonl; 0 means none."""
    dev_windows: int = Field(4, ge=1)
    """Dev windows per language of such a measurement."""
    log_every: int = Field(0, ge=0)
    """Steps between lines of metrics.jsonl; 0 means about 200 lines for the job."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Also send metrics there; each needs its own package."""

    @model_validator(mode="after")
    def _processes_are_alike(self) -> "ArmSettings":
        if self.processes > 1 and (self.dropout > 0 or self.preserve != "none"):
            raise ValueError("processes: more than one needs dropout: 0 and preserve: none")
        return self

    @property
    def windows_at_once(self) -> int:
        """Of one forward pass: a part of a batch smaller than `micro_batch` is not padded to it."""
        return min(self.micro_batch, -(-self.batch // self.processes))
