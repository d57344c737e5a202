"""Documents to token shards: streaming, in parallel, and the same bytes whatever the parallelism.

One process reads; batches of one language go to workers that tokenise; results are appended in
the order of reading. What is in flight is bounded, so memory does not grow with the corpus.
"""

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xelm.corpus.documents import Document
from xelm.corpus.splits import group_hash
from xelm.corpus.tokenizer import encode, encode_backend, end_of_text
from xelm.errors import UserError
from xelm.storage import atomic, fingerprint, manifest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH_BYTES = 1 << 18
_BATCHES_PER_WORKER = 4
_ARRAYS: dict[str, type[np.generic]] = {
    "starts.npy": np.int64,
    "bytes.npy": np.int64,
    "groups.npy": np.uint64,
}
Progress = Callable[[int], None]  # raw bytes of text done so far


def build(
    documents_by_split: Mapping[str, Iterable[Document]],
    tokenizer: "PreTrainedTokenizerBase",
    folder: Path,
    *,
    workers: int = 1,
    context: int = 256,
) -> dict[str, Any]:
    """`build_pairs` for documents that are apart already."""
    pairs = ((split, each) for split, some in documents_by_split.items() for each in some)
    return build_pairs(pairs, tokenizer, folder, workers=workers, context=context)


def build_pairs(
    pairs: Iterable[tuple[str, Document]],
    tokenizer: "PreTrainedTokenizerBase",
    folder: Path,
    *,
    workers: int = 1,
    context: int = 256,
    extra: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the corpus folder (shards, tokenizer, stats.json) from (split, document) pairs.

    The folder appears whole or not at all. `workers` processes tokenise; at 1 everything happens
    here. A script that asks for more needs `if __name__ == "__main__":` (workers are spawned).
    `extra` goes into stats.json (read when all text is, so it may hold counts of this very pass).
    Returns the stats. Raises UserError when the folder exists or a worker dies.
    """
    dtype = "uint16" if len(tokenizer) <= 1 << 16 else "uint32"
    stats: dict[str, Any] = {
        "context": context,
        "vocabulary": len(tokenizer),
        "dtype": dtype,
        "end_of_text": end_of_text(tokenizer),
    }
    atomic.remove_leftovers(Path(folder).parent)
    with atomic.folder(folder) as inside:
        writer = _Writer(inside, np.dtype(dtype), stats["end_of_text"], progress)
        with _encoder(tokenizer, workers) as encode_batches:
            for split, batch, ids in encode_batches(_batches(pairs)):
                writer.append(split, batch, ids)
        stats |= {"splits": writer.finish(), **(extra or {})}
        tokenizer.save_pretrained(inside / "tokenizer")
        stats |= _fingerprints(inside, list(stats["splits"]))
        atomic.write_json(inside / "stats.json", stats)
    return stats


def _fingerprints(folder: Path, splits: list[str]) -> dict[str, Any]:
    files = manifest.contents(folder)
    parts = {
        part: fingerprint.of_value(
            {name: entry["sha256"] for name, entry in files.items() if name.startswith(part + "/")}
        )
        for part in (*splits, "tokenizer")
    }
    return {"fingerprints": parts, "fingerprint": fingerprint.of_value(parts)}


@dataclass(slots=True)
class _Batch:
    language: str
    documents: list[Document] = field(default_factory=list)
    size: int = 0


def _batches(pairs: Iterable[tuple[str, Document]]) -> Iterator[tuple[str, _Batch]]:
    open_batches: dict[tuple[str, str], _Batch] = {}
    for split, document in pairs:
        key = (split, document.language)
        batch = open_batches.setdefault(key, _Batch(document.language))
        batch.documents.append(document)
        batch.size += len(document.text)
        if batch.size >= _BATCH_BYTES:
            yield split, open_batches.pop(key)
    for split, language in sorted(open_batches):
        yield split, open_batches[split, language]


_Encoded = Iterator[tuple[str, _Batch, list[NDArray[Any]]]]


class _encoder:  # noqa: N801  used as `with _encoder(...) as encode_batches`
    """Tokenises batches here or in spawned workers, in order, with bounded work in flight."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", workers: int) -> None:
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._workers = workers if self._backend is not None else 1
        self._pool: ProcessPoolExecutor | None = None
        self._file: Path | None = None

    def __enter__(self) -> Callable[[Iterator[tuple[str, _Batch]]], _Encoded]:
        if self._workers <= 1:
            return self._here
        assert self._backend is not None
        self._pool = ProcessPoolExecutor(
            self._workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(self._write(),),
        )
        return self._in_workers

    def _write(self) -> str:
        """The tokenizer as a file: workers take a path, since a worker that dies before it has
        read a long argument from its pipe (a script without `if __name__ == "__main__"`) would
        leave us writing to that pipe for ever."""
        assert self._backend is not None
        self._file = Path(tempfile.mkdtemp(prefix="xelm-")) / "tokenizer.json"
        self._file.write_text(self._backend.to_str(), encoding="utf-8")
        return str(self._file)

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._file is not None:
            shutil.rmtree(self._file.parent, ignore_errors=True)

    def _here(self, batches: Iterator[tuple[str, _Batch]]) -> _Encoded:
        for split, batch in batches:
            ids = encode(self._tokenizer, [document.text for document in batch.documents])
            yield split, batch, [np.asarray(each, dtype=np.uint32) for each in ids]

    def _in_workers(self, batches: Iterator[tuple[str, _Batch]]) -> _Encoded:
        assert self._pool is not None
        flying: deque[tuple[str, _Batch, Future[list[NDArray[Any]]]]] = deque()
        try:
            for split, batch in batches:
                texts = [document.text for document in batch.documents]
                flying.append((split, batch, self._pool.submit(_encode_in_worker, texts)))
                if len(flying) > self._workers * _BATCHES_PER_WORKER:
                    yield _landed(flying.popleft())
            while flying:
                yield _landed(flying.popleft())
        except BrokenProcessPool as error:
            raise UserError(
                "prepare: a tokenising worker died (out of memory, or a script without "
                '`if __name__ == "__main__"`?); use fewer workers'
            ) from error


