"""The table and the picture of `routers.py`, from what it kept in docs/results/routers.json."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from xelm.reporting import plots
from xelm.reporting.gains import Gain

Results = Mapping[str, Any]


def table(results: Results, allocation: str) -> str:
    """Routers as rows: the choice made on dev, and held-out bits per byte for every m."""
    about = results["allocations"][allocation]
    rows, k = about["rows"], about["k"]
    kept = [
        m for m in ("1", "2", "4", "k") if any(m in places for places in about["chosen"].values())
    ]
    heads = " | ".join(f"m = {m if m != 'k' else k}" for m in kept)
    lines = [
        f"| router | T | exponent | m | dev | held-out | against own | {heads} |",
        "|---|---:|---:|---:|---:|---:|---:|" + "---:|" * len(kept),
    ]
    dev, heldout = (fmean(about["own"][split].values()) for split in ("dev", "heldout"))
    empty = " |" * (len(kept) - 1)
    lines.append(f"| language (own) | | | 1 | {dev:.4f} | {heldout:.4f} | | {heldout:.4f} |{empty}")
    order = sorted(about["chosen"], key=lambda one: rows[about["chosen"][one]["any"]]["dev"])
    for router in order:
        places = about["chosen"][router]
        best = rows[places["any"]]
        change = best["heldout"] / heldout - 1
        cells = " | ".join(f"{rows[places[m]]['heldout']:.4f}" if m in places else "" for m in kept)
        temperature = "" if router == "uniform" else f"{best['temperature']:g}"
        exponent = best["exponent"] if best["kind"] == "tfidf" else ""
        lines.append(
            f"| {router} | {temperature} | {exponent} | {best['top_m'] or k} | {best['dev']:.4f} | "
            f"{best['heldout']:.4f} | {change:+.2%} | {cells} |"
        )
    return "\n".join(lines)


def picture(results: Results, allocation: str, path: Path) -> None:
    """Gain over the known language's owner against temperature, all experts mixed."""
    about = results["allocations"][allocation]
    own = fmean(about["own"]["heldout"].values())
    series: dict[str, list[tuple[float, Gain]]] = {}
    for row in about["rows"]:
        if row["top_m"] is None and row["kind"] != "uniform":
            power = f", exponent {row['exponent']}" if row["kind"] == "tfidf" else ""
            label = f"{row['kind']}{' over ' + row['terms'] if row['terms'] else ''}{power}"
            gain = Gain(100 * (1 - row["heldout"] / own))
            series.setdefault(label, []).append((row["temperature"], gain))
    plots.gain_against(series, "temperature T, all experts mixed", path, against="own")
