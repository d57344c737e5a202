"""`xelm verify BUNDLE`: is everything there, and what it says it is?"""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.", metavar="BUNDLE")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check hashes, fingerprints, links, tokenizers and shapes of a bundle's current revision."""
    from xelm.ensemble.verify import verify as check

    manifest = check(bundle, (lambda line: None) if json else typer.echo)
    if json:
        import json as writer

        about = {
            "revision": manifest.revision,
            "experts": {expert.name: expert.fingerprint for expert in manifest.experts},
            "router": manifest.router.fingerprint,
            "tokenizer": manifest.tokenizer,
        }
        typer.echo(writer.dumps(about, indent=1, ensure_ascii=False))
    else:
        typer.echo(f"{bundle}: revision {manifest.revision}, {len(manifest.experts)} experts: good")
