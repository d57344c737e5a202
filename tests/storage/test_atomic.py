"""A write is whole or absent, whatever stops the process."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from xelm.errors import UserError
from xelm.storage import atomic, manifest


def test_files_are_replaced_and_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    atomic.write_json(path, {"b": 1, "a": "ж漢"})
    atomic.write_json(path, {"b": 2})
    assert atomic.read_json(path) == {"b": 2}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_json_is_readable_sorted_and_ends_in_a_newline(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "a.json", {"b": "ж", "a": [1]})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n "a": [\n  1\n ],\n "b": "ж"\n}\n'


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    atomic.write_bytes(path, b"old")

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe"])
def test_missing_or_broken_json_names_the_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.json"):
        atomic.read_json(path)


def test_a_folder_appears_whole_with_its_manifest(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with atomic.folder(target) as inside:
        (inside / "sub").mkdir()
        (inside / "sub" / "a").write_bytes(b"x")
        assert not target.exists()
    manifest.verify(target)
    assert list(manifest.read(target)) == ["sub/a"]
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_an_error_inside_leaves_the_old_folder_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with atomic.folder(target) as inside:
        (inside / "a").write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic.folder(target, replace=True) as inside:
        (inside / "a").write_bytes(b"new")
        raise RuntimeError
    assert (target / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
    with pytest.raises(UserError, match="exists already"), atomic.folder(target):
        pass
    with atomic.folder(target, replace=True) as inside:
        (inside / "a").write_bytes(b"new")
    assert (target / "a").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_a_killed_writer_leaves_only_what_remove_leftovers_takes(tmp_path: Path) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        from xelm.storage import atomic
        with atomic.folder(Path({str(tmp_path / "made")!r})) as inside:
            (inside / "a").write_bytes(b"x")
            print("ready", flush=True)
            time.sleep(60)
    """
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    atomic.remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1, "the writer lives: its folder is not litter"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert not (tmp_path / "made").exists()
    atomic.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_are_only_our_own_kind(tmp_path: Path) -> None:
    (tmp_path / ".vimrc.tmp-notes").write_text("keep")
    (tmp_path / "data.tmp-1-2").write_text("keep")
    atomic.remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
