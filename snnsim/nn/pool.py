"""A pool of buffers, so that training steps stop asking the operating system for memory.

A fresh large array costs one page fault every 4 KiB, more than the neuron loops that fill it. Here a tensor's memory
goes back to the pool when the last view of it dies, and the next step gets it again, already mapped.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

SMALL = 1 << 16  # bytes; below it malloc reuses memory by itself
ALIGNMENT = 64
NUMPY = {torch.float32: np.float32, torch.float64: np.float64, torch.int32: np.int32}


def size_class(size: int) -> int:
    """The size rounded up to one of four steps an octave, so that nearly equal batches share buffers."""
    step = 1 << max(size.bit_length() - 3, 0)
    return -(-size // step) * step


@dataclass(eq=False)
class Buffer:
    """Memory of the pool. touched: as much of it as was ever asked for; the system has given no more than that."""

    memory: memoryview
    touched: int = 0


class Pool:
    """Uninitialised tensors whose memory is used again. At most `limit` bytes are kept that nobody uses.

    kept: bytes that nobody uses; mapped: bytes that the system has given, used or kept. Safe in any number of threads. A
    buffer is never in two hands: it comes back only when the array that owns it is gone, and every tensor and array made
    from it keeps that array alive.
    """

    def __init__(self, limit: int = 2 << 30) -> None:
        self.limit, self.kept, self.mapped = limit, 0, 0
        self._free: dict[int, list[Buffer]] = {}  # by size class; the class used longest ago comes first
        # Finalisers run wherever the garbage collector does, also inside `take`: they only append here.
        self._returned: deque[tuple[int, Buffer]] = deque()
        self._lock = threading.Lock()

    def take(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """A tensor with undefined content."""
        size = math.prod(shape) * dtype.itemsize
        if size < SMALL or dtype not in NUMPY:
            return torch.empty(tuple(shape), dtype=dtype)
        rounded = size_class(size)
        with self._lock:
            self._collect()
            buffers = self._free.get(rounded)
            buffer = buffers.pop() if buffers else None
            if buffer is None:
                raw = np.empty(rounded + ALIGNMENT, np.uint8)
                offset = -raw.ctypes.data % ALIGNMENT
                buffer = Buffer(raw.data[offset: offset + rounded])
            else:
                self.kept -= rounded
            self.mapped += max(0, size - buffer.touched)
            buffer.touched = max(size, buffer.touched)
        # A memoryview as base, not an array: NumPy lets a view of a view skip the array between, whose death counts.
        owner = np.ndarray(tuple(shape), NUMPY[dtype], buffer.memory)
        weakref.finalize(owner, self._give_back, rounded, buffer).atexit = False
        return torch.from_numpy(owner)

    def clear(self) -> None:
        """Forget every buffer that nobody uses."""
        with self._lock:
            self._collect()
            self.mapped -= sum(b.touched for buffers in self._free.values() for b in buffers)
            self._free.clear()
            self.kept = 0

    def unlock(self) -> None:
        """Forget who holds the lock."""
        self._lock = threading.Lock()

    def _give_back(self, rounded: int, buffer: Buffer) -> None:
        self._returned.append((rounded, buffer))
        if self._lock.acquire(blocking=False):  # taken: whoever holds it, this thread too, will collect later
            try:
                self._collect()
            finally:
                self._lock.release()

    def _collect(self) -> None:
        while self._returned:
            rounded, buffer = self._returned.popleft()
            self._free[rounded] = [*self._free.pop(rounded, []), buffer]
            self.kept += rounded
        while self.kept > self.limit:
            oldest = next(iter(self._free))
            buffers = self._free[oldest]
            if buffers:
                self.mapped -= buffers.pop(0).touched
                self.kept -= oldest
            if not buffers:
                del self._free[oldest]


POOL = Pool()
take = POOL.take
if hasattr(os, "register_at_fork"):  # a thread that held the lock does not live on in a forked child, and never opens it
    os.register_at_fork(after_in_child=POOL.unlock)
