"""`xelm tree LANGUAGES`: which languages belong together, and which is nearest to a new one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from xelm.errors import UserError

if TYPE_CHECKING:
    from xelm.allocation.typology_groups import Grouping


def tree(
    languages: Annotated[
        list[str],
        typer.Argument(help="Codes: ISO 639-1, 639-3 or BCP-47.", metavar="LANGUAGE..."),
    ],
    k: Annotated[
        int | None, typer.Option("--k", help="Number of groups; without it, the tree (Newick).")
    ] = None,
    method: Annotated[
        str, typer.Option(help="How groups are made: published, average or balanced.")
    ] = "published",
    nearest: Annotated[
        str | None,
        typer.Option(metavar="LANGUAGE", help="List the donors of this language instead."),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="balanced: limit groups by tokens, not by number of languages. JSON with "
            "language: tokens, or corpus/stats.json of a run.",
        ),
    ] = None,
    slack: Annotated[float, typer.Option(help="Room above equal tokens, as a part.")] = 0.1,
    script_weight: Annotated[
        float, typer.Option(help="Part of the distance that is script's, 0 to 1.")
    ] = 0.0,
    parent: Annotated[
        list[str] | None,
        typer.Option(metavar="LANGUAGE=PARENT", help="Features by hand; may be repeated."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the tree: .svg or .png.")
    ] = None,
    newick: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the tree in Newick format.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Group languages by typology, or list the nearest of one."""
    parents = _parents(parent or [])
    if nearest is not None:
        _print_nearest(nearest, languages, script_weight, parents, json)
        return
    from xelm.allocation import typology_groups, typology_tree
    from xelm.storage import atomic

    grouping = typology_groups.groups(
        languages,
        1 if k is None else k,
        _method(method),
        _tokens(tokens) if tokens else None,
        script_weight,
        slack,
        parents,
    )
    if newick:
        atomic.write_text(newick, typology_tree.newick(grouping))
    if picture:
        _draw(grouping, picture)
    if json:
        _print_json({**grouping.as_json(), "newick": typology_tree.newick(grouping).strip()})
        return
    _tell(grouping.notes)
    if k is None:
        typer.echo(typology_tree.newick(grouping), nl=False)
        return
    width = max(len(" ".join(group)) for group in grouping.groups)
    for group in grouping.groups:
        inside = f"{grouping.within(group):.3f}" if len(group) > 1 else ""
        typer.echo(f"{' '.join(group):{width}}  {inside}".rstrip())


def _draw(grouping: "Grouping", path: Path) -> None:
    from xelm.allocation import typology_tree
    from xelm.allocation.result import by_groups
    from xelm.reporting import plots

    experts = by_groups(grouping.groups)
    owner = {language: name for name, held in experts.items() for language in held}
    plots.language_tree(typology_tree.newick(grouping), owner, path)


def _print_nearest(
    language: str, seen: list[str], script_weight: float, parents: dict[str, str], json: bool
) -> None:
    from xelm.allocation import typology_groups

    found = typology_groups.nearest(language, seen, script_weight, parents)
    _, notes = typology_groups.measure([language, *seen], script_weight, parents)
    if json:
        donors = [{"language": one, "distance": round(apart, 6)} for one, apart in found]
        _print_json({"language": language, "nearest": donors, "notes": notes})
        return
    _tell(notes)
    width = max(len(one) for one, _ in found)
    for one, apart in found:
        typer.echo(f"{one:{width}}  {apart:.3f}")


def _method(name: str) -> Any:
    from xelm.allocation.typology_groups import Method

    if name not in get_args(Method):
        raise UserError(f"--method {name}: must be one of {', '.join(get_args(Method))}")
    return name


def _parents(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for one, (language, _, stands_in) in zip(given, pairs, strict=True):
        if not language or not stands_in:
            raise UserError(f"--parent {one}: write LANGUAGE=PARENT, such as lld=it")
    return {language: stands_in for language, _, stands_in in pairs}


def _tokens(path: Path) -> dict[str, float]:
    from xelm.storage import atomic

    value = atomic.read_json(path)
    if isinstance(value, dict) and isinstance(value.get("splits"), dict):
        value = {one: of["tokens"] for one, of in value["splits"]["train"].items()}
    if not isinstance(value, dict) or not all(isinstance(n, int | float) for n in value.values()):
        raise UserError(f"{path}: must be a JSON object of language: tokens")
    return value


def _print_json(value: dict[str, Any]) -> None:
    from json import dumps

    typer.echo(dumps(value, ensure_ascii=False))


def _tell(notes: tuple[str, ...] | list[str]) -> None:
    for note in notes:
        typer.echo(f"note: {note}", err=True)
