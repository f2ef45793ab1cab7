"""Run a function in several processes of one torch.distributed group."""

import multiprocessing
import traceback
import warnings
from multiprocessing import connection
from pathlib import Path

# Children are forked from a process that has trained once, on one thread: it has the kernels, and no threads to lose.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.trained_once", "tests.test_processes"])


def together(count, function, *arguments, folder, seconds=120.0):
    """function(number, *arguments) in `count` processes with a group of gloo; what each raised, or ""."""
    folder = Path(folder)
    group = folder / f"group-{len(list(folder.glob('group-*')))}"
    group.mkdir()
    children = [CONTEXT.Process(target=_child, args=(k, count, str(group), function, arguments)) for k in range(count)]
    for c in children:
        c.start()
    waiting = {c.sentinel for c in children}
    while waiting:
        ended = connection.wait(waiting, seconds)
        if not ended:
            for c in children:
                c.kill()
            raise TimeoutError(f"processes did not end in {seconds} s")
        waiting -= set(ended)
    for c in children:
        c.join()
    assert [c.exitcode for c in children] == [0] * count
    return [(group / f"error-{k}").read_text(encoding="utf-8") for k in range(count)]


def _child(number, count, group, function, arguments):
    import torch
    import torch.distributed as dist

    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{group}/store", rank=number, world_size=count)
    error = ""
    try:
        function(number, *arguments)
    except Exception as e:
        error = f"{type(e).__name__}: {e}"
        if not isinstance(e, (ValueError, OSError)):
            error += traceback.format_exc()
    Path(group, f"error-{number}").write_text(error, encoding="utf-8")
    dist.destroy_process_group()
