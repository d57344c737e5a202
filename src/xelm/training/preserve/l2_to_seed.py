"""`l2-to-seed`: every layer is pulled back to where it came from, the middle ones most."""

from xelm.training.preserve.base import Method

_MIDDLE = 0.05
_ENDS_PART = 0.02  # the published pair is .05 and .001


class L2ToSeed(Method):
    """Adds strength/2 * |weight - parent's weight|^2 to the loss, as its gradient.

    `preserve_strength` is that of the middle layers (default 0.05); all else gets 1/50 of it.
    Costs 4 bytes per parameter for the parent's weights.
    """

    def pulls(self, names: list[str]) -> dict[str, float]:
        strength = _MIDDLE if self.strength is None else self.strength
        return {name: strength if self.is_middle(name) else strength * _ENDS_PART for name in names}
