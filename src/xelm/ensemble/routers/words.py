"""The published router over words instead of pieces: exact for every prefix, linear in length.

A prefix of token ids is a text whose last word may be unfinished: `hous` is a word of its own until
the next piece makes it `house`. So each row keeps its unfinished end as bytes; words before the
last certain break are settled and summed once, those after it are looked up anew at every token.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from xelm.allocation.terms import words
from xelm.ensemble.routers.base import State
from xelm.ensemble.routers.columns import Column
from xelm.ensemble.routers.tfidf import Tfidf
from xelm.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Bytes that end a word for certain and that no rule of lower-casing looks past: ASCII but for
# letters, digits and ' . : ^ ` _, and the ideographic comma, full stop and full-width comma.
_BREAK = re.compile(rb'[\s,;!?()\[\]{}"<>/|=+*&%$#@~\\-]|\xe3\x80[\x80-\x82]|\xef\xbc\x8c')


class WordTfidf(Tfidf):
    """As `Tfidf`, terms being words of two or more letters.

    Args:
        vectors: idf * SVD row of each word, [words, d].
        vocabulary: word -> its row.
        pieces: the bytes of each token id.
    """

    kind: ClassVar[str] = "tfidf"

    def __init__(
        self,
        experts: Sequence[str],
        columns: Sequence[Column],
        vectors: torch.Tensor,
        centroids: torch.Tensor,
        vocabulary: Mapping[str, int],
        pieces: Sequence[bytes],
        **settings: Any,
    ) -> None:
        super().__init__(experts, columns, vectors, centroids, **settings)
        self._rows: NDArray[np.float64] = self.vectors.numpy()
        self._vocabulary, self._pieces = vocabulary, pieces

    def start(self, batch: int) -> State:
        """No words yet."""
        return State(self.prior.new_zeros((batch, self.width)), [b""] * batch)

    def read(
        self, state: State, ids_bt: torch.Tensor, mask_bt: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """As in the base; ids are read on the CPU."""
        assert state.words is not None
        settled = state.sums.cpu().numpy().copy()
        ids = ids_bt.cpu().numpy()
        mask = np.ones_like(ids) if mask_bt is None else mask_bt.cpu().numpy()
        sums = np.empty((*ids.shape, self.width))
        ends: list[bytes] = []
        for row, end in enumerate(state.words):
            for column, token in enumerate(ids[row]):
                if mask[row, column]:
                    end = self._push(settled[row], end + self._pieces[token])
                sums[row, column] = settled[row] + self._sum(end)
            ends.append(end)
        device = self.prior.device
        after = State(torch.from_numpy(settled).to(device), ends)
        return torch.from_numpy(sums).to(device), after

    def _push(self, settled: NDArray[np.float64], end: bytes) -> bytes:
        """Add the words before the last break to `settled`; returns what is left."""
        breaks = [found.end() for found in _BREAK.finditer(end)]
        if not breaks:
            return end
        settled += self._sum(end[: breaks[-1]])
        return end[breaks[-1] :]

    def _sum(self, text: bytes) -> NDArray[np.float64] | float:
        """The vectors of the words of a text, summed."""
        found = (self._vocabulary.get(word) for word in words(text.decode("utf-8", "replace")))
        rows = [row for row in found if row is not None]
        return np.asarray(self._rows[rows].sum(0)) if rows else 0.0


def piece_bytes(tokenizer: "PreTrainedTokenizerBase") -> list[bytes]:
    """The bytes each token id stands for; special tokens are a line end.

    Raises:
        UserError: the tokenizer is neither byte-level nor of the sentencepiece kind.
    """
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_ids)
    kind = _kind(tokenizer)
    read = {"bytes": _from_byte_letters, "metaspace": _from_metaspace}[kind]
    return [
        b"\n" if number in special or piece is None else read(piece)
        for number, piece in enumerate(pieces)
    ]


def _kind(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = "" if backend is None else repr(backend.decoder)
    if "ByteLevel" in text:
        return "bytes"
    if "▁" in text or "Metaspace" in text:
        return "metaspace"
    raise UserError(
        f"{tokenizer.name_or_path or 'tokenizer'}: words cannot be routed by with this kind of "
        "tokenizer; allocate with terms: pieces"
    )


def _byte_letters() -> dict[str, int]:
    """The alphabet of byte-level BPE: printable Latin-1 stands for itself, the rest from U+0100."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in set(plain))
    letters = {chr(byte): byte for byte in plain}
    letters.update({chr(0x100 + number): byte for number, byte in enumerate(others)})
    return letters


_LETTERS = _byte_letters()


def _from_byte_letters(piece: str) -> bytes:
    if all(letter in _LETTERS for letter in piece):
        return bytes(_LETTERS[letter] for letter in piece)
    return piece.encode("utf-8")  # an added token, kept as text


def _from_metaspace(piece: str) -> bytes:
    if re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", piece):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode("utf-8")
