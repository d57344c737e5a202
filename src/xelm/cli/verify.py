"""`xelm verify BUNDLE`: is everything there, and what it says it is?"""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.", metavar="BUNDLE")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check hashes, fingerprints, links, tokenizers and shapes; and what older revisions hold."""
    from xelm.ensemble.verify import verify as check
    from xelm.growth.unchanged import verify_history

    manifest = check(bundle, (lambda line: None) if json else typer.echo)
    unchanged = verify_history(bundle, checked={folder for folder, _ in manifest.folders()})
    if json:
        import json as writer

        about = {
            "revision": manifest.revision,
            "experts": {expert.name: expert.fingerprint for expert in manifest.experts},
            "router": manifest.router.fingerprint,
            "tokenizer": manifest.tokenizer,
            "unchanged_since": unchanged,
        }
        typer.echo(writer.dumps(about, indent=1, ensure_ascii=False))
    else:
        for name, revision in unchanged.items() if manifest.revision > 1 else ():
            typer.echo(f"expert {name}: byte-identical since revision {revision}")
        typer.echo(f"{bundle}: revision {manifest.revision}, {len(manifest.experts)} experts: good")
