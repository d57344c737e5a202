"""`xelm generate BUNDLE`: text as it is made, each token in the colour of its expert."""

from typing import Annotated, Any

import typer

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red", "bright_black", "white")


def generate(
    bundle: Annotated[
        str, typer.Argument(help="A bundle's folder, or a hub id.", metavar="BUNDLE")
    ],
    prompt: Annotated[str, typer.Option(help="What to continue; - reads standard input.")] = "",
    language: Annotated[
        str | None, typer.Option(help="Known language: its own expert; default: the router.")
    ] = None,
    router: Annotated[str | None, typer.Option(help="Kind; default: the bundle's.")] = None,
    top_m: Annotated[
        int | None, typer.Option(help="Experts a token; default: the bundle's.")
    ] = None,
    route_every: Annotated[
        str | None, typer.Option(help="token, or sequence: the prompt decides.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens to make at most.")] = 100,
    temperature: Annotated[
        float, typer.Option(min=0, help="Of sampling; 0 takes the likeliest token.")
    ] = 0.8,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Of sampling.")] = 0.95,
    seed: Annotated[int | None, typer.Option(help="Of sampling.")] = None,
    resident: Annotated[
        str, typer.Option(help="Experts in memory at once: all, or a number.")
    ] = "all",
    show_experts: Annotated[
        bool, typer.Option("--show-experts", help="Colour each token by its expert.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line a token.")] = False,
) -> None:
    """Continue a prompt; tokens appear as they are made."""
    import sys

    from xelm.corpus import tokenizer as tokenizers
    from xelm.ensemble.generation import speak
    from xelm.ensemble.loading import fetch
    from xelm.ensemble.model import XelmForCausalLM

    folder = fetch(bundle)
    changes: dict[str, Any] = {"router": router, "top_m": top_m, "route_every": route_every}
    model = XelmForCausalLM.from_pretrained(
        folder, resident=resident, **{key: value for key, value in changes.items() if value}
    )
    if prompt == "-":
        prompt = sys.stdin.read()
    if language is not None:
        from xelm.corpus.languages import canonical

        language = canonical(language)
    voice = _Json() if json else _Colours(model.names) if show_experts else _Plain()
    voice.begin(prompt)
    speak(
        model,
        tokenizers.load(folder),
        prompt,
        say=voice,
        language=language,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
    )
    voice.end()


class _Plain:
    """Text and nothing else, so that it can be piped."""

    def begin(self, prompt: str) -> None:
        typer.echo(prompt, nl=False)

    def __call__(self, piece: Any) -> None:
        typer.echo(piece.text, nl=False)
        _flush()

    def end(self) -> None:
        typer.echo()


class _Json(_Plain):
    """One object a piece."""

    def begin(self, prompt: str) -> None:
        pass

    def __call__(self, piece: Any) -> None:
        import json

        about = {"text": piece.text, "expert": piece.expert, "weight": piece.weight}
        typer.echo(json.dumps(about, ensure_ascii=False))
        _flush()

    def end(self) -> None:
        pass


class _Colours(_Plain):
    """Each piece in its expert's colour; a legend of those who spoke at the end."""

    def __init__(self, names: Any) -> None:
        self.colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
        self.spoke: dict[str, int] = {}

    def begin(self, prompt: str) -> None:
        typer.secho(prompt, nl=False, dim=True)

    def __call__(self, piece: Any) -> None:
        self.spoke[piece.expert] = self.spoke.get(piece.expert, 0) + 1
        typer.secho(piece.text, nl=False, fg=self.colours[piece.expert])
        _flush()

    def end(self) -> None:
        typer.echo()
        for name, count in sorted(self.spoke.items(), key=lambda item: -item[1]):
            typer.secho(f"  {name}: {count} tokens", fg=self.colours[name], err=True)


def _flush() -> None:
    import sys

    sys.stdout.flush()
