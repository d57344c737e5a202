"""A byte-level BPE for many scripts, or one taken from a Hugging Face folder.

Byte-level means no character is unknown and decoding gives the very bytes back, so bits per byte
are exact. Words keep their combining marks (Devanagari, Thai, Arabic vowels), which the usual
GPT-2 pattern cuts off. The training sample gives every language the same number of bytes.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xelm.corpus.documents import Document
from xelm.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
SMALLEST_VOCABULARY = 257  # all bytes and the end of text
_LONGEST_PIECE = 32  # bytes; no clause of Chinese becomes one token
# A word with its marks and joiners, up to three digits, punctuation, line ends, spaces. Each takes
# one leading space at most, so a cut before a single space never changes the pieces.
_WORDS = (
    r" ?[\p{L}\p{M}\u200c\u200d]+| ?\p{N}{1,3}| ?[^\s\p{L}\p{M}\p{N}]+|[\r\n]+|[^\S\r\n]+(?!\S)|\s+"
)
_LONGEST_TEXT = 1 << 18  # characters encoded at once; longer documents are cut at a space
_SEARCH = 10_000  # characters before the cut in which a space is looked for


def train(
    documents: Iterable[Document], vocabulary: int, *, sample_bytes_per_language: int = 2_000_000
) -> "PreTrainedTokenizerFast":
    """Train byte-level BPE with `vocabulary` entries (id 0 = end of text) on a balanced sample.

    Streams over `documents`, keeping at most `sample_bytes_per_language` of each language (those
    of smallest hash, so the order of reading does not matter). Raises UserError when there is no
    text or `vocabulary` is below 257.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    if vocabulary < SMALLEST_VOCABULARY:
        raise UserError(f"vocabulary: {vocabulary} is below {SMALLEST_VOCABULARY}; raise it")
    sample = balanced_sample(documents, sample_bytes_per_language)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=_LONGEST_PIECE,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    return _wrap(tokenizer)


def _wrap(tokenizer: Any) -> "PreTrainedTokenizerFast":
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )


def balanced_sample(documents: Iterable[Document], bytes_per_language: int) -> list[str]:
    """Texts with about the same number of bytes of every language; a small language is repeated.

    Deterministic and independent of the order of `documents`. Raises UserError on no text.
    """
    kept: dict[str, list[tuple[int, str]]] = defaultdict(list)  # heap, largest hash first
    sizes: dict[str, int] = defaultdict(int)
    for document in documents:
        heap, language = kept[document.language], document.language
        text = document.text[:_LONGEST_TEXT]
        heapq.heappush(heap, (-_order(document), text))
        sizes[language] += len(text.encode("utf-8"))
        while sizes[language] - len(heap[0][1].encode("utf-8")) >= bytes_per_language:
            sizes[language] -= len(heapq.heappop(heap)[1].encode("utf-8"))
    if not kept:
        raise UserError("no text to train a tokenizer on; check the train patterns")
    most = min(bytes_per_language, max(sizes.values()))
    texts: list[str] = []
    for language in sorted(kept):
        ordered = [text for _, text in sorted(kept[language], reverse=True)]
        texts.extend(ordered * max(1, round(most / max(1, sizes[language]))))
    return texts


def _order(document: Document) -> int:
    key = f"{document.language}\0{document.source}\0{document.id}".encode()
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


def load(folder_or_hub_id: str | Path) -> "PreTrainedTokenizerBase":
    """A tokenizer of a folder or of the hub; UserError when there is none or it runs own code."""
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder_or_hub_id))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{folder_or_hub_id}: no tokenizer loads from here ({reason})") from error
    return tokenizer


def end_of_text(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The id between documents: end-of-sequence, else beginning-of-sequence, else UserError."""
    for candidate in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        if candidate is not None:
            return int(candidate)
    raise UserError(
        f"{tokenizer.name_or_path or 'tokenizer'}: has no end-of-text (eos or bos) token; "
        "set one in its tokenizer_config.json"
    )


def require_fit(tokenizer: "PreTrainedTokenizerBase", embeddings: int, seed: str) -> None:
    """Raise UserError when a model with `embeddings` rows cannot read this tokenizer's ids."""
    if len(tokenizer) > embeddings:
        raise UserError(
            f"{seed}: its tokenizer has {len(tokenizer)} entries but the model only {embeddings} "
            "embedding rows; give the tokenizer that belongs to this model"
        )


def encode(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text as given: nothing added, text that looks like a special token is text.

    The one way the package turns text into ids, so that training and scoring agree.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    return encode_backend(backend, texts)


def encode_backend(backend: Any, texts: Sequence[str]) -> list[list[int]]:
    """As `encode`, for a bare `tokenizers.Tokenizer` (workers do without transformers)."""
    pieces = [list(_cut(text)) for text in texts]
    flat = [piece for parts in pieces for piece in parts]
    before, backend.encode_special_tokens = backend.encode_special_tokens, True
    try:
        encoded = iter(backend.encode_batch_fast(flat, add_special_tokens=False))
    finally:
        backend.encode_special_tokens = before
    return [[token for _ in parts for token in next(encoded).ids] for parts in pieces]


def _cut(text: str) -> Iterator[str]:
    """Pieces of bounded length, cut before a single space or after a line end if there is one."""
    start = 0
    while len(text) - start > _LONGEST_TEXT:
        end = start + _LONGEST_TEXT
        near = range(end, max(start, end - _SEARCH), -1)
        end = next((at for at in near if _is_boundary(text, at)), end)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _is_boundary(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    if before == "\n":
        return not after.isspace()
    return after == " " and not before.isspace() and not text[at + 1 : at + 2].isspace()
