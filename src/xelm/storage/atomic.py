"""Files and folders that appear whole or not at all.

Everything is written beside its destination under a temporary name, flushed to the disk, and
renamed. A reader (or the same command after a crash) therefore never meets half a file, and
"does it exist?" is a valid test for "is it done?".
"""

import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from xelm.errors import UserError
from xelm.storage import manifest

# `.<name>.tmp-<pid>-<host><random>`: who wrote it, so that a later process knows if it may tidy up.
_TEMPORARY = re.compile(r"^\..+\.tmp-(\d+)-([0-9a-f]{6})[0-9a-f]{6}$", re.DOTALL)
_FOREIGN_AGE_SECONDS = 24 * 3600.0
_open_here: set[str] = set()  # temporaries this process is writing now


def _host_mark() -> str:
    return blake2b(socket.gethostname().encode(), digest_size=3).hexdigest()


def _temporary_sibling(path: Path) -> Path:
    mark = f"{os.getpid()}-{_host_mark()}{secrets.token_hex(3)}"
    return path.parent / f".{path.name}.tmp-{mark}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step; makes missing parent folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(path)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by UTF-8 `text` in one step (no newline translation)."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as readable JSON; not-a-number raises ValueError (not JSON)."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file; UserError names the file when it is missing or broken."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; check the path, or run the stage that makes it"
        ) from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a JSON file; give the file in it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: broken JSON ({error}); restore it, or delete it and run again"
        ) from error


@contextmanager
def folder(path: Path, *, replace: bool = False, listed: bool = True) -> Iterator[Path]:
    """A temporary folder to fill; when the block ends well it gets a manifest and becomes `path`.

    `listed=False` writes no manifest: for folders that carry their own record, as bundles do.

    On an error the temporary folder is removed and `path` is as it was. With `replace` an older
    folder steps aside just before the rename (the one moment at which a power cut leaves neither;
    the stage then simply runs again). Raises UserError when `path` exists and `replace` is False.
    """
    path = Path(path)
    if not replace and path.exists():
        raise UserError(f"{path}: exists already; give another name, or remove it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(path)
    temporary.mkdir()
    _open_here.add(temporary.name)
    try:
        yield temporary
        if listed:
            manifest.write(temporary)
        _sync_tree(temporary)
        _rename_folder(temporary, path, replace)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        _open_here.discard(temporary.name)
    _sync(path.parent)


def _sync_tree(root: Path) -> None:
    for current, _, files in os.walk(root, topdown=False):
        for name in files:
            _sync(Path(current, name))
        _sync(Path(current))


def _rename_folder(source: Path, target: Path, replace: bool) -> None:
    aside = _temporary_sibling(target)
    if replace and target.exists():
        target.rename(aside)
    try:
        source.rename(target)
    except OSError as error:
        if target.exists():
            raise UserError(f"{target}: was made by another process meanwhile; use it") from error
        raise
    if aside.exists():
        shutil.rmtree(aside, ignore_errors=True)


def discard(path: Path) -> None:
    """Remove a folder; first out of sight in one rename, so that a kill leaves none half-removed.

    What a killed process left under the temporary name is `remove_leftovers`' to tidy.
    """
    aside = _temporary_sibling(Path(path))
    Path(path).rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Remove temporary siblings in `parent` whose process is dead (other hosts': after a day)."""
    if not Path(parent).is_dir():
        return
    for entry in Path(parent).iterdir():
        if _is_leftover(entry):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def _is_leftover(entry: Path) -> bool:
    match = _TEMPORARY.match(entry.name)
    if match is None or entry.name in _open_here:
        return False
    process, host = int(match[1]), match[2]
    if host != _host_mark():
        try:
            return time.time() - entry.stat().st_mtime > _FOREIGN_AGE_SECONDS
        except FileNotFoundError:
            return False
    return not alive(process)


def alive(process: int) -> bool:
    """Is there a process of that id on this host? (Our own id counts as alive.)"""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
