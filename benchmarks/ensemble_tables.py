"""Tables and the picture of the ensemble, from what ensemble.py, routing.py and routers.py kept."""

import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from xelm.corpus.languages import name as language_name
from xelm.reporting import plots
from xelm.reporting.gains import Gain

Results = Mapping[str, Any]
PARTS = {
    "router": "router",
    "exact": "largest difference in log-probability, float32",
    "generate": "generation, one stream",
    "batch": "generation, batch",
    "score": "scoring",
    "memory": "memory, k = 16",
}
KINDS = ["documents", "sentences", "100 bytes", "50 bytes", "20 bytes", "10 bytes"]
_BAR = re.compile(r"(.*) \(bar ([\d.]+)\)")


def cost(results: Results) -> str:
    """What ensemble.py measured, and the bar where there is one."""
    lines = ["| | | measured | bar |", "|---|---|---:|---:|"]
    for part, title in PARTS.items():
        for label, value in results.get(part, {}).items():
            found = _BAR.fullmatch(label)
            text, bar = found.groups() if found else (label, "")
            lines.append(f"| {title} | {text} | {_figure(value)} | {bar} |")
            title = ""
    return "\n".join(lines)


def _figure(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def routing(results: Results) -> str:
    """Share of texts whose expert is first: kinds of text as rows, who guessed as columns."""
    found = {who: results["accuracy"][who] for who in ("unigram", "tfidf", "lingua")}
    lines = ["| text | number | " + " | ".join(found) + " |", "|---|---:|" + "---:|" * len(found)]
    for kind in KINDS:
        number = results["texts"][kind]
        cells = " | ".join(f"{100 * found[who][kind]['all']:.2f}" for who in found)
        lines.append(f"| {kind} | {number:,} | {cells} |")
    return "\n".join(lines)


def routing_by_language(results: Results, who: str, other: str) -> str:
    """Languages as rows, kinds of text as columns; the other's figure behind the stroke."""
    ours, theirs = results["accuracy"][who], results["accuracy"][other]
    kinds = KINDS
    lines = ["| language | " + " | ".join(kinds) + " |", "|---|" + "---:|" * len(kinds)]
    for code in [code for code in ours[kinds[0]] if code != "all"]:
        pairs = [(100 * ours[kind][code], 100 * theirs[kind][code]) for kind in kinds]
        cells = " | ".join(f"{a:.1f} / {b:.1f}" for a, b in pairs)
        lines.append(f"| {language_name(code)} | {cells} |")
    return "\n".join(lines)


def routers(results: Results, allocation: str) -> str:
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
    plots.gain_against(series, "temperature T, all experts mixed", path, against="the owner")
