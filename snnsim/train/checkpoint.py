"""Checkpoints in one safetensors file each: tensors, and JSON in its header, replaced as a whole.

Because tensors and JSON stand in one file that is renamed into place, a kill at any moment leaves the old checkpoint
or the new one. Nothing in it is executed when it is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from snnsim.files import replacing

KEY, SCHEMA = "snnsim", 1


def write(path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], data: Mapping[str, Any]) -> None:
    """Write tensors by name and JSON data; an existing file is replaced only when the new one is on disk."""
    held = {name: t.detach().contiguous().clone() for name, t in tensors.items()}
    with replacing(path) as temporary:
        # not save_file, which has a temporary file of its own beside it, whose name a kill would leave and nobody know
        temporary.write_bytes(save(held, {KEY: json.dumps({"schema": SCHEMA, **data})}))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the data that `write` wrote. ValueError that names the file when it is not such a file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as f:
            text = (f.metadata() or {}).get(KEY)
            if text is None:
                raise ValueError(f"{path} is a safetensors file, but not one of snnsim")
            data = json.loads(text)
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118  # not a mapping
    except (SafetensorError, json.JSONDecodeError) as e:
        raise ValueError(f"{path} is not a checkpoint, or it is damaged: {e}") from None
    if data.pop("schema", None) != SCHEMA:
        raise ValueError(f"{path} was written with another checkpoint schema; this version of snnsim reads {SCHEMA}")
    return tensors, data
