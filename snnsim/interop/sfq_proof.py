"""Is a description of SFQ cells its network? Its weights are run pulse by pulse by its schedule, its Verilog in iverilog."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim import engine
from snnsim.hardware import MatchReport
from snnsim.hardware.sfq.bench import bench
from snnsim.hardware.sfq.export import Described, read
from snnsim.hardware.sfq.model import SFQNetwork
from snnsim.hardware.sfq.pulses import input_pulses, run
from snnsim.hardware.verify import LayerMatch, compare
from snnsim.interop.iverilog_tool import MOST_TEXT, run_iverilog
from snnsim.interop.proved import Proof, Run
from snnsim.network import Network

IN_PULSES = "snnsim, pulse by pulse"


def prove_sfq(path: str | os.PathLike[str], network: Network, counts: NDArray[Any], labels: Sequence[int] | None,
              tools: bool) -> Proof:
    """counts: events [T, B, *input]. Errors: ValueError when it is of another network; those of `export.read`."""
    told = read(path)
    net = told.network
    same_network(path, net, network)
    pulses = input_pulses(net, counts.reshape(*counts.shape[:2], -1))[0]
    left = int(np.sum(counts) - pulses.sum())
    expected = spikes_of(network, pulses)
    ran = run(net, pulses, schedule=told.schedule)
    found = ran.spikes
    after, before = (s[net.layers[-1].name].sum(0).argmax(-1) for s in (found, expected))
    equal = int((after == before).sum())
    samples = pulses.shape[1]
    lost = (f"{ran.losses} pulses were lost",) if ran.losses else ()
    runs = [Run(IN_PULSES, MatchReport(os.fspath(path), samples, compare(expected, found), (), equal, 0.0,
                                       ran_in=IN_PULSES, faults=lost))]
    if tools:
        runs.append(_iverilog(Path(path), told, pulses, expected))
    notes = net.notes if not left else (*net.notes, f"{left} events beyond the burst of {net.burst} were left out, in both")
    scored = [None if labels is None else float(np.mean(p == np.asarray(labels))) for p in (before, after)]
    return Proof(os.fspath(path), "sfq", samples, tuple(runs), equal, scored[0], scored[1], notes=notes)


def same_network(path: str | os.PathLike[str], net: SFQNetwork, network: Network) -> None:
    """ValueError unless what a description holds has the layers of the network."""
    names = {p.name: p.size for p in network.populations[1:]}
    held = {q.name: q.size for q in net.layers}
    if names != held or network.input.size != net.inputs:
        raise ValueError(f"{path} holds {net.inputs} inputs and the layers {held}, the network has {network.input.size} and "
                         f"{names}: it is an export of another network")


def spikes_of(network: Network, pulses: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """What the engine fires for pulses [T, B, inputs], by layer, [T, B, neurons]."""
    theirs = engine.run(network, pulses.reshape(*pulses.shape[:2], *network.input.shape).astype(network.dtype))
    return {p.name: theirs.spikes[p.name].dense().reshape(*pulses.shape[:2], -1) for p in network.populations[1:]}


def _iverilog(path: Path, told: Described, pulses: NDArray[np.uint8], expected: dict[str, NDArray[Any]]) -> Run:
    name = path.stem
    try:
        texts = [_text(path.with_name(f)) for f in (f"{name}.v", "cells.v")[: 1 + (told.form == "cells")]]
        texts.append(bench(told.network, told.schedule, pulses, expected, name, clears=told.clears))
        result = run_iverilog(texts, [f"{name}_tb"])
    except ImportError as e:
        return Run("iverilog", None, f"not installed: {e}")
    except (RuntimeError, TimeoutError, OSError) as e:
        return Run("iverilog", None, str(e))
    layers = tuple(LayerMatch(q.name, x.expected, x.found, x.equal)
                   for q, x in zip(told.network.layers, result.layers[name], strict=True))
    seen = (*result.violations, *([f"{result.twice[name]} spikes came twice in a tick"] if result.twice[name] else []))
    return Run("iverilog", MatchReport(str(path), pulses.shape[1], layers, (), None, None, ran_in="iverilog", faults=seen))


def _text(path: Path) -> str:
    if not path.is_file():
        raise RuntimeError(f"there is no file {path}, which belongs to the description")
    if path.stat().st_size > MOST_TEXT:
        raise RuntimeError(f"{path} is too large to be run")
    return path.read_text(encoding="ascii", errors="replace")
