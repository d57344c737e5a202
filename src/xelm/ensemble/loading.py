"""From a bundle to a model and back: loading experts, keeping few of them, saving, uploading."""

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils import logging as transformers_logging

from xelm.ensemble import manifest as manifests
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import parse
from xelm.ensemble.verify import verify_folder, verify_shapes
from xelm.errors import UserError

if TYPE_CHECKING:
    from xelm.ensemble.model import XelmForCausalLM

transformers_logging.disable_progress_bar()  # k bars for k experts drown what the user wants to see

_TO_EXPERTS = ("attn_implementation", "device_map", "quantization_config", "low_cpu_mem_usage")
_IGNORED = (
    "trust_remote_code",
    "adapter_kwargs",
    "_from_auto",
    "gguf_file",
    "subfolder",
    "use_safetensors",
    "code_revision",
    "tp_plan",
    "weights_only",
    "max_memory",
    "offload_folder",
    "variant",
)
_HUB = ("revision", "cache_dir", "token", "local_files_only", "force_download", "proxies")


@lru_cache(maxsize=64)
def _accepts(kind: Any, name: str) -> bool:
    return name in inspect.signature(kind.forward).parameters


def keeps_logits(expert: Any) -> bool:
    """Does its forward take `logits_to_keep`?"""
    kind: Any = type(expert)
    return _accepts(kind, "logits_to_keep")


class Resident:
    """At most n experts in memory, loaded when they are needed, the least used evicted.

    For inference only: what is not in memory cannot be moved, converted or trained.
    """

    def __init__(self, loaders: Sequence[Callable[[], Any]], n: int) -> None:
        if not n >= 1:
            raise UserError(f"resident: {n}; give `all`, or a number of at least 1")
        self._loaders, self.n = list(loaders), n
        self._loaded: dict[int, Any] = {}  # in the order of use
        self.loads = 0

    def __len__(self) -> int:
        return len(self._loaders)

    def __getitem__(self, index: int) -> Any:
        if index in self._loaded:
            self._loaded[index] = self._loaded.pop(index)
            return self._loaded[index]
        while len(self._loaded) >= self.n:
            self._loaded.pop(next(iter(self._loaded)))
        self._loaded[index] = self._loaders[index]()
        self.loads += 1
        return self._loaded[index]

    @property
    def device(self) -> torch.device:
        """Of the experts in memory (one is loaded if there is none)."""
        found: torch.device = self[next(reversed(self._loaded), 0)].device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """Of the experts in memory (one is loaded if there is none)."""
        found: torch.dtype = self[next(reversed(self._loaded), 0)].dtype
        return found


def load(
    cls: type["XelmForCausalLM"],
    pretrained_model_name_or_path: str | Path,
    *args: Any,
    config: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    experts: Sequence[str] | None = None,
    resident: str | int = "all",
    verify: bool = True,
    **kwargs: Any,
) -> "XelmForCausalLM":
    """Load a bundle as one model, in evaluation mode.

    Args:
        pretrained_model_name_or_path: the bundle's folder, or a hub id.
        config: a XelmConfig to use instead of the bundle's own.
        dtype: the experts' dtype; None is what they were saved in.
        experts: load only these, by name, in this order.
        resident: `all`, or how many experts to keep in memory at once.
        verify: check the SHA-256 of what is loaded; False checks sizes only.
        kwargs: attn_implementation, device_map ..., handed to every expert; hub arguments; and
            routing settings: router, temperature, exponent, top_m, negligible, route_every ...

    Raises:
        UserError: naming the file that is missing, damaged or does not fit.
    """
    from xelm.ensemble.config import XelmConfig

    hub = {key: kwargs.pop(key) for key in _HUB if key in kwargs}
    for key in _IGNORED:
        kwargs.pop(key, None)
    bundle = fetch(pretrained_model_name_or_path, **hub)
    manifest = manifests.read(bundle)
    if config is None:
        config, kwargs = XelmConfig.from_pretrained(bundle, return_unused_kwargs=True, **kwargs)
    for_experts = {key: kwargs.pop(key) for key in _TO_EXPERTS if key in kwargs}
    if kwargs:
        raise UserError(f"{pretrained_model_name_or_path}: unknown argument {next(iter(kwargs))!r}")
    verify_shapes(bundle, manifest)
    router_folder = bundle / manifest.router.folder
    verify_folder(bundle, router_folder, manifest.router.fingerprint, hashes=verify)
    data = RouterData.load(router_folder)
    names = list(experts) if experts is not None else [e.name for e in manifest.experts]
    how = {"dtype": dtype or torch_dtype or "auto", **for_experts}
    chosen = [manifest.expert(name) for name in names]
    loaders = [_loader(bundle, e.folder, e.fingerprint, how, verify) for e in chosen]
    for name in set(data.experts) - set(names):
        data = data.without(name)
    data = _ordered(data, names, router_folder)
    routing = parse({**manifest.router.settings, "kind": manifest.router.kind})
    routing = routing.override(**config.routing_changes())
    seed = manifest.seed
    if routing.abstain and data.bounds and len(names) > 1 and seed and seed.folder:
        loaders.append(_loader(bundle, seed.folder, seed.fingerprint, how, verify))
        data = data.with_fallback(manifests.SEED)
    config.name_or_path = str(pretrained_model_name_or_path)
    few = None if resident == "all" else _number(resident)
    held: Any = Resident(loaders, few) if few else [loader() for loader in loaders]
    model = cls(config, held, data, routing)
    model.bundle = bundle
    model.context = _context(bundle / manifest.expert(names[0]).folder)
    model.generation_config = _generation_config(bundle, model.generation_config)
    model.eval()
    return model


