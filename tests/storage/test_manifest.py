"""Damage of every kind has a name."""

from pathlib import Path

import pytest

from xelm.storage import atomic, fingerprint, manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with atomic.folder(tmp_path / "made") as inside:
        (inside / "weights").write_bytes(b"0123456789")
        (inside / "other").write_bytes(b"abc")
    return tmp_path / "made"


def test_whole_folder_passes(folder: Path) -> None:
    manifest.verify(folder)
    (folder / "extra").write_bytes(b"notes of the user are no damage")
    manifest.verify(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "missing"), (b"012", "truncated"), (b"012345678X", "changed"), (b"0" * 11, "grown")],
)
def test_damage_names_the_file_and_the_fault(
    folder: Path, content: bytes | None, words: str
) -> None:
    (folder / "weights").unlink()
    if content is not None:
        (folder / "weights").write_bytes(content)
    with pytest.raises(manifest.DamagedArtefact, match=f"weights: {words}"):
        manifest.verify(folder)


def test_sizes_alone_are_checked_without_hashing(folder: Path) -> None:
    (folder / "weights").write_bytes(b"012345678X")
    manifest.verify(folder, hashes=False)
    (folder / "weights").write_bytes(b"0")
    with pytest.raises(manifest.DamagedArtefact, match="truncated"):
        manifest.verify(folder, hashes=False)


@pytest.mark.parametrize("content", [None, b"{", b"[]", b"\xff"])
def test_a_lost_or_broken_manifest_is_damage(folder: Path, content: bytes | None) -> None:
    path = folder / manifest.MANIFEST
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(manifest.DamagedArtefact, match=manifest.MANIFEST):
        manifest.verify(folder)


def test_fingerprint_of_a_folder_is_of_its_contents(folder: Path, tmp_path: Path) -> None:
    recorded = fingerprint.of_folder(folder)
    (folder / manifest.MANIFEST).unlink()
    assert fingerprint.of_folder(folder) == recorded
    (folder / "other").write_bytes(b"abd")
    assert fingerprint.of_folder(folder) != recorded


def test_fingerprint_of_a_value_ignores_the_order_of_keys() -> None:
    assert fingerprint.of_value({"a": 1, "b": [2]}) == fingerprint.of_value({"b": [2], "a": 1})
    assert fingerprint.of_value({"a": 1}) != fingerprint.of_value({"a": 2})
    with pytest.raises(ValueError):
        fingerprint.of_value({"a": float("nan")})
