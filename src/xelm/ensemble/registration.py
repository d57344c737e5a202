"""Makes transformers know the model type `xelm`, without importing transformers before it is used.

`import xelm` calls `install()`: a few microseconds. When the modules that hold the Auto classes are
imported, then or later, the configuration and the model class are registered with them.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_CONFIGS = "transformers.models.auto.configuration_auto"
_MODELS = "transformers.models.auto.modeling_auto"
_installed = False


def install() -> None:
    """Register now where transformers is loaded, or as soon as it is. Again is harmless."""
    global _installed
    if _installed:
        return
    _installed = True
    waiting = {name: act for name, act in _ACTIONS.items() if not _run_if_loaded(name, act)}
    if waiting:
        sys.meta_path.insert(0, _Finder(waiting))


def _run_if_loaded(name: str, act: Callable[[], None]) -> bool:
    if name not in sys.modules:
        return False
    act()
    return True


def _register_config() -> None:
    from transformers import AutoConfig

    from xelm.ensemble.config import XelmConfig

    AutoConfig.register("xelm", XelmConfig, exist_ok=True)


def _register_model() -> None:
    from transformers import AutoModelForCausalLM

    from xelm.ensemble.config import XelmConfig
    from xelm.ensemble.model import XelmForCausalLM

    AutoModelForCausalLM.register(XelmConfig, XelmForCausalLM, exist_ok=True)


_ACTIONS: dict[str, Callable[[], None]] = {_CONFIGS: _register_config, _MODELS: _register_model}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds nothing itself: lets a module load as ever, then acts once."""

    def __init__(self, waiting: dict[str, Callable[[], None]]) -> None:
        self._waiting = waiting

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        act = self._waiting.pop(fullname, None)
        if act is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            _then(spec.loader, act)
        return spec


def _then(loader: Any, act: Callable[[], None]) -> None:
    """Make this loader act after it has run its module."""
    execute = loader.exec_module

    def execute_and_act(module: ModuleType) -> None:
        execute(module)
        act()

    loader.exec_module = execute_and_act
