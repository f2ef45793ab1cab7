"""How much a penalty counts as training goes on: a share of its strength k, from the share of the steps that are done.

    up-down    2 n / N up to the middle, then 2 (1 - n / N): the last steps are for the task alone
    linear-up  n / N
    constant   1

For the RMP-Loss of Guo et al., ICCV (2023), which grows slowly at first; the forms, k = 0.1, and counting n in steps of
the optimiser and not in epochs are our reading.
"""

from __future__ import annotations

from collections.abc import Callable

STRENGTH = 0.1
SCHEDULES: dict[str, Callable[[float], float]] = {
    "up-down": lambda done: min(2.0 * done, 2.0 * (1.0 - done)), "linear-up": lambda done: done, "constant": lambda done: 1.0}


def strength(schedule: str, most: float | None, done: float) -> float:
    """What the penalty is multiplied by when this share of the steps, 0 to 1, is done. most: k, or None for 0.1."""
    return (STRENGTH if most is None else most) * SCHEDULES[schedule](done)
