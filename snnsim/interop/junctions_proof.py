"""Is a description of SFQ junctions its network? Its deck is simulated as it was written, in our solver and in ngspice, and
decks of the samples' pulses in our solver."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware import MatchReport
from snnsim.hardware.sfq.analog.export import read_junctions
from snnsim.hardware.sfq.analog.run import Decisions, circuit_of, decisions, run_junctions
from snnsim.hardware.sfq.pulses import input_pulses
from snnsim.hardware.verify import compare
from snnsim.interop.ngspice_tool import run_ngspice
from snnsim.interop.proved import Proof, Run
from snnsim.interop.sfq_proof import same_network, spikes_of
from snnsim.network import Network

LARGEST_DECK = 64 * 2**20
MOST_TICKS = 100  # of all samples together: each takes 8,000 steps of the solver


def prove_junctions(path: str | os.PathLike[str], network: Network, counts: NDArray[Any], labels: Sequence[int] | None,
                    tools: bool) -> Proof:
    """counts: events [T, B, *input]; of each step one pulse an input is sent. Errors: ValueError when it is of another network;
    those of `read_junctions`."""
    told = read_junctions(path)
    net = told.network
    same_network(path, net, network)
    given = counts.shape[1]
    counts = counts[:, :max(1, MOST_TICKS // len(counts))]
    pulses = input_pulses(net, counts.reshape(*counts.shape[:2], -1))[0]
    left, samples = int(np.sum(counts) - pulses.sum()), pulses.shape[1]
    labels = None if labels is None else labels[:samples]
    expected = spikes_of(network, pulses)
    each = [run_junctions(told.laid(pulses[:, b])) for b in range(samples)]
    found = {n: np.stack([d.fired[n] for d in each], 1) for n in expected}
    last = net.layers[-1].name
    after, before = found[last].sum(0).argmax(-1), expected[last].sum(0).argmax(-1)
    equal = int((after == before).sum())
    runs = [_run("snnsim, junctions", lambda: _report(path, expected, found, each, equal, "snnsim, junctions"))]
    file = Path(path).with_suffix(".cir")

    def written(tool: str, simulate: Callable[[Any], Decisions]) -> MatchReport:
        if not file.is_file() or file.stat().st_size > LARGEST_DECK:
            raise RuntimeError(f"there is no deck {file}, or it is too large")
        got = simulate(replace(told.laid(), text=file.read_text(encoding="utf-8")))
        return _report(path, spikes_of(network, told.pulses[:, None]), {n: s[:, None] for n, s in got.fired.items()}, [got],
                       None, tool)

    runs.append(_run("snnsim, the deck", lambda: written("snnsim, the deck", run_junctions)))
    if tools:
        runs.append(_run("ngspice, the deck", lambda: written("ngspice, the deck", _ngspice)))
    notes = [] if not left else [f"{left} events beyond one pulse an input and step were left out, in both"]
    notes += [] if samples == given else [f"only {samples} of {given} samples were run: at most {MOST_TICKS} ticks"]
    notes.append(f"the deck itself was run with the pulses that it was written with, {len(told.pulses)} ticks")
    notes += [f"not exact, as the description says: {text}" for text in told.inexact]
    scored = [None if labels is None else float(np.mean(p == np.asarray(labels))) for p in (before, after)]
    return Proof(os.fspath(path), "sfq", samples, tuple(runs), equal, scored[0], scored[1], notes=tuple(notes))


def _ngspice(laid: Any) -> Decisions:
    found = run_ngspice(circuit_of(laid), laid.watched)
    return decisions(laid, {name: found.switches(name) for name in laid.watched})


def _report(path: str | os.PathLike[str], expected: dict[str, NDArray[Any]], found: dict[str, NDArray[Any]],
            each: Sequence[Decisions], equal: int | None, tool: str) -> MatchReport:
    faults = {k: sum(d.faults[k] for d in each) for k in ("late", "early", "outputs")}
    seen = tuple(f"{n} {'pulses left that are not the last spikes' if k == 'outputs' else f'slips came too {k}'}"
                 for k, n in faults.items() if n)
    return MatchReport(os.fspath(path), len(each), compare(expected, found), (), equal, None if equal is None else 0.0, seen,
                       ran_in=tool)


def _run(tool: str, report: Callable[[], MatchReport]) -> Run:
    try:
        return Run(tool, report())
    except FileNotFoundError as e:
        return Run(tool, None, f"not installed: {e}")
    except (RuntimeError, TimeoutError) as e:
        return Run(tool, None, str(e))
