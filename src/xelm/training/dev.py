"""A quick look at dev text while training: is the curve flat yet?

An estimate on a few windows per language (loss per token times tokens per byte of that language's
dev split), cheap enough to take often; the figures of a report come from `models.scoring`.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.training.engine import Engine
from xelm.training.settings import ArmSettings


@dataclass(frozen=True)
class DevWindows:
    """Evenly spaced dev windows of each language, and how many tokens a byte of it takes."""

    windows: dict[str, np.ndarray]
    tokens_per_byte: dict[str, float]

    @classmethod
    def open(cls, corpus: Path, context: int, settings: ArmSettings) -> "DevWindows | None":
        """The dev windows of a corpus, or None when it has no dev split (a packed expert)."""
        if not (corpus / "dev").is_dir():
            return None
        shards = TokenShards(corpus, "dev")
        share = Share.everything(shards)
        windows, rates = {}, {}
        for language in share.languages:
            count = share.window_count(language, context)
            if count:
                chosen = np.unique(np.linspace(0, count - 1, settings.dev_windows).astype(int))
                windows[language] = np.stack(
                    [share.window(language, int(index), context) for index in chosen]
                )
                rates[language] = share.token_count(language) / int(shards.bytes(language).sum())
        return cls(windows, rates)

    def bits_per_byte(self, engine: Engine) -> dict[str, float]:
        """Language -> estimated bits per byte under the engine's present weights."""
        return {
            language: engine.mean_loss(windows) / math.log(2) * self.tokens_per_byte[language]
            for language, windows in self.windows.items()
        }
