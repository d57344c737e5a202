"""Tables of growth, heads and rows: of what `growth.py` kept, and of branching in rounds."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from xelm.corpus.languages import name as language_name

Results = Mapping[str, Any]
Table = dict[str, list[Any]]


def parents(found: Results) -> Table:
    """Who each new language branches from, and what that gives on held-out text."""
    head = "language,donor by typology,its expert,auto,probe,from typology's,from auto's,"
    rows = []
    for code, one in found["languages"].items():
        made, chosen = one["trained_from"], one["parents"]
        nearest = one["report"]["donors"]["nearest"]
        figures = [made[chosen["published"]], made[chosen["auto"]]]
        figures += [made.get(chosen.get("probe")), made["seed"]]
        donor = f"{nearest[0][0]} ({nearest[0][1]:.3f})" if nearest else ""
        names = [donor, chosen["published"], chosen["auto"], chosen.get("probe", "")]
        rows.append([language_name(code), *names, *_marked(figures)])
    return {"head": (head + "from the probe's,from the seed").split(","), "rows": rows}


def _marked(figures: Sequence[float | None]) -> list[str]:
    """Four digits each, the least in bold."""
    best = min(figure for figure in figures if figure is not None)
    texts = ["" if figure is None else f"{figure:.4f}" for figure in figures]
    return [f"**{t}**" if f == best else t for t, f in zip(texts, figures, strict=True)]


def arms(found: Results) -> Table:
    """The new language under every arm."""
    titles = ("seed", "{parent} before", "expert from {parent}", "expert from seed")
    titles += ("dense before", "dense, same windows", "dense, with replay")
    rows = []
    for code, one in found["languages"].items():
        report = one["report"]
        figures = {arm["name"]: arm["bits_per_byte"] for arm in report["arms"]}
        named = [title.format(parent=report["parent"]) for title in titles]
        rows.append([language_name(code), *_marked([figures.get(name) for name in named])])
    head = ["language", "seed", "donor before", "expert", "expert from seed", *titles[4:]]
    return {"head": head, "rows": rows}


def forgetting(found: Results) -> Table:
    """Old languages before and after, means of their bits per byte."""
    rows = []
    for code, one in found["languages"].items():
        old = one["report"]["old"].values()
        figures = [[*each["own"], *each["routed"], *each["dense"]] for each in old]
        means = [f"{fmean(column):.4f}" for column in zip(*figures, strict=True)]
        means += [""] * (7 - len(means))  # a run without dense
        same = sum(each["own"][0] == each["own"][1] for each in old)
        went = sum(each["newly_routed"] for each in old)
        there = sum(each["documents"] for each in old)
        rows.append([language_name(code), *means, f"{same} of {len(old)}", f"{went} of {there}"])
    head = "adding,own before,own after,routed before,routed after,dense before,dense after,"
    return {
        "head": (head + "dense with replay,own equal to the last digit,newly routed").split(","),
        "rows": rows,
    }


def routed(found: Results) -> Table:
    """All new languages in one bundle, the language not told."""
    rows = []
    for code, both in found["together"]["new"].items():
        report = found["languages"][code]["report"]
        rates = dict(report["bytes_per_token"])
        mine, blind = rates.pop(code), report["blind"]
        others = f"{fmean(rates.values()):.2f}" if rates else ""
        change = f"{both['routed'] / both['own'] - 1:+.2%}"
        unseen = "" if blind is None else f"{blind:.1%}"
        figures = [f"{both['own']:.4f}", f"{both['routed']:.4f}", change, f"{mine:.2f}", others]
        rows.append([language_name(code), *figures, unseen])
    head = "language,own,routed,routed against own,bytes per token,in the old languages,"
    return {"head": (head + "unseen by the embedding").split(","), "rows": rows}


def recognised(found: Results) -> Table:
    """Which kind of router finds the new languages."""
    new, rows = list(found["languages"]), []
    for name, kinds in found["together"]["recognised"].items():
        for kind, about in kinds.items():
            right = {code: a / max(1, b) for code, (a, b) in about["right"].items()}
            old = [value for code, value in right.items() if code not in new]
            cells = [f"{right[code]:.1%}" if code in right else "" for code in new]
            mean = f"{fmean(old):.2%}" if old else ""
            rows.append(
                [f"{kind}, {name}", *cells, mean, f"{about['old_to_new']} of {about['old']}"]
            )
    head = ["router and text", *map(language_name, new), "old languages", "old to new experts"]
    return {"head": head, "rows": rows}


def rounds(summary: Results, at_once: str = "typology-8", in_rounds: str = "rounds-8") -> Table:
    """Experts reached in rounds against those that branch at once; `*`: significant."""
    arms = ["seed", f"{at_once}/own", f"{in_rounds}/own"]
    figures = [summary["arms"][arm]["bits_per_byte"] for arm in arms]
    certain = {
        row["language"]
        for row in summary["comparisons"]
        if {row["arm"], row["against"]} == set(arms[1:]) and row["p_adjusted"] < 0.01
    }
    rows = []
    for code in summary["languages"]:
        row = [each[code] for each in figures]
        rows.append([language_name(code), *_marked(row), _change(row) + " *" * (code in certain)])
    means = [fmean(each.values()) for each in figures]
    rows.append(["**mean**", *_marked(means), f"**{_change(means)}**"])
    return {
        "head": ["language", "seed", "at once", "in rounds", "rounds against once"],
        "rows": rows,
    }


def _change(row: Sequence[float]) -> str:
    return f"{row[2] / row[1] - 1:+.2%}"


TABLES = (parents, arms, forgetting, routed, recognised)


def markdown(found: Results) -> str:
    """All tables."""
    return "\n\n".join(_lines(table(found)) for table in TABLES)


def _lines(table: Table) -> str:
    head, rows = table["head"], table["rows"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
