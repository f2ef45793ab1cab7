"""scikit-learn's handwritten digits as plain images."""

from functools import cache

import numpy as np
import torch


@cache
def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images in [0, 1], labels; the last 360 apart."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x, y = torch.tensor(data.data[order] / 16.0, dtype=torch.float32), torch.tensor(data.target[order])
    return x[:-360], y[:-360], x[-360:], y[-360:]
