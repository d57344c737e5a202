"""`xelm publish`: the current revision and all it needs, nothing else, with a model card.

Older revisions and their experts stay behind. The card comes from whoever calls: it is reporting's
(`reporting.model_card`), which growth knows nothing of.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from xelm.ensemble import bundle as bundles
from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import Manifest
from xelm.ensemble.verify import verify
from xelm.errors import UserError
from xelm.growth.revisions import CARD
from xelm.storage import atomic, disk

_HUB_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")

Card = Callable[[Path], str]
"""From a bundle to the text of its model card."""


def publish(bundle: Path, out: Path, card: Card) -> Manifest:
    """Write the closure of the current revision to `out`; it appears whole and verified.

    Files are hard-linked where the disk allows. UserError when `out` exists or the bundle is
    damaged.
    """
    bundle, out = Path(bundle), Path(out)
    manifest = verify(bundle)
    files = list(closure(bundle, manifest))
    disk.require(out, sum((bundle / name).stat().st_size for name in files), "the bundle")
    with atomic.folder(out, listed=False) as folder:
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            bundles.link_or_copy(bundle / name, folder / name)
        atomic.write_text(folder / CARD, card(bundle))
    return manifest


def closure(bundle: Path, manifest: Manifest) -> Iterator[str]:
    """Relative paths of all that a revision is made of."""
    for folder, _ in manifest.folders():
        for path in sorted((bundle / folder).rglob("*")):
            if path.is_file():
                yield path.relative_to(bundle).as_posix()
    yield from manifest.files
    yield manifests.NAME


def upload(bundle: Path, hub_id: str, card: Card, *, private: bool = False) -> str:
    """Publish to the Hugging Face hub; returns the commit's address.

    Raises:
        UserError: `hub_id` is no name, or the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    if not _HUB_ID.fullmatch(hub_id):
        raise UserError(f"--hub {hub_id}: not a hub id; write it as name/model")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        manifest = publish(bundle, folder, card)
        api = HfApi()
        try:
            repo = api.create_repo(hub_id, private=private, exist_ok=True).repo_id
            commit = api.upload_folder(
                repo_id=repo,
                folder_path=folder,
                commit_message=f"X-ELM revision {manifest.revision}",
                delete_patterns=["experts/*", "router/*"],
            )
        except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"{hub_id}: the hub refused ({reason}); log in, check the name"
            ) from error
    return str(commit.commit_url)
