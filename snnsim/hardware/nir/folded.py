"""Neurons with a folded norm, as neurons of NIR: a comparison with a threshold, one way round.

    fires at v >= th                 the same rule with th for its threshold
    fires at v <= th                 the neuron of -v: its weights and bias negated, firing at -v >= -th
    fires always, or never           the lowest, or the highest number there is, for its threshold

Each is the same spikes bit for bit: floating point is symmetric in its sign. It holds where the reset does not look at the
threshold, which is a hard reset to 0, or none; a soft reset subtracts another number than the threshold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.nir.neurons import RULES
from snnsim.maps import Conv2d, Dense, Map, weighing
from snnsim.network import Network, Population, Projection
from snnsim.neurons.folded import FOLDED
from snnsim.rule import Rule

Array = NDArray[Any]
SUFFIX = "_folded"
DROPPED = "lossy: "  # begins the note of what an export has left out


def plain_thresholds(network: Network, allow_lossy: bool = False) -> tuple[Network, tuple[str, ...]]:
    """The network with one threshold a neuron where a norm was folded into its decision, and what was changed.

    allow_lossy: a soft reset, which subtracts another number, becomes a hard one, and a note of the network says so.

    ValueError that names the population, and what stands in the way.
    """
    populations, signs, notes, lost = list[Population](), dict[str, Array](), list[str](), list[str]()
    for p in network.populations:
        if p.rule is None or not p.rule.name.endswith(SUFFIX):
            populations.append(p)
            continue
        populations.append(_plain(p, p.rule, allow_lossy))
        if "_soft" in p.rule.name and "_soft" not in populations[-1].rule.name:  # type: ignore[union-attr]
            lost.append(f"{DROPPED}population {p.name!r} has rule {p.rule.name}: its reset, which subtracts another number "
                        "than its folded threshold, is written as a reset to zero")
        sign = np.broadcast_to(np.asarray(p.parameters["sign"]), p.shape)
        if np.any(sign < 0.0):
            signs[p.name] = sign
        notes.append(f"population {p.name!r}: its folded norm is written as thresholds; {int((sign < 0).sum())} neurons that "
                     "fire below theirs are written as their negatives")
    if not notes:
        return network, ()
    projections = tuple(_negated(q, signs[q.target]) if q.target in signs else q for q in network.projections)
    changed = replace(network, populations=tuple(populations), projections=projections, notes=(*network.notes, *notes, *lost))
    return changed, tuple(notes)


def _plain(p: Population, rule: Rule, allow_lossy: bool) -> Population:
    name = rule.name.removesuffix(SUFFIX)
    own = RULES.get(name.replace("_soft", "_hard") if allow_lossy else name)
    if own is None or own.name.endswith("_soft"):
        raise ValueError(f"population {p.name!r} has rule {rule.name!r}, which NIR has no node for: its threshold is that of a "
                         "folded norm, and its reset subtracts another number. Train with reset='hard', or export to a target "
                         "that holds the rule")
    v = {k: np.broadcast_to(np.asarray(p.parameters[k]), p.shape) for k in FOLDED}
    largest = np.finfo(v["threshold"].dtype).max
    theta = np.where(v["sign"] == 0.0, -v["constant"] * largest, np.where(v["sign"] < 0.0, -v["threshold"], v["threshold"]))
    held = {k: p.parameters[k] for k in own.parameters if k != "theta"}
    return Population(p.name, p.shape, own, {**held, "theta": theta.astype(v["threshold"].dtype)}, p.initial)


def _negated(q: Projection, sign: Array) -> Projection:
    """The projection to neurons of which some are replaced by their negatives."""
    turn = np.where(sign < 0.0, -1.0, 1.0)
    last = q.maps[-1]
    by_row = turn.reshape(len(turn), -1) if isinstance(last, Conv2d) else turn.reshape(-1, 1)
    if not isinstance(last, (Dense, Conv2d)) or np.any(by_row != by_row[:, :1]):
        raise ValueError(f"projection {q.name}: some of its targets fire below their threshold, so that its weights must "
                         f"change sign for them, which {last} cannot do for single neurons of a channel: use MPBN with "
                         "per='channel' behind a Conv2d or Linear layer")
    weight = np.asarray(last.weight)
    turned = (weight * by_row[:, 0].reshape(-1, *[1] * (weight.ndim - 1))).astype(weight.dtype)
    maps: tuple[Map, ...] = (*q.maps[:-1], weighing(last, turned))
    bias = None if q.bias is None else (np.broadcast_to(q.bias, sign.shape) * turn).astype(np.asarray(q.bias).dtype)
    return Projection(q.source, q.target, maps, bias, q.delay, q.receptor)
