"""What the user may say about the corpus; the recipe's `corpus:` block."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from xelm.corpus import languages as codes

SAMPLE = "sample"


class SplitLimits(BaseModel):
    """Bytes of text per language at most, per split; None is no limit."""

    model_config = ConfigDict(extra="forbid")

    train: int | None = Field(default=None, gt=0)
    dev: int | None = Field(default=None, gt=0)
    heldout: int | None = Field(default=None, gt=0)


class CorpusSettings(BaseModel):
    """Where the text is, how it is split, and how it becomes tokens."""

    model_config = ConfigDict(extra="forbid")

    train: list[str] | Literal["sample"] = Field(
        description="files, folders or globs of .jsonl or .txt (.gz, .zst); or the word `sample`"
    )
    dev: list[str] | Literal["sample"] | None = Field(
        default=None, description="own dev files; else split from train by group"
    )
    heldout: list[str] | Literal["sample"] | None = Field(
        default=None, description="own held-out files; else split from train by group"
    )
    languages: list[str] | None = Field(
        default=None, description="language codes to keep; else all that train has"
    )
    sources: list[str] | None = Field(
        default=None, description="keep documents of these sources (their `source` field) only"
    )
    dev_share: float = Field(default=0.02, gt=0, lt=0.5, description="share of groups, if split")
    heldout_share: float = Field(default=0.05, gt=0, lt=0.5, description="share of groups")
    leaks: Literal["auto", "refuse", "drop"] = Field(
        default="auto",
        description="a train document that repeats a dev or held-out paragraph: refuse to go on, "
        "or drop it and count; auto: refuse for own files, drop where we split",
    )
    vocabulary: int = Field(default=8192, ge=257, description="entries, if a tokenizer is trained")
    tokenizer: str | None = Field(
        default=None, description="folder, hub id or `sample` (its seed's); else trained on train"
    )
    context: int = Field(default=256, ge=8, description="tokens of one window")
    skip_bad: bool = Field(default=False, description="leave bad lines out and count them")
    max_bytes_per_language: SplitLimits = Field(
        default_factory=SplitLimits, description="caps; whole groups in a fixed random order"
    )

    @field_validator("train", "dev", "heldout", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) and value != SAMPLE else value

    @field_validator("train", "dev", "heldout")
    @classmethod
    def _not_empty(cls, value: list[str] | str | None) -> list[str] | str | None:
        if value == []:
            raise ValueError("an empty list; give at least one file, folder or glob")
        return value

    @field_validator("languages")
    @classmethod
    def _canonical(cls, value: list[str] | None) -> list[str] | None:
        if value is None:
            return None
        if not value:
            raise ValueError("an empty list; leave the key out to keep all languages")
        return sorted({codes.canonical(code) for code in value})

    @model_validator(mode="after")
    def _sample_has_its_own_splits(self) -> "CorpusSettings":
        if self.train == SAMPLE:
            self.dev = self.dev or SAMPLE
            self.heldout = self.heldout or SAMPLE
        return self
