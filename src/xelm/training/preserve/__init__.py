"""Keeping what the seed knew while an expert learns its languages: one small file per method.

Published for multilingual experts by Ahuja and Blevins (arXiv 2606.00284): family experts forget
general ability, and holding on to the middle layers keeps most of it at little cost. A new method
is a subclass of `Method` and a line here.
"""

from typing import Any

from xelm.training.preserve.base import Method
from xelm.training.preserve.freeze_middle import FreezeMiddle
from xelm.training.preserve.l2_to_seed import L2ToSeed
from xelm.training.preserve.lora import Lora
from xelm.training.preserve.revert_middle import RevertMiddle
from xelm.training.settings import ArmSettings

METHODS: dict[str, type[Method]] = {
    "none": Method,
    "freeze-middle": FreezeMiddle,
    "l2-to-seed": L2ToSeed,
    "revert-middle": RevertMiddle,
    "lora": Lora,
}


def method(settings: ArmSettings, config: Any) -> Method:
    """The method that `settings.preserve` names, for a model of this config."""
    return METHODS[settings.preserve](settings, config)
