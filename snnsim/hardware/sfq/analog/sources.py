"""Sources of pulses in a deck."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from snnsim.hardware.sfq.library import PHI0

PULSE = 5.0  # ps, of a triangle of area Phi0


def pulse_source(name: str, times: ArrayLike) -> str:
    """The line V<name> of a source at the node <name>: a triangle of area Phi0, which is one pulse, from each of these times,
    ps."""
    peak = 2e3 * PHI0 / PULSE  # uV
    corners = " ".join(f"{t:g}p 0 {t + PULSE / 2:g}p {peak:.7g}u {t + PULSE:g}p 0" for t in np.sort(np.ravel(times)).tolist())
    return f"V{name} {name} 0 pwl(0 0{' ' if corners else ''}{corners})"