def _landed(
    flight: tuple[str, _Batch, "Future[list[NDArray[Any]]]"],
) -> tuple[str, _Batch, list[NDArray[Any]]]:
    split, batch, future = flight
    return split, batch, future.result()


_worker_tokenizer: Any = None


def _start_worker(tokenizer_file: str) -> None:
    global _worker_tokenizer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core per worker
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from tokenizers import Tokenizer

    _worker_tokenizer = Tokenizer.from_file(tokenizer_file)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # a killed parent cannot tell its workers to end
        os._exit(1)


def _encode_in_worker(texts: list[str]) -> list[NDArray[Any]]:
    return [np.asarray(ids, np.uint32) for ids in encode_backend(_worker_tokenizer, texts)]


class _Writer:
    """Appends encoded batches to the files of their split and language."""

    def __init__(
        self, folder: Path, dtype: np.dtype[Any], end_of_text: int, progress: Progress | None
    ) -> None:
        self._folder, self._dtype, self._end = folder, dtype.newbyteorder("<"), end_of_text
        self._progress = progress
        self._counts: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
        self._done = 0

    def append(self, split: str, batch: _Batch, ids: list[NDArray[Any]]) -> None:
        place = self._folder / split / batch.language
        counts = self._counts[split].get(batch.language)
        if counts is None:
            place.mkdir(parents=True)
            counts = {"documents": 0, "bytes": 0, "tokens": 0}
            self._counts[split][batch.language] = counts
        lengths = np.array([len(each) + 1 for each in ids], dtype=np.int64)
        sizes = np.array([len(d.text.encode("utf-8")) for d in batch.documents], dtype=np.int64)
        groups = np.array([group_hash(d.group) for d in batch.documents], dtype=np.uint64)
        starts = counts["tokens"] + np.cumsum(lengths) - lengths
        self._append_tokens(place, ids)
        for name, array in (("starts.npy", starts), ("bytes.npy", sizes), ("groups.npy", groups)):
            _append_array(place / name, array)
        _append_rows(place / "ids.jsonl", [_identity(d) for d in batch.documents])
        if split != "train":
            rows = [{"id": d.id, "text": d.text} for d in batch.documents]
            _append_rows(place / "documents.jsonl", rows)
        counts["documents"] += len(ids)
        counts["bytes"] += int(sizes.sum())
        counts["tokens"] += int(lengths.sum())
        self._done += int(sizes.sum())
        if self._progress is not None:
            self._progress(self._done)

    def _append_tokens(self, place: Path, ids: list[NDArray[Any]]) -> None:
        end = np.array([self._end], dtype=np.uint32)
        stream = np.concatenate([part for each in ids for part in (each, end)])
        assert int(stream.max()) <= np.iinfo(self._dtype).max, "a token id beyond the vocabulary"
        with (place / "tokens.bin").open("ab") as file:
            file.write(stream.astype(self._dtype).tobytes())

    def finish(self) -> dict[str, dict[str, dict[str, int]]]:
        """Close the arrays (their headers need the final length); returns the counts."""
        for split, languages in self._counts.items():
            for language, counts in languages.items():
                place = self._folder / split / language
                _append_array(place / "starts.npy", np.array([counts["tokens"]], dtype=np.int64))
                for name in _ARRAYS:
                    _write_header(place / name)
        return {split: dict(sorted(each.items())) for split, each in sorted(self._counts.items())}


def _identity(document: Document) -> dict[str, str]:
    return {"id": document.id, "group": document.group, "source": document.source}


_HEADER_BYTES = 128  # numpy pads headers so that one of another length fits the same place


def _append_array(path: Path, array: NDArray[Any]) -> None:
    with path.open("ab") as file:
        if file.tell() == 0:
            file.write(b"\0" * _HEADER_BYTES)
        file.write(array.astype(array.dtype.newbyteorder("<")).tobytes())


def _write_header(path: Path) -> None:
    kind = np.dtype(_ARRAYS[path.name])
    length = (path.stat().st_size - _HEADER_BYTES) // kind.itemsize
    description = {
        "descr": kind.newbyteorder("<").str,
        "fortran_order": False,
        "shape": (length,),
    }
    with path.open("r+b") as file:
        np.lib.format.write_array_header_1_0(file, description)
        assert file.tell() == _HEADER_BYTES, "numpy changed the size of its header"


def _append_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
