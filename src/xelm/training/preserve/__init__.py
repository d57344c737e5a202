"""Keeping what the seed knew while an expert learns its languages: one small file per method.

See METHOD: parameter alignment for multilingual experts (Ahuja and Blevins 2026).
"""

from xelm.training.preserve.base import Method
from xelm.training.settings import ArmSettings


def method(settings: ArmSettings) -> Method:
    """The method that `settings.preserve` names."""
    return Method()
