"""Exclusive or, as three nets of whole numbers with two hidden neurons; a tick is a window.

    A   h1 = [x1 + x2 >= 1],  h2 = [x1 + x2 >= 2],  y = [h1 - 2 h2 >= 1]
    B   h1 = [x1 - x2 >= 1],  h2 = [x2 - x1 >= 1],  y = [h1 + h2 >= 1]
    C   h1 = [x1 + x2' >= 2], h2 = [x1' + x2 >= 2], y = [h1 + h2 >= 1]      no negative weight, but both rails: x' = 1 - x

Our own nets; exclusive or is the case that Krylov et al., arXiv 2311.10721 (2023), study.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware.sfq.model import SFQLayer, SFQNetwork
from snnsim.rule import one_of

NETS: dict[str, tuple[list[list[int]], list[int], list[list[int]], int]] = {
    "A": ([[1, 1], [1, 1]], [1, 2], [[1, -2]], 1),
    "B": ([[1, -1], [-1, 1]], [1, 1], [[1, 1]], 1),
    "C": ([[1, 0, 0, 1], [0, 1, 1, 0]], [2, 2], [[1, 1]], 1)}
CASES = ((0, 0), (0, 1), (1, 0), (1, 1))


def xor(name: str = "A") -> SFQNetwork:
    """The net of this name, A, B or C. Inputs: x1, x2; of C x1, x1', x2, x2'. ValueError for another name."""
    one_of("name", name, NETS)
    hidden, thresholds, output, threshold = NETS[name]
    return SFQNetwork((SFQLayer("hidden", hidden, thresholds, leak=0, bits=3),
                       SFQLayer("y", output, threshold, leak=0, bits=3)))


def xor_pulses(name: str, x: ArrayLike) -> NDArray[np.uint8]:
    """The net's input pulses, [T, inputs], of bits x [T, 2], a window each. ValueError for other numbers, or another name."""
    one_of("name", name, NETS)
    bits: NDArray[Any] = np.asarray(x)
    if bits.ndim != 2 or bits.shape[1] != 2 or not np.isin(bits, (0, 1)).all():
        raise ValueError(f"x must be bits [T, 2], got {x!r}")
    bits = bits.astype(np.uint8)
    return bits if name != "C" else np.stack([bits[:, 0], 1 - bits[:, 0], bits[:, 1], 1 - bits[:, 1]], 1)
