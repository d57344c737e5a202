"""From a bundle (a folder or a hub id) to what a model is made of; every file is checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from xelm.ensemble import manifest as manifests
from xelm.ensemble.config import XelmConfig
from xelm.ensemble.manifest import Manifest
from xelm.ensemble.resident import Resident
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import Routing, parse
from xelm.ensemble.verify import verify_folder, verify_shapes
from xelm.errors import UserError

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


@dataclass(frozen=True)
class Loaded:
    """A bundle in memory; `xelm.ensemble.model` makes a model of it."""

    folder: Path
    config: XelmConfig
    experts: list[Any] | Resident
    data: RouterData
    routing: Routing
    context: int | None
    """Window length the experts were trained on, where their ledgers say."""
    generation_config: Any
    """None: transformers' own."""


def load(
    pretrained_model_name_or_path: str | Path,
    *args: Any,
    config: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    experts: Sequence[str] | None = None,
    resident: str | int = "all",
    verify: bool = True,
    **kwargs: Any,
) -> Loaded:
    """Load a bundle's experts, in evaluation mode, and its router.

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
    names = list(experts) if experts is not None else [e.name for e in manifest.experts]
    how = {"dtype": dtype or torch_dtype or "auto", **for_experts}
    chosen = [manifest.expert(name) for name in names]
    loaders = [_loader(bundle, e.folder, e.fingerprint, how, verify) for e in chosen]
    data = _router_data(bundle, manifest, names, verify)
    routing = parse({**manifest.router.settings, "kind": manifest.router.kind})
    routing = routing.override(**config.routing_changes())
    seed = manifest.seed
    if routing.abstain and data.bounds and len(names) > 1 and seed and seed.folder:
        loaders.append(_loader(bundle, seed.folder, seed.fingerprint, how, verify))
        data = data.with_fallback(manifests.SEED)
    config.name_or_path = str(pretrained_model_name_or_path)
    few = None if resident == "all" else _number(resident)
    return Loaded(
        folder=bundle,
        config=config,
        experts=Resident(loaders, few) if few else [loader() for loader in loaders],
        data=data,
        routing=routing,
        context=_context(bundle / chosen[0].folder),
        generation_config=_generation_config(bundle),
    )


def _router_data(
    bundle: Path, manifest: Manifest, names: Sequence[str], verify: bool
) -> RouterData:
    """What the router of these experts is made of, in their order."""
    folder = bundle / manifest.router.folder
    verify_folder(bundle, folder, manifest.router.fingerprint, hashes=verify)
    data = RouterData.load(folder)
    for name in set(data.experts) - set(names):
        data = data.without(name)
    if set(data.experts) != set(names):
        missing = ", ".join(sorted(set(names) - set(data.experts)))
        raise UserError(f"{folder}: knows nothing of expert {missing}; fetch the bundle again")
    return replace(data, experts=tuple(names))


def _number(resident: str | int) -> int:
    try:
        return int(resident)
    except ValueError:
        raise UserError(f"resident: {resident!r}; give `all` or a number") from None


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


def _generation_config(bundle: Path) -> Any:
    from transformers import GenerationConfig

    if not (bundle / "generation_config.json").is_file():
        return None
    return GenerationConfig.from_pretrained(bundle)
