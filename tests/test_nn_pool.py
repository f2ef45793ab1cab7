"""The pool of buffers: memory comes back, never while somebody holds it, in any number of threads."""

from __future__ import annotations

import gc
import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim.nn as nn
from snnsim.neurons import LIF
from snnsim.nn.pool import SMALL, Pool, size_class

WORDS = SMALL // 4


def test_memory_is_used_again() -> None:
    pool = Pool()
    a = pool.take((3, WORDS))
    address = a.data_ptr()
    assert address % 64 == 0 and a.shape == (3, WORDS) and a.dtype == torch.float32
    view = a[1, 5:].view(-1)
    del a
    b = pool.take((3, WORDS))
    array = view.numpy()
    del view
    c = pool.take((3, WORDS))
    assert pool.kept == 0 and len({address, b.data_ptr(), c.data_ptr()}) == 3
    del array
    assert pool.kept == size_class(3 * SMALL)
    assert pool.take((3, WORDS)).data_ptr() == address


def test_what_is_kept_is_bounded() -> None:
    pool = Pool(limit=10 * SMALL)
    for words in (2 * WORDS, 3 * WORDS, 5 * WORDS, 6 * WORDS):
        held = [pool.take((words,)) for _ in range(4)]
        assert len({t.data_ptr() for t in held}) == 4
        del held
        assert pool.kept <= pool.limit
    pool.clear()
    assert pool.kept == 0


@given(st.integers(SMALL, 1 << 34))
def test_size_classes_waste_at_most_a_quarter(size: int) -> None:
    assert size <= size_class(size) <= size * 1.25
    assert size_class(size_class(size)) == size_class(size)


OPERATIONS = st.lists(st.tuples(st.sampled_from(["take", "drop", "view", "autograd", "collect"]), st.integers(0, 10**6)),
                      max_size=40)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_no_live_buffer_is_handed_out_twice(operations: list[tuple[str, int]]) -> None:
    pool = Pool(limit=20 * SMALL)
    live: list[tuple[torch.Tensor, float]] = []
    for mark, (operation, n) in enumerate(operations):
        if operation == "take":
            live.append((pool.take((1 + n % 3, WORDS), (torch.float32, torch.float64)[n % 2]).fill_(mark), mark))
        elif operation == "collect":
            gc.collect(0)
        elif live:
            tensor, value = live.pop(n % len(live))
            if operation == "view":
                live.append((tensor.detach()[-1:, 7:], value))
                del tensor
            elif operation == "autograd":  # the graph alone keeps the buffer, until backward
                w, count = torch.ones((), dtype=torch.float64, requires_grad=True), tensor.numel()
                out = (w * tensor).sum(dtype=torch.float64)
                del tensor
                for _ in range(3):
                    pool.take((1 + n % 3, WORDS), (torch.float32, torch.float64)[n % 2]).fill_(-1.0)
                out.backward()
                assert w.grad is not None and w.grad.item() == value * count
        for tensor, value in live:
            assert bool((tensor == value).all())


def test_reuse_through_autograd_keeps_gradients_right() -> None:
    """Several layers, several steps: a buffer that came back too early would change a gradient."""
    net = nn.Sequential(*[nn.Neuron(LIF(tau=5.0, theta=0.4), dt=1.0) for _ in range(4)])
    x = torch.rand(20, 4, 1500, requires_grad=True)

    def gradient() -> torch.Tensor:
        (g,) = torch.autograd.grad(net(x)[0].sum(), x)
        return g

    first = gradient().clone()
    assert all(torch.equal(gradient(), first) for _ in range(5))


def test_threads_share_the_pool() -> None:
    pool = Pool(limit=30 * SMALL)

    def work(mark: int) -> bool:
        good = True
        held: list[Any] = []
        for i in range(100):
            held.append(pool.take((1 + (i + mark) % 3, WORDS)).fill_(mark))
            if len(held) > 3:
                good &= all(bool((t == mark).all()) for t in held)
                del held[i % 3]
        return good

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(work, range(8)))


def test_a_cycle_that_dies_inside_take_does_not_lock() -> None:
    pool = Pool()
    for _ in range(50):
        loop: list[Any] = [pool.take((2, WORDS))]
        loop.append(loop)
        del loop
        gc.collect(0)
    gc.collect()
    assert pool.kept > 0


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_child_forked_while_a_thread_takes_memory_is_not_locked() -> None:
    child = multiprocessing.get_context("fork").Process(target=nn.POOL.take, args=((SMALL,),))
    with nn.POOL._lock:  # as another thread would hold it
        child.start()
    child.join(20.0)
    locked = child.is_alive()
    child.kill()
    assert not locked and child.exitcode == 0
