"""Convolution over time of many channels with many, as products of matrices: one for each frequency.

    y[t, b, a] = sum_c sum_k K[k, c, a] x[t - k, b, c]

The discrete Fourier transform over n >= T + L - 1 steps turns it into Y = X K for each of n // 2 + 1 frequencies. A complex
product takes three real ones (Gauss): Xr Kr, Xi Ki and (Xr + Xi)(Kr + Ki); the transform that leaves just these, and the one
that takes them back, are products with small matrices, which at this length beat a fast transform. The cost is about
two products of the dense layer without delays, and four transforms, whatever the number of taps.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from snnsim.nn import sparse
from snnsim.nn.pool import take

PIECE = 6 << 20  # values of a kernel's transform at once: 24 MiB; what is larger than 32 comes unmapped from malloc each time
CHUNK = 128  # steps; a longer time is cut into pieces of it, since a transform takes as many operations a step as it has steps


def convolve(x: torch.Tensor, kernel: torch.Tensor, back: bool = False) -> torch.Tensor:
    """y [T, B, A] for x [T, B, C] and kernel [L, C, A]; with x[t + k] for x[t - k] where `back`. Zeros around x."""
    steps, behind = len(x), len(kernel) - 1
    if steps <= 2 * CHUNK:
        return _whole(x, kernel, back)
    size = max(CHUNK, 2 * behind)
    count = -(-steps // size)
    rest = count * size - steps
    padded = functional.pad(x, (0, 0, 0, 0, 0, rest + behind) if back else (0, 0, 0, 0, behind, rest))
    pieces = padded.unfold(0, size + behind, size).permute(3, 0, 1, 2)
    y = _whole(pieces.flatten(1, 2), kernel, back).view(size + behind, count, x.shape[1], -1)
    return (y[:size] if back else y[behind:]).transpose(0, 1).flatten(0, 1)[:steps]


def _whole(x: torch.Tensor, kernel: torch.Tensor, back: bool) -> torch.Tensor:
    steps, samples, sources = x.shape
    length, targets = min(len(kernel), steps), kernel.shape[2]  # later taps meet nothing
    n = steps + length - 1
    into, _ = _transforms(n, x.dtype, str(x.device), False)
    of_x, out = _transforms(n, x.dtype, str(x.device), back)
    xs = _product(of_x[:, :steps].contiguous(), x.reshape(steps, -1)).view(-1, samples, sources)
    of_k, flat = into[:, :length].contiguous(), kernel[:length].reshape(length, -1)
    found = _found(xs, of_k, flat, targets) if _ours(x) else torch.bmm(xs, (of_k @ flat).view(-1, sources, targets))
    return _product(out[:steps], found.view(len(found), -1)).view(steps, samples, targets)


def _found(xs: torch.Tensor, of_k: torch.Tensor, kernel: torch.Tensor, targets: int) -> torch.Tensor:
    """xs [n, samples, sources] by the transformed kernel, product by product where they are large: torch's product of a
    batch takes twice as long where the processor is not Intel's."""
    n, samples, sources = xs.shape
    found, piece = take((n, samples, targets), xs.dtype), max(1, PIECE // (sources * targets))
    for k in range(0, n, piece):
        ks = _product(of_k[k: k + piece], kernel).view(-1, sources, targets)
        if samples * sources * targets < sparse.SMALL:
            torch.bmm(xs[k: k + piece], ks, out=found[k: k + piece])
            continue
        for i in range(len(ks)):
            found[k + i] = _product(xs[k + i], ks[i])
    return found


@lru_cache(maxsize=16)
def _transforms(n: int, dtype: torch.dtype, device: str, back: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """From n steps to real parts, imaginary parts and their sums, [3 (n // 2 + 1), n]; and back from the three products."""
    frequency = np.arange(n // 2 + 1)
    phase = 2 * np.pi * (np.outer(frequency, np.arange(n)) % n) / n
    c, s = np.cos(phase), np.sin(phase) * (-1 if back else 1)
    share = np.where((frequency == 0) | (2 * frequency == n), 1, 2)[:, None] / n
    into, out = np.concatenate([c, -s, c - s]), np.concatenate([share * (c + s), share * (s - c), -share * s]).T
    return (torch.from_numpy(into).to(device, dtype), torch.from_numpy(np.ascontiguousarray(out)).to(device, dtype))


def _ours(a: torch.Tensor) -> bool:
    return sparse.ONEDNN is not None and a.dtype == torch.float32 and a.device.type == "cpu" and not torch.is_grad_enabled()


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a b, with oneDNN where that is the faster one."""
    return sparse.ONEDNN(a, b.t(), None, "none", [], "") if _ours(a) else a @ b  # type: ignore[misc]
