"""Lines of a plain, gzip or Zstandard file, streaming; a file that was cut short is an error."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from xelm.errors import UserError


def _open(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return io.BufferedReader(gzip.open(path, "rb"))
    if path.name.lower().endswith(".zst"):
        return io.BufferedReader(_Zstandard(path), buffer_size=1 << 20)
    return path.open("rb", buffering=1 << 20)


class _Zstandard(io.RawIOBase):
    """Frames of a .zst file as one stream; unlike the library's own reader, a cut file is an error.

    Raises EOFError in the middle of a frame, as gzip does.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._left, self._ready, self._inside = b"", b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._left or self._file.read(1 << 17)
            if not data:
                if self._inside:
                    raise EOFError("the file ends in the middle of a frame")
                return 0
            self._ready, self._inside = self._frame.decompress(data), True
            self._left = b""
            if self._frame.eof:
                self._left, self._inside = self._frame.unused_data, False
                self._frame = zstandard.ZstdDecompressor().decompressobj()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, bytes with line end) of each line; UserError if the file is damaged."""
    try:
        with _open(path) as stream:
            for number, line in enumerate(stream, start=1):
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise UserError(f"{path}: damaged compressed file ({error}); fetch it again") from error
    except PermissionError:
        raise UserError(f"{path}: may not be read; change its permissions") from None
