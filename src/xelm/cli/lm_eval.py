"""`xelm lm-eval BUNDLE --tasks ...`: the evaluation harness on a model it does not know."""

from pathlib import Path
from typing import Annotated, Any

import typer


def lm_eval(
    bundle: Annotated[
        str, typer.Argument(help="A bundle's folder, or a hub id.", metavar="BUNDLE")
    ],
    tasks: Annotated[str, typer.Option(help="Names, separated by commas; or yaml files.")],
    num_fewshot: Annotated[int | None, typer.Option(help="Examples; default: the task's.")] = None,
    limit: Annotated[float | None, typer.Option(help="Documents a task, for a trial.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences at once.")] = 8,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    include_path: Annotated[
        Path | None, typer.Option(help="A folder of your own task files.")
    ] = None,
    router: Annotated[str | None, typer.Option(help="Kind; default: the bundle's.")] = None,
    top_m: Annotated[
        int | None, typer.Option(help="Experts a token; default: the bundle's.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write all results here as JSON.")] = None,
) -> None:
    """Run lm-evaluation-harness tasks on a bundle."""
    from xelm.ensemble.harness import evaluate
    from xelm.ensemble.loading import fetch

    routing: dict[str, Any] = {"router": router, "top_m": top_m}
    results = evaluate(
        fetch(bundle),
        [name.strip() for name in tasks.split(",") if name.strip()],
        num_fewshot=num_fewshot,
        limit=limit,
        batch_size=batch_size,
        device=device,
        include_path=include_path,
        **{key: value for key, value in routing.items() if value is not None},
    )
    if out is not None:
        from xelm.storage import atomic

        atomic.write_json(out, results)
    for task, figures in results.items():
        for name, value in figures.items():
            if isinstance(value, float):
                typer.echo(f"{task}\t{name}\t{value:.4f}")
