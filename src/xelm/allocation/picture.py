"""An allocation as a picture: languages by experts, how much of each language is where."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xelm.corpus import languages as codes


def heat_map(
    languages: Sequence[str], names: Sequence[str], tokens: npt.NDArray[np.int64], path: Path
) -> None:
    """Share of each language's tokens [languages, k] with every expert; languages of one expert
    stand together. The format follows the file's ending."""
    from matplotlib.figure import Figure

    share = tokens / np.maximum(tokens.sum(axis=1, keepdims=True), 1)
    order = sorted(range(len(languages)), key=lambda row: (share[row].argmax(), -share[row].max()))
    figure = Figure(
        figsize=(2.4 + 0.55 * len(names), 1.6 + 0.3 * len(languages)), layout="constrained"
    )
    axes = figure.add_subplot()
    axes.imshow(share[order], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    labels = [f"{codes.name(languages[row])}  {languages[row]}" for row in order]
    axes.set_yticks(range(len(languages)), labels)
    for row, source in enumerate(order):
        for column, value in enumerate(share[source]):
            if value >= 0.005:
                colour = "white" if value > 0.6 else "0.2"
                axes.text(
                    column, row, f"{value:.0%}", ha="center", va="center", color=colour, size=7
                )
    axes.set_title("Share of each language's tokens by expert", loc="left", size=10)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.savefig(path, dpi=130)
