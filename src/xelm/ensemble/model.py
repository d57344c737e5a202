"""`XelmForCausalLM`: the team of experts as one Hugging Face causal LM.

One active expert passes its logits through untouched, so a bundle of one expert equals the plain
model to the last bit; otherwise logits are the log of the weighted sum of probabilities, float32.
Only experts with a weight run. Shapes: b rows, t columns of the call, q columns whose logits are
wanted, k experts, v vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from xelm.ensemble import loading, publishing
from xelm.ensemble.cache import CACHE_NAME, XelmCache
from xelm.ensemble.config import XelmConfig
from xelm.ensemble.mixing import keep_largest
from xelm.ensemble.resident import Resident
from xelm.ensemble.routers.base import Router
from xelm.ensemble.routers.build import build
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import Routing
from xelm.ensemble.running import Block, keeps_logits, run_cached, run_likelihood, run_once
from xelm.errors import UserError


class XelmForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """Made by `from_pretrained(bundle)`, or of loaded experts and a router.

    Args:
        config: what the experts share.
        experts: causal LMs in the order of `data.experts`.
        data: what routers are built from.
        routing: how weights are made and used; see `route`.
    """

    config_class = XelmConfig
    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _is_stateful = False

    def __init__(
        self,
        config: XelmConfig,
        experts: Sequence[Any] | Resident | None = None,
        data: RouterData | None = None,
        routing: Routing | None = None,
    ) -> None:
        super().__init__(config)
        if experts is None or data is None:
            raise UserError(
                "XelmForCausalLM: is not made from a configuration alone; "
                "use XelmForCausalLM.from_pretrained(bundle)"
            )
        if not isinstance(experts, Resident):
            experts = torch.nn.ModuleList(experts)  # type: ignore[assignment]
        self.experts: Any = experts
        assert len(self.experts) == len(data.experts), "one expert a name"
        self.names = data.experts
        self.router_data = data
        self.bundle: Path | None = None
        """The folder it was loaded from."""
        self.context: int | None = None
        """Window length the experts were trained on, where their ledgers say."""
        self.expert_weights: torch.Tensor | None = None
        """Of the last call, [b, q, k]: who spoke, and how loud."""
        self.route_by(routing or Routing())
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> "XelmForCausalLM":
        """Load a bundle: a folder or a hub id; see `loading.load` for the arguments."""
        loaded = loading.load(*args, **kwargs)
        model = cls(loaded.config, loaded.experts, loaded.data, loaded.routing)
        model.bundle, model.context = loaded.folder, loaded.context
        if loaded.generation_config is not None:
            model.generation_config = loaded.generation_config
        model.eval()
        return model

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """Write the bundle: what is unchanged byte for byte, changed experts anew."""
        if kwargs.pop("push_to_hub", False):
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)
        experts = None if self._is_lazy else self.experts
        publishing.save(self.bundle, self.names, experts, Path(save_directory))

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Upload the bundle's files as they are; keyword arguments as in transformers."""
        return publishing.push(self.save_pretrained, repo_id, **kwargs)

    def route_by(self, routing: Routing) -> None:
        """Change how this model routes from now on."""
        self.routing = routing
        router = build(routing, self.router_data)
        self.router: Router = router.to(self._experts_device())

    @contextmanager
    def routed(self, **changes: Any) -> Iterator["XelmForCausalLM"]:
        """Other routing inside a `with` block: `with model.routed(kind="uniform", top_m=2): ...`"""
        before, router = self.routing, self.router
        self.route_by(before.override(**changes))
        try:
            yield self
        finally:
            self.routing, self.router = before, router

    @property
    def device(self) -> torch.device:
        """Where the experts are; the router moves with them and is quicker to ask."""
        return self.router.prior.device

    def _experts_device(self) -> torch.device:
        found: torch.device = self.experts.device if self._is_lazy else self.experts[0].device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """The experts' dtype."""
        dtype: torch.dtype = self.experts.dtype if self._is_lazy else super().dtype
        return dtype

    @property
    def _is_lazy(self) -> bool:
        return isinstance(self.experts, Resident)

    def train(self, mode: bool = True) -> "XelmForCausalLM":
        """As any module; refused when only some experts are in memory."""
        if mode and self._is_lazy:
            raise UserError("train: experts come and go (resident: n); load with resident='all'")
        super().train(mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """What .to(), .half() and the like go through."""
        if self._is_lazy:
            raise UserError(
                "to: experts come and go (resident: n); give dtype and device_map on loading"
            )
        return super()._apply(fn, recurse)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        expert_weights: torch.Tensor | None = None,
        cache: Any = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """As any causal LM's; `expert_weights` [b, k] overrules the router for each row.

        `cache` is the new name of `past_key_values` in transformers; either will do.
        Returns logits [b, q, v]; q is all columns, or the last `logits_to_keep`.
        """
        given = past_key_values if cache is None else cache
        if len(self.experts) == 1:
            return self._plain(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                inputs_embeds=inputs_embeds,
                labels=labels,
                use_cache=use_cache,
                logits_to_keep=logits_to_keep,
                **{CACHE_NAME: given},
                **kwargs,
            )
        if input_ids is None or inputs_embeds is not None:
            raise UserError("an X-ELM reads tokens: give input_ids, not inputs_embeds")
        if not isinstance(logits_to_keep, int):
            raise UserError("an X-ELM takes logits_to_keep as a number, not as positions")
        cache = self._cache(given, use_cache)
        block = Block(input_ids, attention_mask, position_ids, logits_to_keep)
        logits = self._run(block, cache, expert_weights)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1])
        return CausalLMOutputWithPast(loss=loss, logits=logits, **{CACHE_NAME: cache})

    def _plain(self, **arguments: Any) -> CausalLMOutputWithPast:
        """One expert: nothing of ours touches its numbers."""
        ids = arguments["input_ids"]
        if not keeps_logits(self.experts[0]):
            arguments.pop("logits_to_keep")
        output: CausalLMOutputWithPast = self.experts[0](**arguments)
        if ids is not None:
            self.expert_weights = torch.ones((*output.logits.shape[:2], 1), device=ids.device)
        return output

    def _cache(self, given: Any, use_cache: bool | None) -> XelmCache | None:
        if isinstance(given, XelmCache):
            return given
        if given is not None and given.get_seq_length() > 0:
            raise UserError(f"{CACHE_NAME}: an X-ELM goes on from its own XelmCache only")
        wanted = self.config.use_cache if use_cache is None else use_cache
        return XelmCache() if wanted or given is not None else None

    def _run(
        self, block: Block, cache: XelmCache | None, given_bk: torch.Tensor | None
    ) -> torch.Tensor:
        past = 0
        if cache is not None:
            past = cache.get_seq_length()
            cache.append(block.ids_bt, block.positions_bt, block.new_mask_bt)
        if self.router.needs_likelihood and given_bk is None:
            logits, weights = run_likelihood(self.experts, self.router, self.routing, block, cache)
        else:
            weights = self._weights(block, cache, past, given_bk)
            logits = (
                run_once(self.experts, block, weights)
                if cache is None
                else run_cached(self.experts, block, weights, cache)
            )
        self.expert_weights = weights
        return logits

    def _weights(
        self,
        block: Block,
        cache: XelmCache | None,
        past: int,
        given_bk: torch.Tensor | None,
    ) -> torch.Tensor:
        """Weights [b, q, k] with which the wanted columns' next tokens are predicted."""
        if given_bk is not None:
            weights = given_bk.double()[:, None].expand(-1, block.wanted, -1)
            return keep_largest(weights, self.routing.top_m, self.routing.negligible)
        weights = self._routed_weights(block, cache, past)
        return keep_largest(
            weights[:, -block.wanted :], self.routing.top_m, self.routing.negligible
        )

    def _routed_weights(self, block: Block, cache: XelmCache | None, past: int) -> torch.Tensor:
        if cache is None:
            weights, _ = self.router.step(
                self.router.start(block.rows), block.ids_bt, block.new_mask_bt
            )
            return self._settle(weights, block, None, past)
        if cache.state is None:
            cache.state = self.router.start(block.rows)
            if past:  # tokens were taken back: sum again what is left
                assert cache.ids_bs is not None
                real = None if cache.real_bs is None else cache.real_bs[:, :past]
                _, cache.state = self.router.step(cache.state, cache.ids_bs[:, :past], real)
        weights, cache.state = self.router.step(cache.state, block.ids_bt, block.new_mask_bt)
        return self._settle(weights, block, cache, past)

    def _settle(
        self, weights: torch.Tensor, block: Block, cache: XelmCache | None, past: int
    ) -> torch.Tensor:
        """With `route_every: sequence`, weights that stay as they were when they were settled."""
        if self.routing.route_every == "token":
            return weights
        if cache is not None and cache.settled_bk is not None:
            settled = cache.settled_bk[:, None]
            weights = torch.where(settled.isnan(), weights, settled)
        counts = block.counts_bt(cache, past)
        needed = self.routing.route_tokens
        reached = counts >= (counts[:, -1:].clamp_min(1) if needed is None else needed)
        if cache is not None and cache.settled_bk is not None:
            reached = reached | ~cache.settled_bk.isnan().any(-1)[:, None]
        first = reached.int().argmax(1)
        settled = weights[torch.arange(len(first), device=first.device), first]
        weights = torch.where(reached[..., None], settled[:, None], weights)
        if cache is not None:
            never = ~reached.any(1, keepdim=True)
            cache.settled_bk = settled.masked_fill(never, float("nan"))
        return weights

    def generate(
        self,
        inputs: torch.Tensor | None = None,
        *args: Any,
        language: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """As in transformers; `language` (known, one for all rows or one a row) asks its owner."""
        ids = kwargs.get("input_ids") if inputs is None else inputs
        if language is not None:
            rows = 1 if ids is None else ids.shape[0]
            kwargs["expert_weights"] = self.owners(
                [language] * rows if isinstance(language, str) else language
            )
        return super().generate(inputs, *args, **kwargs)

    def owners(self, languages: Sequence[str]) -> torch.Tensor:
        """Weights [b, k] that ask each row's language's owner: `expert_weights` of a call."""
        weights = torch.zeros(len(languages), len(self.names), dtype=torch.float64)
        for row, language in enumerate(languages):
            weights[row, self.names.index(self.owner(language))] = 1.0
        return weights.to(self.device)

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        if len(self.experts) == 1:
            return self.experts[0]._prepare_cache_for_generation(
                generation_config, model_kwargs, *args, **kwargs
            )
        if generation_config.cache_implementation not in (None, "dynamic"):
            raise UserError(
                f"cache_implementation={generation_config.cache_implementation!r}: an X-ELM keeps "
                "its own cache; leave it out"
            )
        if model_kwargs.get(CACHE_NAME) is None and generation_config.use_cache is not False:
            model_kwargs[CACHE_NAME] = XelmCache()
        return None

    def get_input_embeddings(self) -> Any:
        """The first expert's; each expert has its own."""
        return self.experts[0].get_input_embeddings()

    def get_output_embeddings(self) -> Any:
        """The first expert's; each expert has its own."""
        return self.experts[0].get_output_embeddings()

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: all experts share one vocabulary with the seed."""
        raise UserError("resize_token_embeddings: a bundle's vocabulary is fixed; train a new one")

    def tie_weights(self, *args: Any, **kwargs: Any) -> None:
        """Each expert ties its own on loading."""

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing of an X-ELM starts from scratch."""

    def owner(self, language: str) -> str:
        """The expert that owns a language; UserError when none does."""
        from xelm.ensemble.routers.constant import owner

        return owner(self.router_data.languages, language)

    @property
    def languages(self) -> Mapping[str, Mapping[str, int]]:
        """language -> expert -> tokens trained on."""
        return self.router_data.languages
