"""Text from a bundle, piece by piece, with the expert that weighed most for each.

speak(model, tokenizer, "Habari ya", language="sw", say=lambda piece: print(piece.text, end=""))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xelm.corpus import tokenizer as tokenizers

if TYPE_CHECKING:
    import torch

    from xelm.ensemble.model import XelmForCausalLM


@dataclass(frozen=True)
class Piece:
    """Newly generated text: whole characters, from one token or a few."""

    text: str
    expert: str
    """Who weighed most when the last of its tokens was chosen."""
    weight: float


def speak(
    model: "XelmForCausalLM",
    tokenizer: Any,
    prompt: str,
    *,
    say: Callable[[Piece], None] = lambda piece: None,
    language: str | None = None,
    max_new_tokens: int = 100,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int | None = None,
) -> str:
    """Continue a prompt, which stands at the beginning of a document; returns the new text.

    Args:
        say: called with every piece as it is made.
        language: a known language asks the expert that owns it, not the router.
        temperature: of sampling; 0 takes the likeliest token each time.
        seed: of sampling; None draws anew.
    """
    import torch

    end = tokenizers.end_of_text(tokenizer)
    ids = torch.tensor([[end, *tokenizers.encode(tokenizer, [prompt])[0]]], device=model.device)
    voice = _Voice(model, tokenizer, say, end)
    settings: dict[str, Any] = {"do_sample": temperature > 0, "eos_token_id": end}
    if temperature > 0:
        settings |= {"temperature": temperature, "top_p": top_p}
    if seed is not None:
        torch.manual_seed(seed)
    model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_new_tokens,
        pad_token_id=end,
        streamer=voice,
        language=language,
        **settings,
    )
    return voice.text


class _Voice:
    """What transformers calls a streamer: gets the prompt, then one token at a time."""

    def __init__(
        self, model: "XelmForCausalLM", tokenizer: Any, say: Callable[[Piece], None], end: int
    ) -> None:
        self.model, self.tokenizer, self.say, self.end_of_text = model, tokenizer, say, end
        self.ids: list[int] | None = None
        self.context: list[int] = []
        self.text = ""

    def put(self, value: "torch.Tensor") -> None:
        """The prompt [1, t], then single ids."""
        if self.ids is None:  # some tokenizers write a first token otherwise than a later one
            self.ids = []
            self.context = value.flatten().tolist()[-4:]
            return
        token = int(value.flatten()[-1])
        if token == self.end_of_text:
            return
        self.ids.append(token)
        new = self._decoded()[len(self.text) :]
        if new and not new.endswith("\ufffd"):  # else a character of which bytes are missing
            self._tell(new)

    def end(self) -> None:
        """What is left, even if it is no whole character."""
        rest = self._decoded()[len(self.text) :]
        if rest:
            self._tell(rest)

    def _decoded(self) -> str:
        before = self.tokenizer.decode(self.context, skip_special_tokens=True)
        whole = self.tokenizer.decode([*self.context, *(self.ids or [])], skip_special_tokens=True)
        return str(whole[len(before) :])

    def _tell(self, new: str) -> None:
        weights = self.model.expert_weights
        assert weights is not None
        best = int(weights[0, -1].argmax())
        self.text += new
        self.say(Piece(new, self.model.names[best], float(weights[0, -1, best])))
