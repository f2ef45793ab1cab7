"""SANA-FE's model of Loihi 1 beside our estimate: energy and time of random nets whose spikes are equal in both."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np

from benchmarks.common import AsJson, refuse, report
from snnsim.hardware import energy, integer
from snnsim.hardware.energy import Range
from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation, IntegerProjection
from snnsim.hardware.mapping import LoihiLimits, place
from snnsim.interop.sanafe_tool import run_sanafe
from snnsim.maps import Dense

Resets = tuple[Literal["hard", "soft"], Literal["hard", "soft"]]
NETS: tuple[tuple[int, Resets, int], ...] = ((1, ("soft", "soft"), 0), (2, ("hard", "hard"), 0), (3, ("soft", "soft"), 2048),
                                             (4, ("hard", "hard"), 4096))


def sanafe(as_json: AsJson = False) -> None:
    """nJ and us a sample, SANA-FE's and (in brackets) ours, of four small nets on cores of 20 neurons."""
    report("sanafe", [row(*net) for net in NETS], {}, as_json)


def row(seed: int, resets: Resets, dv: int) -> dict[str, Any]:
    net, counts = random_net(seed, resets, dv)
    mapping = place(net, LoihiLimits.from_dict({"neurons_per_core": 20}), share=False)
    try:
        theirs = run_sanafe(net, counts, mapping)
    except ImportError as e:
        refuse(str(e))
    ours = integer.run(net, counts)
    if any(np.any(spikes != ours.spikes[name]) for name, spikes in theirs.spikes.items()):
        refuse(f"the spikes of net {seed} differ")
    found = energy.estimate(net, counts, mapping)
    terms, spent = found["Loihi 1"].terms, {k: float(v.mean()) / 1e3 for k, v in theirs.energy.items()}
    beside = {"synapse": terms["synapses"], "soma": terms["spikes"] + terms["neurons"],
              "network": terms["messages"] + terms["hops"], "total": found["Loihi 1"].total}
    return {"reset": resets[0], "dv": dv, "neurons": "-".join(str(p.size) for p in net.populations),
            "cores": len(mapping.cores), "steps": found.steps, "spikes": sum(int(s.sum()) for s in theirs.spikes.values()),
            **{f"{k}, nJ": said(spent[k], r, 1e3) for k, r in beside.items()},
            "time, us": said(1e3 * float(theirs.time.mean()), found.latency, 1e-3)}


def said(theirs: float, ours: Range, unit: float) -> str:
    return f"{theirs:.1f} ({ours.low / unit:.1f} .. {ours.high / unit:.1f})"


def random_net(seed: int, resets: Resets, dv: int = 0) -> tuple[IntegerNetwork, Any]:
    """Two layers with a loop and a readout; with dv 2048, v can be halved as often as there are steps."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, 40, 3).tolist()
    names = ["in", "a", "b", "out"]
    populations = [IntegerPopulation("in", (sizes[0],), None)]
    exponent = 7 if dv == 2048 else 0
    theta = 128 * rng.integers(1, 3) if dv == 2048 else int(rng.integers(50, 225))
    populations += [IntegerPopulation(n, (s,), r, dv=dv, vth=theta)
                    for n, s, r in zip(("a", "b"), sizes[1:], resets, strict=True)]
    populations.append(IntegerPopulation("out", (3,), "none", dv=dv))
    size = {p.name: p.size for p in populations}

    def weight(source: str, target: str, most: int) -> Dense:
        w = 2 * rng.integers(-most // 2, most, (size[target], size[source]))
        return Dense(np.where(rng.random(w.shape) < 0.8, w, 0).astype(float))

    most = 4 if dv == 2048 else 60
    ends = [*pairwise(names), ("b", "b")]
    projections = [IntegerProjection(s, t, weight(s, t, most // 2 if s == t else most), exponent) for s, t in ends]
    steps = 10 if dv == 2048 else 40
    return (IntegerNetwork(populations, projections, output="out", latency=3, readout="membrane"),
            (rng.random((steps, 2, sizes[0])) < 0.3).astype(int))
