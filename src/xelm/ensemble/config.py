"""The configuration of a bundle as transformers knows it (`config.json`, model type `xelm`).

It says only what every revision shares (the experts' architecture, the token ids), so that growth
need not touch it; who the experts are stands in xelm.json.
"""

from typing import Any, ClassVar

from transformers import PreTrainedConfig

_SHARED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "max_position_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "tie_word_embeddings",
)
_ROUTING = (
    "router",
    "temperature",
    "exponent",
    "abstain",
    "top_m",
    "negligible",
    "route_every",
    "route_tokens",
)


class XelmConfig(PreTrainedConfig):  # type: ignore[misc]
    """Architecture shared by the experts; `expert` is their own configuration as a dict.

    The routing fields are None (as the bundle says) unless they are set on loading:
    `AutoModelForCausalLM.from_pretrained(bundle, router="tfidf", top_m=2)`.
    """

    model_type = "xelm"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values", "cache"]

    expert: dict[str, Any] | None = None
    vocab_size: int | None = None
    hidden_size: int | None = None
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    intermediate_size: int | None = None
    max_position_embeddings: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    use_cache: bool = True
    router: str | None = None
    temperature: float | None = None
    exponent: int | None = None
    abstain: bool | None = None
    top_m: int | None = None
    negligible: float | None = None
    route_every: str | None = None
    route_tokens: int | None = None

    @classmethod
    def of_expert(cls, expert: PreTrainedConfig) -> "XelmConfig":
        """The configuration of bundles whose experts look like this one."""
        text = expert.get_text_config()
        shared = {key: getattr(text, key) for key in _SHARED if hasattr(text, key)}
        about = expert.to_dict()
        about.pop("transformers_version", None)
        about.pop("_name_or_path", None)
        return cls(expert=about, architectures=["XelmForCausalLM"], dtype=expert.dtype, **shared)

    def routing_changes(self) -> dict[str, Any]:
        """The routing fields that were set, by their names in `Routing`."""
        names = {"router": "kind"}
        return {names.get(key, key): getattr(self, key) for key in _ROUTING}
