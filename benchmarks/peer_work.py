"""What the training benchmarks give to every tool: nets, weights, input, labels.

NumPy only, nothing of snnsim: the peers' interpreters import it as it lies beside their scripts.

    ff    700-256-256-20, 100 steps, batch 256, 2 % of the inputs active at each step
    rec   700-256-20, the 256 recurrent; the same input
    conv  2x34x34, convolution to 16, mean of 2x2, convolution to 32, mean of 2x2, 10; 16 steps, batch 32, 5 % active

Neurons stand behind every linear map, which has a bias that starts at zero. The loss is the cross-entropy of the spike
counts of the output.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

DECAY, THETA, RATE = 0.9, 1.0, 1e-3  # of the membrane in a step; threshold; learning rate of Adam
GAIN = 4.0  # over torch's own draw: the layers fire in some percent of the steps
STEPS = {"ff": 100, "rec": 100, "conv": 16}
BATCH = {"ff": 256, "rec": 256, "conv": 32}
INPUT = {"ff": (700,), "rec": (700,), "conv": (2, 34, 34)}
DENSITY = {"ff": 0.02, "rec": 0.02, "conv": 0.05}
SHAPES = {"ff": [(256, 700), (256, 256), (20, 256)], "rec": [(256, 700), (20, 256)],
          "conv": [(16, 2, 3, 3), (32, 16, 3, 3), (10, 2048)]}


class Work(NamedTuple):
    """x [T, B, ...] of zeros and ones; labels [B]; weights laid out as torch does; recurrent [target, source] or None."""

    x: np.ndarray
    labels: np.ndarray
    weights: list
    recurrent: np.ndarray | None


def draw(net, steps=0, batch=0):
    """The work of a net, with its own steps and batch or with others. The weights do not depend on them."""
    rng = np.random.default_rng(0)
    bounds = [GAIN / np.sqrt(np.prod(shape[1:])) for shape in SHAPES[net]]
    weights = [rng.uniform(-b, b, shape).astype(np.float32) for b, shape in zip(bounds, SHAPES[net], strict=True)]
    n = SHAPES[net][0][0]
    # Without a gain: with one of 4, neurons fire in a third of the steps, chaotically, and no two tools agree for long.
    recurrent = (rng.uniform(-1, 1, (n, n)) / np.sqrt(n)).astype(np.float32) if net == "rec" else None
    labels = rng.integers(0, SHAPES[net][-1][0], batch or BATCH[net])
    shape = (steps or STEPS[net], len(labels), *INPUT[net])
    return Work((rng.random(shape, np.float32) < DENSITY[net]).astype(np.float32), labels, weights, recurrent)


def current(*shape):
    """The input of a layer of neurons alone, [T, B, N]: with these, neurons fire in a tenth of the steps."""
    return np.random.default_rng(0).standard_normal(shape, np.float32) * np.float32(0.4) + np.float32(0.05)


def resident_mb(what="VmRSS"):
    """What this process holds; with "VmHWM", the most that it has held since `forget_peak`."""
    return int(Path("/proc/self/status").read_text().partition(f"{what}:")[2].split()[0]) / 1024


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")
