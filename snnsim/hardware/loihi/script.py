"""A network in whole numbers as a Python script that runs it with Lava, and the description that the script reads."""

from __future__ import annotations

import os
from pathlib import Path

from snnsim.files import replacing
from snnsim.hardware.integer.model import IntegerNetwork
from snnsim.hardware.loihi import process
from snnsim.maps import Conv2d

PROGRAM = Path(__file__).with_name("program.py")
SMALL = 127  # Lava's convolution holds kernel, stride and padding in signed bytes


def write(model: IntegerNetwork, path: str | os.PathLike[str]) -> None:
    """Write the script to `path`, such as net.py, and beside it net.json and net.arrays.h5 (see `process.write`).

    `python net.py --counts counts.npz --out result.npz` then runs it with Lava's fixed-point processes on the CPU.
    Errors: ValueError for a path that does not end in .py, and for what Lava cannot hold; OSError.
    """
    target = Path(path)
    if target.suffix != ".py":
        raise ValueError(f"path must end in .py, got {os.fspath(path)!r}")
    check(model)
    description = target.with_suffix(".json")
    process.write(model, description)
    text = PROGRAM.read_text(encoding="utf-8").replace('DESCRIPTION = ""', f"DESCRIPTION = {description.name!r}", 1)
    with replacing(target) as temporary:
        temporary.write_text(text.replace("python program.py", f"python {target.name}", 1), encoding="utf-8")


def check(model: IntegerNetwork) -> None:
    """ValueError that names the projection which Lava cannot hold."""
    for q in model.projections:
        if isinstance(q.map, Conv2d):
            for name, pair in (("kernel", q.mantissas.shape[2:]), ("stride", q.map.stride), ("padding", q.map.padding)):
                if max(pair) > SMALL:  # type: ignore[arg-type]
                    raise ValueError(f"projection {q.name}: {name} must be at most {SMALL} for Lava's convolution, got {pair}")
