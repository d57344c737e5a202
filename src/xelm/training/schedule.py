"""The learning rate of a step: a pure function of the step and the settings."""

import math

from xelm.training.settings import ArmSettings


def learning_rate(step: int, steps: int, settings: ArmSettings) -> float:
    """The rate of `step` (counted from 0) of `steps`.

    The first warm-up step already moves, and the last step stands one short of `decay_to`, so no
    step is wasted at a rate of zero.
    """
    warm = round(settings.warmup * steps)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return settings.learning_rate * _after_warmup(step - warm, steps - warm, steps, settings)


def _after_warmup(done: int, left: int, steps: int, settings: ArmSettings) -> float:
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "wsd":
        falling = min(left, max(1, round(settings.decay * steps)))
        done, left = done - (left - falling), falling
    part = min(1.0, max(0.0, done / left))
    if settings.schedule == "cosine":
        part = (1 - math.cos(math.pi * part)) / 2
    return 1.0 - (1.0 - settings.decay_to) * part
