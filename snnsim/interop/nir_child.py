"""What the child processes share: read the graph and the counts, watch the neuron nodes, write their spikes."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.nir.graph import read_description
from snnsim.interop.child import MISSING, with_batch

UNREACHED = 1e30  # a threshold that no membrane reaches, in float32
NEURONS = ("LIF", "IF", "CubaLIF")

Counts = NDArray[np.float32]


def import_tool(name: str) -> Any:
    """The tool's module; ends the process with an exit code of its own when it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ImportError as e:
        print(e, file=sys.stderr)
        sys.exit(MISSING)


def main(load: Callable[[Any], Any], batched: bool) -> None:
    """Run every job of the list in the JSON file argv[1]: [file, counts, spikes], the last to be written; and write the
    complaints, by the job's number, to the JSON file argv[2].

    load(graph) gives the tool's model, called as model(input, state) -> (output, state). batched: it takes [B, *input];
    else [*input], and the samples run one after another.
    """
    jobs, complaints = sys.argv[1:]
    import_tool("nir")
    failed: dict[str, str] = {}
    for i, (path, given, result) in enumerate(json.loads(Path(jobs).read_text())):
        try:
            _job(path, given, result, load, batched)
        except Exception as e:  # whatever the tool raises is its answer to this file
            failed[str(i)] = f"{type(e).__name__}: {e}"
    Path(complaints).write_text(json.dumps(failed))


def _job(path: str, given: str, result: str, load: Callable[[Any], Any], batched: bool) -> None:
    graph, nodes = _read(path)
    shape = tuple(int(n) for n in next(n for n in graph.nodes.values() if type(n).__name__ == "Input").input_type["input"])
    with np.load(given, allow_pickle=False) as data:
        counts = data["counts"]
    if len(shape) == 2 and counts.shape[-3:] == (shape[0], 1, shape[1]):
        counts = counts.squeeze(-2)  # Conv1d takes no height
    counts = with_batch(counts, shape)
    if counts.shape[2:] != shape:
        raise ValueError(f"counts has shape {counts.shape}, but the file's input is {shape}")
    if batched:
        spikes = _run(load(graph), nodes, counts)
    else:
        each = [_run(load(_read(path)[0]), nodes, counts[:, b]) for b in range(counts.shape[1])]
        spikes = {name: np.stack([e[name] for e in each], 1) for name in nodes.values()}
    np.savez(result, **spikes)  # type: ignore[arg-type]


def _read(path: str) -> tuple[Any, dict[str, str]]:
    """The graph, its silent readouts made neurons that never fire; and the population of each neuron module, which is named
    as its node is, with a dot for each graph within the graph."""
    nir = import_tool("nir")
    graph = nir.read(path, type_check=False)
    nodes = {name: name for name in _neurons(graph, nir, "")}
    if text := read_description(path):
        named = {p["node"].replace("/", "."): p["name"] for p in json.loads(text)["populations"]}
        nodes.update({node: name for node, name in named.items() if node in nodes})
    return graph, nodes


def _neurons(graph: Any, nir: Any, prefix: str) -> list[str]:
    found = []
    for name, node in graph.nodes.items():
        kind = type(node).__name__
        if kind == "NIRGraph":
            found += _neurons(node, nir, f"{prefix}{name}.")
        if kind in NEURONS:
            found.append(prefix + name)
        if kind in ("LI", "I"):
            never = {"r": node.r, "v_threshold": np.full_like(node.r, UNREACHED), "v_reset": np.zeros_like(node.r)}
            graph.nodes[name] = nir.LIF(tau=node.tau, v_leak=node.v_leak, **never) if kind == "LI" else nir.IF(**never)
    return found


def _run(model: Any, nodes: dict[str, str], counts: Counts) -> dict[str, NDArray[np.uint8]]:
    """Step the model through counts [T, ...] from rest; hooks keep what each neuron module gives."""
    torch = import_tool("torch")
    kept: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in nodes.values()}

    def keeper(name: str) -> Callable[..., None]:
        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            spikes = output[0] if isinstance(output, tuple) else output
            kept[name].append(np.clip(spikes.numpy(), 0, 255).astype(np.uint8))
        return keep

    modules = dict(model.named_modules())
    for node, name in nodes.items():
        modules[node].register_forward_hook(keeper(name))
    state = None
    with torch.no_grad():
        for step in counts:
            _, state = model(torch.from_numpy(step), state)
    return {name: np.stack(steps) for name, steps in kept.items()}
