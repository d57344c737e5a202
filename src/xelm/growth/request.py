"""What a user asks of `xelm add`: every option, its meaning and its default."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xelm.growth.text import NewText


@dataclass(frozen=True)
class Request:
    """What the user asks for."""

    bundle: Path
    text: NewText
    parent: str = "auto"
    """`auto`, an expert's name, or `seed`."""
    with_donor: float = 0.5
    """Share of the donor's text in what the expert reads, where there is any."""
    tokens: int | None = None
    """Budget of the expert; None is two epochs of the new text and its kin."""
    probe: int = 0
    """Tokens that every candidate is trained on before `auto` compares them; 0 compares them as
    they are."""
    name: str | None = None
    """Of the expert; None is the language."""
    controls: bool = True
    """Train also from the seed, and dense on the same windows with and without replay."""
    replay: float = 0.5
    """Share of old languages in what dense with replay reads."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Over those that the parent was trained with (xelm.training.settings)."""
    context: int | None = None
    run: Path | None = None
    seed: Path | None = None
    dense: Path | None = None
    work: Path | None = None
    workers: int | None = None
    """Processes to train in; 0 trains here; None is one a core, or one a GPU."""
    device: str = "cpu"
    old_text: Sequence[str] | None = None
    """Held-out text of the old languages; None is the run's, else that of xelm's reader."""
    old_bytes: int = 3_000
    """Of each old language that models score, before and after; the router reads more."""

    def identity(self) -> dict[str, Any]:
        """What decides the result: the same means the same work folder."""
        value = asdict(self)
        for key in ("work", "workers", "device", "controls", "old_text", "old_bytes", "replay"):
            value.pop(key)
        value["text"] = {"language": self.text.language, "files": self.text.sizes()}
        for key in ("bundle", "run", "seed", "dense"):
            value[key] = None if value[key] is None else str(Path(value[key]).resolve())
        value["settings"] = dict(self.settings)
        return value
