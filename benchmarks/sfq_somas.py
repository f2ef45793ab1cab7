"""The designs of analog somas: what the fit makes of each neuron, and a search for better ones.

The search changes one to three numbers of the best design by a random factor and keeps what has the wider margin with all bias
`off` either way, from the same seed the same. The designs of `analog.fit` were found by such a search, and rounded.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import AsJson, report
from snnsim.hardware.sfq.analog.fit import Fit, fit
from snnsim.hardware.sfq.analog.soma import Soma
from snnsim.hardware.sfq.library import Library, load

NEURONS = ("1 1:1", "1 1:2", "1 -1:1", "1 -2:1", "1 1 1 1 1 1:3")  # weights:threshold
ADDS = ("excitatory", "tau", "output", "area")  # what the search changes, and of neurons that subtract, too
SUBTRACTS = ("primary", "secondary", "coupling")
SPREAD = 0.25  # of the factors, log-normal
MOST = {"tau": 120.0, "coupling": 0.92}


def sfq_somas(as_json: AsJson = False,
              neuron: Annotated[list[str] | None, typer.Option(help="weights:threshold, such as '1 -1:1', again for more; the "
                                                                    "search takes the worst of all.")] = None,
              tries: Annotated[int, typer.Option(min=0, help="Designs that the search draws.")] = 0,
              off: Annotated[float, typer.Option(min=0.0, max=0.9, help="Of all bias, in the search.")] = 0.25,
              seed: Annotated[int, typer.Option(min=0)] = 0) -> None:
    """The fit of each neuron: soma, window, margin; with --tries, a search for a design of them all."""
    neurons = [_neuron(text) for text in neuron or NEURONS]
    library = load()
    fits = [fit(*n, library) for n in neurons]
    rows = [_row("fit", f) for f in fits]
    if tries:
        found = search(neurons, [f.soma for f in fits], library, tries, off, seed)
        rows += [_row("search", f) for f in found]
    report("sfq_somas", rows, {}, as_json)


def search(neurons: list[tuple[list[int], int]], begin: list[Soma], library: Library, tries: int, off: float,
           seed: int) -> list[Fit]:
    """From the best of `begin`, uphill."""
    rng = np.random.default_rng(seed)
    names = ADDS + SUBTRACTS * any(w < 0 for weights, _ in neurons for w in weights)
    best = max((_fits(neurons, soma, library, off, -np.inf) for soma in begin), key=_worst)
    for _ in range(tries):
        chosen = rng.choice(names, rng.integers(1, 4), replace=False)
        drawn = {n: round(getattr(best[0].soma, n) * float(np.exp(rng.normal(0, SPREAD))), 2) for n in chosen}
        soma = replace(best[0].soma, **{n: min(v, MOST.get(n, np.inf)) for n, v in drawn.items()})
        found = _fits(neurons, soma, library, off, _worst(best))
        if len(found) == len(neurons) and _worst(found) > _worst(best):
            best = found
    return best


def _fits(neurons: list[tuple[list[int], int]], soma: Soma, library: Library, off: float, least: float) -> list[Fit]:
    """Of each neuron, until one is not better than `least`."""
    found: list[Fit] = []
    for n in neurons:
        found.append(fit(*n, library, [soma], [off]))
        if found[-1].margin <= least:
            break
    return found


def _worst(fits: list[Fit]) -> float:
    return min(f.margin for f in fits)


def _neuron(text: str) -> tuple[list[int], int]:
    weights, _, threshold = text.partition(":")
    try:
        return [int(w) for w in weights.split()], int(threshold)
    except ValueError:
        raise typer.BadParameter(f"--neuron must be weights:threshold, such as '1 -1:1', got {text!r}") from None


def _row(how: str, f: Fit) -> dict[str, Any]:
    return {"neuron": f"{' '.join(map(str, f.weights))}:{f.threshold}", "by": how, "off": f.off, "exact": f.exact,
            "margin": round(f.margin, 3), "window": [round(x, 1) for x in f.window],
            "soma": " ".join(f"{k}={v:g}" for k, v in asdict(f.soma).items())}
