"""The stage as the user meets it: idempotent, killable, and clear about every mistake."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from xelm.corpus import sample
from xelm.corpus.prepare import prepare
from xelm.corpus.settings import CorpusSettings
from xelm.corpus.shards import SPLITS, TokenShards
from xelm.errors import UserError
from xelm.storage import disk


def _write(path: Path, language: str, split: Any, copies: int = 1, **fields: str) -> Path:
    rows = [
        {"text": document.text, "lang": language, "id": document.id, "group": document.id, **fields}
        for _ in range(copies)
        for document in sample.documents(split, [language])
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[str]]:
    """Own files of each split, in two scripts."""
    return {
        split: [
            str(_write(tmp_path / f"{split}-{language}.jsonl", language, split))
            for language in ("en", "ru")
        ]
        for split in SPLITS
    }


def _settings(files: dict[str, list[str]], **more: Any) -> CorpusSettings:
    return CorpusSettings(**{"vocabulary": 300, "context": 64, **files, **more})


def test_own_files_become_splits(files: dict[str, list[str]], tmp_path: Path) -> None:
    stages: list[str] = []
    stats = prepare(
        _settings(files),
        tmp_path / "run" / "corpus",
        report=lambda stage, done, total: stages.append(stage),
    )
    assert stats["splits"]["heldout"]["ru"]["documents"] == len(sample.HELDOUT)
    assert stats["splits"]["dev"]["en"]["documents"] == len(sample.DEV)
    shards = TokenShards(tmp_path / "run" / "corpus", "heldout")
    assert sorted(shards.ids("ru")) == sorted(sample.HELDOUT)
    assert [stage for i, stage in enumerate(stages) if stage not in stages[:i]] == [
        "tokenizer",
        "shards",
    ]
    assert stats["settings"]["context"] == shards.context == 64
    assert stats["inputs"][files["train"][0]] == Path(files["train"][0]).stat().st_size


def test_done_is_done_and_differences_are_named(
    files: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run" / "corpus"
    stats = prepare(_settings(files), folder)
    monkeypatch.setattr("xelm.corpus.prepare._make", None)
    assert prepare(_settings(files), folder) == stats
    with pytest.raises(UserError, match=r"corpus\.context = 64, now it is 128"):
        prepare(_settings(files, context=128), folder)
    with Path(files["train"][0]).open("a") as file:
        file.write('{"text": "more"}\n')
    with pytest.raises(UserError, match=r"train-en\.jsonl: has changed since"):
        prepare(_settings(files), folder)
    for path in files["train"]:  # a finished run may go where its text is not
        Path(path).unlink()
    assert prepare(_settings(files), folder) == stats
    (folder / "train" / "en" / "tokens.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"tokens\.bin: truncated"):
        prepare(_settings(files), folder)


def test_splitting_by_group_keeps_groups_whole(tmp_path: Path) -> None:
    for language in ("en", "ru", "tr"):
        _write(tmp_path / f"{language}.jsonl", language, "train", copies=2)
    settings = CorpusSettings(
        train=[str(tmp_path)], vocabulary=300, dev_share=0.1, heldout_share=0.2
    )
    stats = prepare(settings, tmp_path / "run" / "corpus")
    by_split = {split: TokenShards(tmp_path / "run" / "corpus", split) for split in SPLITS}
    for split, shards in by_split.items():
        ids = {language: set(shards.ids(language)) for language in shards.languages}
        assert ids["en"] == ids["ru"] == ids["tr"], f"{split}: parallel groups go together"
        others = set().union(*(o.ids("en") for name, o in by_split.items() if name != split))
        assert not ids["en"] & others
    assert sum(entry["en"]["documents"] for entry in stats["splits"].values()) == 90


def test_limits_take_whole_groups_in_a_fixed_order(
    files: dict[str, list[str]], tmp_path: Path
) -> None:
    limits = {"train": 8_000, "heldout": 3_000}
    stats = prepare(_settings(files, max_bytes_per_language=limits), tmp_path / "a" / "corpus")
    for split, limit in limits.items():
        for language in ("en", "ru"):
            assert limit <= stats["splits"][split][language]["bytes"] < limit + 2_000
    assert stats["splits"]["dev"]["en"]["documents"] == len(sample.DEV)
    assert stats["left_out"]["over_limit"].keys() == {
        f"{split}/{language}" for split in limits for language in ("en", "ru")
    }
    wider = prepare(
        _settings(files, max_bytes_per_language={"heldout": 5_000}), tmp_path / "b" / "corpus"
    )
    assert wider["splits"]["train"]["en"]["documents"] == 45
    ids = [set(TokenShards(tmp_path / run / "corpus", "heldout").ids("ru")) for run in "ab"]
    assert ids[0] < ids[1], "a larger limit only adds"


def test_heldout_text_in_train_is_refused_or_dropped(
    files: dict[str, list[str]], tmp_path: Path
) -> None:
    leak = sample.passages("ru")["clay-pot"].split("\n")[0]
    row = {"text": f"Ещё что-то.\n{leak.upper()}", "lang": "ru", "id": "copy"}
    with Path(files["train"][1]).open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=r"document copy \(ru\): heldout text found in train"):
        prepare(_settings(files), tmp_path / "run" / "corpus")
    stats = prepare(_settings(files, leaks="drop"), tmp_path / "run" / "corpus")
    assert stats["left_out"] == {"leaks": {"train/ru": 1}}
    assert "copy" not in TokenShards(tmp_path / "run" / "corpus", "train").ids("ru")


def test_where_we_split_leaks_are_dropped(tmp_path: Path) -> None:
    for language in ("en", "ru"):
        _write(tmp_path / f"{language}.jsonl", language, "train")
        _write(tmp_path / f"again.{language}.jsonl", language, "train", group="other", source="b")
    settings = CorpusSettings(train=[str(tmp_path)], vocabulary=300, dev_share=0.1)
    stats = prepare(settings, tmp_path / "run" / "corpus")
    dev = stats["splits"]["dev"]["en"]["documents"]
    heldout = stats["splits"]["heldout"]["en"]["documents"]
    assert stats["left_out"]["leaks"]["train/en"] == dev + heldout > 0


def test_the_tokenizer_of_a_seed_is_taken(
    files: dict[str, list[str]], small_tokenizer: Any, tmp_path: Path
) -> None:
    small_tokenizer.save_pretrained(tmp_path / "seed")
    folder = tmp_path / "run" / "corpus"
    stats = prepare(_settings(files, tokenizer=str(tmp_path / "seed")), folder)
    assert stats["vocabulary"] == 600
    tokens = TokenShards(folder, "dev").document("ru", 0)
    text = next(TokenShards(folder, "dev").texts("ru"))
    assert small_tokenizer.decode(tokens) == text
    with pytest.raises(UserError, match=r"nowhere"):
        prepare(_settings(files, tokenizer=str(tmp_path / "nowhere")), tmp_path / "b" / "corpus")


def _mistake(files: dict[str, list[str]], tmp_path: Path, words: str, **more: Any) -> None:
    with pytest.raises(UserError, match=words):
        prepare(_settings(files, **more), tmp_path / "run" / "corpus")
    assert not list((tmp_path / "run").glob("[!.]*")), "nothing is left behind"


def test_mistakes_end_in_one_line(
    files: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # before anything heavy: no tokenizer is trained
    monkeypatch.setattr("xelm.corpus.prepare._tokenizer", None)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    _mistake(files, tmp_path, "nowhere: no such file", train=["nowhere"])
    _mistake(files, tmp_path, "nowhere: no such file", dev=["nowhere"])
    _mistake(files, tmp_path, r"corpus\.train: no text", train=[str(empty)])
    _mistake(files, tmp_path, "'sw': no train text", languages=["en", "sw"])
    _mistake(files, tmp_path, "'ru': no text in the heldout", heldout=files["heldout"][:1])
    _mistake(files, tmp_path, "no group fell to dev", dev=None, dev_share=1e-9)
    _mistake(files, tmp_path, "do not fill one window", context=1_000_000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    _mistake(files, tmp_path, "token shards needs")


def test_bad_lines_are_named_or_counted(files: dict[str, list[str]], tmp_path: Path) -> None:
    with Path(files["train"][0]).open("ab") as file:
        file.write(b'{"text": "half\n{"text": "\xff"}\n')
    _mistake(files, tmp_path, r"train-en\.jsonl:46: broken JSON")
    stats = prepare(_settings(files, skip_bad=True), tmp_path / "run" / "corpus")
    assert stats["bad_lines"] == {files["train"][0]: 2}


def test_settings_name_their_mistakes() -> None:
    with pytest.raises(ValidationError, match="did you mean 'de'"):
        CorpusSettings(train="x", languages=["german"])
    with pytest.raises(ValidationError, match="langauges"):
        CorpusSettings(train="x", langauges=["de"])  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="empty list"):
        CorpusSettings(train=[])
    assert CorpusSettings(train="x.txt").train == ["x.txt"]
    whole = CorpusSettings(train="sample", languages=["eng", "deu"])
    assert (whole.dev, whole.heldout, whole.languages) == ("sample", "sample", ["de", "en"])


_KILLED = """
    import multiprocessing, sys, time
    from pathlib import Path
    from xelm.corpus.prepare import prepare
    from xelm.corpus.settings import CorpusSettings

    def report(stage, done, total):
        if stage == "shards" and done > 0:
            print(*(each.pid for each in multiprocessing.active_children()), flush=True)
            time.sleep(60)

    if __name__ == "__main__":
        languages = ["ru", "hi", "zh", "ar"]
        settings = CorpusSettings(train="sample", vocabulary=300, languages=languages)
        prepare(settings, Path(sys.argv[1]), workers=2, report=report)
"""


def test_a_killed_prepare_starts_over_and_makes_the_same_bytes(
    tmp_path: Path, same_files: Callable[[Path, Path], bool]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(_KILLED))
    folder = tmp_path / "killed" / "corpus"
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    workers = [int(each) for each in process.stdout.readline().split()]
    assert len(workers) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not folder.exists()
    assert any(folder.parent.glob(".corpus.tmp-*"))
    _await_death(workers)
    settings = CorpusSettings(train="sample", vocabulary=300, languages=["ru", "hi", "zh", "ar"])
    prepare(settings, folder)
    prepare(settings, tmp_path / "whole" / "corpus")
    assert same_files(folder, tmp_path / "whole" / "corpus")
    assert sorted(path.name for path in folder.parent.iterdir()) == [".corpus.lock", "corpus"]


def _await_death(processes: list[int]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{each}").exists() and _running(each) for each in processes):
            return
        time.sleep(0.05)
    for each in processes:
        os.kill(each, signal.SIGKILL)
    raise AssertionError("workers outlived their parent")


def _running(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