def _number(resident: str | int) -> int:
    try:
        return int(resident)
    except ValueError:
        raise UserError(f"resident: {resident!r}; give `all` or a number") from None


def _ordered(data: RouterData, names: Sequence[str], folder: Path) -> RouterData:
    from dataclasses import replace

    if set(data.experts) != set(names):
        missing = ", ".join(sorted(set(names) - set(data.experts)))
        raise UserError(f"{folder}: knows nothing of expert {missing}; fetch the bundle again")
    return replace(data, experts=tuple(names))


def _loader(
    bundle: Path, relative: str, fingerprint: str, how: dict[str, Any], verify: bool
) -> Callable[[], Any]:
    folder = bundle / relative
    verify_folder(bundle, folder, fingerprint, hashes=False)

    def load_expert() -> Any:
        from transformers import AutoModelForCausalLM

        verify_folder(bundle, folder, fingerprint, hashes=verify)
        try:
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                **how,
            )
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder}: cannot load this expert: {reason}") from error
        return model.eval()

    return load_expert


def fetch(name: str | Path, **hub: Any) -> Path:
    """The bundle's folder; a hub id is downloaded (or found in the hub's cache)."""
    folder = Path(name)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    text = str(name)
    if text.count("/") != 1 or text.startswith((".", "/", "~")):
        raise UserError(f"{name}: no such folder, and not a hub id (owner/name)")
    hub.pop("proxies", None)
    try:
        return Path(snapshot_download(text, **hub))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name}: no such folder, nor found on the hub ({reason})") from error


def _context(folder: Path) -> int | None:
    """The window length in an expert's ledger."""
    from xelm.storage import atomic

    path = folder / "ledger.json"
    ledger = atomic.read_json(path) if path.is_file() else {}
    return ledger.get("context") if isinstance(ledger, dict) else None


def _generation_config(bundle: Path, default: Any) -> Any:
    from transformers import GenerationConfig

    if not (bundle / "generation_config.json").is_file():
        return default
    return GenerationConfig.from_pretrained(bundle)


def save(model: "XelmForCausalLM", folder: Path, *args: Any, **kwargs: Any) -> None:
    """Write the model's bundle to `folder`."""
    from xelm.ensemble.publishing import save_model

    if kwargs.pop("push_to_hub", False):
        push(model, kwargs.pop("repo_id", folder.name), **kwargs)
    save_model(model, folder)


def push(model: "XelmForCausalLM", repo_id: str, **kwargs: Any) -> str:
    """Upload the bundle; see XelmForCausalLM.push_to_hub."""
    from xelm.ensemble.publishing import push_model

    return push_model(model, repo_id, **kwargs)
