"""Whether the microcircuit fires as in NEST: rates of its populations and how irregular they are, over networks drawn apart."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import networks
from benchmarks.common import AsJson, Peer, Threads, peer_python, refuse, report
from benchmarks.simulators import LARGEST, Milliseconds, Module, Scale

Seeds = Annotated[int, typer.Option(min=2, help="How many networks NEST draws; snnsim draws five times as many.")]
MORE = 5


def agreement(threads: Threads = 2, scale: Scale = 0.1, seeds: Seeds = 3, ms: Milliseconds = 10_000.0,
              as_json: AsJson = False) -> None:
    """Rates of each population (Hz) in snnsim and in NEST, means over the seeds, and what chance allows for their ratio.

    Each seed draws another network in either tool, and rates differ from network to network, at scale 0.1 by 3 % in L5E. sem:
    the standard error of the ratio that follows.
    """
    python = peer_python("nest")
    if python is None:
        refuse("NEST is not installed: `make peers-nest` installs it")
    if scale > LARGEST:
        refuse(f"NEST is run on the microcircuit up to --scale {LARGEST}, got {scale}")
    found: dict[str, list[dict[str, Any]]] = {"snnsim": [], "nest": []}
    for seed in range(1, MORE * seeds + 1):
        options = ["microcircuit", *map(str, ("--scale", scale, "--ms", ms, "--threads", threads, "--seed", seed))]
        for tool in ("snnsim", "nest") if seed <= seeds else ("snnsim",):
            process = (Module("benchmarks.simulators", *options, threads=threads) if tool == "snnsim"
                       else Peer(str(python), "peer_nest.py", *options, threads=threads))
            try:
                found[tool].append(process.run())
            finally:
                process.close()
    rates = {tool: np.array([a["rates_hz"] for a in answers]) for tool, answers in found.items()}
    ours, theirs = rates["snnsim"], rates["nest"]
    ratio = ours.mean(0) / theirs.mean(0)
    relative = np.sqrt(sum((r.std(0, ddof=1) / r.mean(0)) ** 2 / len(r) for r in rates.values()))
    rows = [{"population": name, "snnsim": round(float(ours[:, i].mean()), 3), "nest": round(float(theirs[:, i].mean()), 3),
             "ratio": round(float(ratio[i]), 4), "sem": round(float(ratio[i] * relative[i]), 4)}
            for i, name in enumerate(networks.COLUMN)]
    cv = {tool: round(float(np.mean([a["cv"] for a in answers])), 4) for tool, answers in found.items()}
    rows.append({"population": "cv of all", **cv})
    about = {"scale": scale, "networks": MORE * seeds, "of_nest": seeds, "ms": ms}
    report("agreement", [{**about, **row} for row in rows], {}, as_json)
