"""What an export tells of itself: what other tools will do differently, and what only snnsim reads back."""

from __future__ import annotations

import numpy as np

from snnsim.hardware.nir.folded import DROPPED
from snnsim.hardware.nir.neurons import DT, RESETS, Encoding, Form, rule_name
from snnsim.maps import Conv2d, Delayed, Dense, Sparse
from snnsim.network import Network, Projection


def lossy(network: Network, encoding: Encoding) -> tuple[str, ...]:
    found = [note.removeprefix(DROPPED) for note in network.notes if note.startswith(DROPPED)]
    for p in network.populations[1:]:
        reset = rule_name(p).partition("_")[2]
        if reset in RESETS[encoding]:
            found.append(f"population {p.name!r} has rule {rule_name(p)}: " + (
                f"Sinabs has no {RESETS[encoding][reset]}, it will subtract the threshold" if encoding == "sinabs" else
                f"NIR has no {RESETS[encoding][reset]}, tools other than snnsim will reset it to zero"))
    return tuple(found)


def kept(network: Network, form: Form) -> tuple[str, ...]:
    t = network.time
    found = [f"time base: dt {t.dt:g} ms, steps {t.steps}, t0 {t.t0!r}, clip {t.clip} (NIR has no step: one is "
             f"written as {DT:g} s)", f"readout by {network.readout} of {network.output!r}"]
    if form.encoding == "sinabs":
        found.append("tau counts steps, which Sinabs reads and other tools misread")
        found.append("where a membrane reaches n thresholds Sinabs fires n times, snnsim once: verify the file in Sinabs on "
                     "your samples")
    for q in network.projections:
        if (q.delay and not nests(network, q)) or isinstance(q.maps[-1], Delayed):
            found.append(f"projection {q.name} has a delay: a Delay node, which snnTorch and SpikingJelly refuse to read, and "
                         "which Norse leaves out")
        for m in q.maps:
            if isinstance(m, Conv2d) and len({*np.shape(m.weight)[2:]}) > 1 and form.convs == "2d":
                found.append(f"projection {q.name} has a kernel that is not square, of which nir 1.0.8 infers a wrong "
                             "shape: read the file with nir.read(path, type_check=False)")
    return tuple(found)


def nests(network: Network, q: Projection) -> bool:
    """Whether a recurrent projection is written as snnTorch writes its recurrent layers, which the other tools read, too:
    as a graph within the graph, in which the neurons feed themselves through weights, one step later without a Delay.

    A bias of it goes to another projection, since the tools add it from the second step on only.
    """
    own = [r for r in network.into(q.target) if r.source == r.target]
    others = [r for r in network.into(q.target) if r.source != r.target]
    rows = any(isinstance(m, (Dense, Sparse)) for r in network.projections if r.target == q.target for m in r.maps)
    return (own == [q] and q.delay == 1 and len(q.maps) == 1 and isinstance(q.maps[0], (Dense, Sparse)) and rows
            and (bool(others) if q.bias is None else any(isinstance(r.maps[-1], (Dense, Sparse)) for r in others)))
