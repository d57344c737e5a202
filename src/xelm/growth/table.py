"""The report of an addition on a terminal: donors, the new language's arms, the old languages."""

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xelm.corpus import languages as codes
from xelm.growth.comparison import Comparison
from xelm.growth.history import Entry
from xelm.growth.prune import Pruned


def render(made: Comparison) -> RenderableType:
    """The whole report."""
    return Group(
        donors(made), arms(made), old(made), *(Text(line) for line in sentences(made)), Text("")
    )


def donors(made: Comparison) -> Table:
    """Who predicts a sample of the new text best, and how far its languages are by typology."""
    about = made.donors
    distances = dict(about["nearest"])
    probed = any(candidate["probed"] is not None for candidate in about["candidates"])
    table = _table(f"Donors for {codes.name(made.language)}, bits per byte of a sample")
    table.add_column("donor")
    for column in ("as it is", "after a probe")[: 1 + probed]:
        table.add_column(column, justify="right")
    table.add_column("nearest of its languages")
    for candidate in about["candidates"]:
        own = sorted((distances[c], c) for c in candidate["languages"] if c in distances)
        chosen = " *" if candidate["name"] == made.parent else ""
        figures = [candidate["bits_per_byte"], candidate["probed"]][: 1 + probed]
        table.add_row(
            f"{candidate['name']}{chosen}",
            *(f"{figure:.3f}" if figure is not None else "" for figure in figures),
            f"{own[0][1]} ({own[0][0]:.3f})" if own else "",
            style="bold" if chosen else "",
        )
    nearest = about["nearest"]
    said = f"nearest by typology: {nearest[0][0]}" if nearest else about["note"]
    table.caption = f"* chosen; {said}"
    return table


def arms(made: Comparison) -> Table:
    """Bits per byte of the new language's held-out text; the best marked."""
    table = _table(f"{codes.name(made.language)}, held-out text")
    table.add_column("arm")
    for column in ("bits/byte", "tokens", f"of them {made.language}"):
        table.add_column(column, justify="right")
    best = min(arm.bits_per_byte for arm in made.arms)
    for arm in made.arms:
        row = [arm.name, f"{arm.bits_per_byte:.4f}", _count(arm.tokens), _count(arm.new_tokens)]
        table.add_row(*row, style="bold" if arm.bits_per_byte == best else "")
    table.add_row("routed, language not told", f"{made.routed:.4f}", "", "")
    return table


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def old(made: Comparison) -> Table | Text:
    """Old languages before and after, bits per byte."""
    if not made.old:
        return Text("")
    table = _table(f"Old languages, bits per byte, {made.old_text}")
    table.add_column("")
    widest = max(len(each.dense) for each in made.old.values())
    dense = ("dense\nbefore", "dense\nafter", "dense\nreplay")[:widest]
    titles = ("own\nbefore", "own\nafter", "routed\nbefore", "routed\nafter", *dense)
    for title in (*titles, "newly\nrouted"):
        table.add_column(title, justify="right")
    figures = {code: (*each.own, *each.routed, *each.dense) for code, each in made.old.items()}
    for language, each in made.old.items():
        changed = each.own[0] != each.own[1]
        row = [f"{figure:.3f}" for figure in figures[language]]
        went = f"{each.newly_routed}/{each.documents}" if each.newly_routed else "0"
        table.add_row(language, *row, went, style="bold red" if changed else "")
    means = [sum(column) / len(figures) for column in zip(*figures.values(), strict=True)]
    table.add_section()
    table.add_row("mean", *(f"{mean:.3f}" for mean in means), "")
    return table


def sentences(made: Comparison) -> Iterator[str]:
    """What the tables mean, one line each."""
    if made.old:
        same = sum(each.own[0] == each.own[1] for each in made.old.values())
        yield (
            f"Old languages under their own experts: the same to the last digit in {same} of "
            f"{len(made.old)}."
        )
        went, there = made.newly_routed()
        yield f"Old documents that now go to {made.expert} first: {went} of {there}."
    right, all_ = made.recognised
    yield f"New held-out documents that go to {made.expert} first: {right} of {all_}."
    rates = dict(made.bytes_per_token)
    mine = rates.pop(made.language)
    others = f", {sum(rates.values()) / len(rates):.2f} in the others" if rates else ""
    yield f"Bytes per token: {mine:.2f} in {made.language}{others}."
    if made.blind is not None:
        yield f"Part of the new text that the router's embedding cannot see: {made.blind:.1%}."
    for note in made.notes:
        yield f"Note: {note}."


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )


def log(entries: list[Entry]) -> Table:
    """`xelm log`: what was done, newest first."""
    table = _table("")
    for column in ("revision", "when (UTC)", "what", "expert", "languages", "from", "tokens"):
        table.add_column(column, justify="right" if column in ("revision", "tokens") else "left")
    for entry in reversed(entries):
        about = entry.details
        tokens = sum((about.get("tokens") or {}).values())
        table.add_row(
            f"{'* ' if entry.current else ''}{entry.revision}",
            entry.time.replace("T", " ").removesuffix("Z"),
            _what(entry),
            str(about.get("expert") or " ".join(about.get("experts", []))),
            " ".join(about.get("languages") or []),
            str(about.get("parent") or ""),
            _count(tokens),
        )
    return table


def _what(entry: Entry) -> str:
    of = entry.details.get("checked_out")
    return f"{entry.action} {of}" if of else entry.action


def pruned(found: list[Pruned], dry_run: bool) -> Iterator[str]:
    """`xelm prune`: one line a folder, and the sum."""
    for each in found:
        yield f"{each.folder}: {size(each.size)}"
    verb = "would be removed" if dry_run else "removed"
    frees = sum(each.frees for each in found)
    total = sum(each.size for each in found)
    yield f"{len(found)} folder(s), {size(total)} {verb}, {size(frees)} freed" + (
        "" if frees == total else " (other hard links keep the rest)"
    )


def size(count: int) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count = count / 1000  # type: ignore[assignment]
    return f"{count:.2f} GB"
