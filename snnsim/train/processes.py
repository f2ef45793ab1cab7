"""Several processes that train one net, on one machine or many: `torchrun ... -m snnsim train`, or a group of your own.

Each computes its part of every batch, gradients are added up, and all take the same step. So the order of samples, the
batches and the schedule are those of one process, and a run may go on with another number of processes.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
import torch.distributed as dist

from snnsim.nn.processes import Part, add_up, place

SPEAKING = 2.0  # s


def part(samples: int, place: tuple[int, int]) -> Part:
    """The part of a batch that belongs to this process, (number, processes): parts differ by at most one sample."""
    number, processes = place
    return Part(samples * number // processes, samples * (number + 1) // processes, samples)


def first() -> bool:
    """Whether this is the process that prints and writes."""
    return place()[0] == 0


def beside() -> int:
    """Processes of this run on this machine, as torchrun says; all of them where a group was made without it."""
    return min(place()[1], int(os.environ.get("LOCAL_WORLD_SIZE", place()[1])))


def wait() -> None:
    """Until all processes are here."""
    add_up(torch.zeros(1))


def totals(*values: float) -> list[float]:
    """Each value's sum over all processes."""
    return add_up(torch.tensor(values, dtype=torch.float64)).tolist()


def add_gradients(net: torch.nn.Module) -> None:
    """Replace the gradients by their sums over all processes."""
    if place()[1] == 1:
        return
    gradients = sorted((p.grad for p in net.parameters() if p.grad is not None), key=lambda g: str(g.dtype))
    for _, group in groupby(gradients, key=lambda g: g.dtype):
        some = list(group)
        flat = add_up(torch.cat([g.reshape(-1) for g in some]))
        for g, total in zip(some, flat.split([g.numel() for g in some]), strict=True):
            g.copy_(total.view_as(g))


def gathered(value: int) -> list[int]:
    """Every process's value, in their order."""
    number, processes = place()
    values = torch.zeros(processes, dtype=torch.int64)
    values[number] = value
    return add_up(values).tolist()


def agree(what: str, *values: object) -> None:
    """ValueError that names what it is about unless the values are the same in all processes."""
    if len(set(gathered(zlib.crc32(repr(values).encode())))) > 1:
        raise ValueError(f"the processes of this run differ in {what}")


def share_weights(net: torch.nn.Module) -> None:
    """Give every process the first one's weights."""
    tensors = net.state_dict()
    agree("the shapes of their weights: build the same net in each", [(k, v.shape, v.dtype) for k, v in tensors.items()])
    if place()[1] > 1:
        for tensor in tensors.values():
            dist.broadcast(tensor, 0)


@contextmanager
def joined(threads: int | None = None) -> Iterator[bool]:
    """Join the other processes of the launcher (torchrun), while open; gives whether this is the process that prints.

    threads: of each process; None leaves them as they are, or under a launcher shares the cores, where OMP_NUM_THREADS
    does not say more than one (torchrun says one, asked or not). Without a launcher there is one process.

    Errors pass in the process that fails first; the others end with exit code 1 and say nothing.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() or place()[1] > 1:
        yield first()
        return
    # An optimiser imports this, and it keeps a group that is there by then for good: its threads would abort the exit.
    from torch import _dynamo  # noqa: F401
    from torch.distributed.rendezvous import rendezvous

    store, number, processes = next(rendezvous("env://"))
    dist.init_process_group("gloo", store=store, rank=number, world_size=processes)
    if threads is None and os.environ.get("OMP_NUM_THREADS", "1") == "1":
        torch.set_num_threads(max(1, _cores() // int(os.environ.get("LOCAL_WORLD_SIZE", processes))))
    try:
        yield number == 0
        wait()
    except (Exception, KeyboardInterrupt):
        if not _fails_first(store):
            time.sleep(SPEAKING)  # the launcher ends all when one has ended, and the first has yet to say why
            raise SystemExit(1) from None
        raise
    finally:
        dist.destroy_process_group()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fails_first(store: Any) -> bool:
    try:
        return bool(store.add("snnsim/failed", 1) == 1)
    except RuntimeError:  # the store ended with the process that failed
        return False
