"""From a Network to whole numbers: what hardware of this kind can hold, with the least error.

v of a population is multiplied by S, so that theta becomes 64 vth, and weights become 64 mantissa 2**exponent:

    mantissa = [S w / (64 2**exponent)]      vth = [(S theta - 1) / 64]      bias = [S b / 2**bias_exponent]
    dv = [4096 (1 - decay)]                  du = [4096 (1 - keep)] - 1

S is free, as only its ratio to the weights counts: of 32 values within a factor of 2 the one with the least squared error of
the weights is taken, then the largest power of two that leaves room for v. Thresholds of single neurons and those of folded
norms are held as `thresholds` says, as the neurons of a group share one. The method is our own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.composed import composed
from snnsim.hardware.integer.latency import latencies
from snnsim.hardware.integer.model import (
    BIAS_BITS,
    BIAS_EXPONENTS,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    Reset,
    Sign,
)
from snnsim.hardware.integer.thresholds import SUFFIX, held, own_synapses, rows_times
from snnsim.maps import Map, weighing
from snnsim.network import Network, Population
from snnsim.neurons.loihi import ALIGN, ONE, RANGE, whole_each
from snnsim.neurons.loihi import RULES as LOIHI
from snnsim.rule import one_of

Floats = NDArray[np.float64]
RESETS: dict[str, Reset] = {
    "lif_hard": "hard", "lif_soft": "soft", "lif_none": "none", "if_hard": "hard", "if_soft": "soft", "if_none": "none",
    "cuba_hard": "hard", "cuba_soft": "soft", "li": "none", **{rule.name: r for r, rule in LOIHI.items()}}  # type: ignore[misc]
ROOM = 2.0**18  # where S theta lies at most: 32 times below the end of v
OPEN = 2.0**16  # where S times the largest weight lies at most, for neurons without a threshold
LARGEST_EXPONENT = 7  # Loihi's exponents have 4 bits, with their sign
CLIPS = 2.0 ** -np.linspace(0.0, 1.0, 33)[:-1]  # what is kept of the largest weight


@dataclass(frozen=True, eq=False)
class Layer:
    """A population and what ends at it, in floats. theta: of every neuron; 0 where it never fires. du, dv, vth: whole, as they
    will be; vth only where the neurons are Loihi's already, whose S is 1. lift, always: as of `thresholds.Held`; v starts at
    lift. own: the synapses of its neurons with themselves that a lift takes, or None."""

    name: str
    shape: tuple[int, ...]
    reset: Reset
    du: Any
    dv: Any
    theta: float
    maps: tuple[tuple[str, Map, int], ...]  # source, map, delay
    bias: Floats
    errors: Mapping[str, float]
    notes: tuple[str, ...] = ()
    vth: Any = None
    lift: Any = 0.0
    always: Any = False
    own: Map | None = None


def layers_of(network: Network) -> list[Layer]:
    """What is to be quantised. ValueError that names what hardware of this kind cannot hold."""
    network.require_projections("quantize", initial=True)
    late = latencies(network)
    return [_layer(network, p, late) for p in network.populations[1:]]


def quantize(network: Network, target: str = "loihi2", *, bits: int = 8, lower: Mapping[str, int] | None = None,
             thresholds: Mapping[str, float] | None = None) -> IntegerNetwork:
    """The network in whole numbers, for hardware of this kind.

    target: "loihi2", or "netx" with the exponents that lava-dl's file has, which are 0. bits: of a weight, 2 .. 8. lower: by
    population, powers of two by which its numbers are to be smaller than they could be; thresholds: by population, a factor.
    `calibrate` finds both. A network of `LoihiLIF` with whole weights, such as one that was trained so, is taken as it is.

    `IntegerNetwork.report` says what changed: by projection the relative error of the weights (root of mean squares), the
    shares of them that were clipped and that became 0; by population the largest errors of decays (absolute), of biases and of
    the threshold (in thresholds).

    Errors: ValueError that names the population or the projection, and what cannot be held.
    """
    return assembled(network, layers_of(network), target, bits=bits, lower=lower, thresholds=thresholds)


def assembled(network: Network, layers: Sequence[Layer], target: str = "loihi2", *, bits: int = 8,
              lower: Mapping[str, int] | None = None, thresholds: Mapping[str, float] | None = None) -> IntegerNetwork:
    """`quantize` of a network whose `layers_of` are known."""
    one_of("target", target, ("loihi2", "netx"))
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 2 <= bits <= 8:
        raise ValueError(f"bits must be a whole number in 2 .. 8, got {bits!r}")
    lower = dict.fromkeys((layer.name for layer in layers), LARGEST_EXPONENT) if target == "netx" else lower or {}
    populations = [IntegerPopulation(network.input.name, network.input.shape, None)]
    projections: list[IntegerProjection] = []
    report: dict[str, Mapping[str, Any]] = {}
    for layer in layers:
        scale, clip = (1.0, 1.0) if layer.vth is not None else _scaled(layer, bits, lower.get(layer.name, 0))
        for source, m, delay in layer.maps:
            q, report[f"{source}->{layer.name}"] = _projection(layer, source, m, delay, scale, bits, clip)
            projections.append(q)
        if layer.own is not None:  # not weights that were learned: their bits are all that there are
            projections.append(_projection(layer, layer.name, layer.own, 1, scale, 8, 1.0)[0])
        p, report[layer.name] = population_of(layer, scale, (thresholds or {}).get(layer.name, 1.0))
        populations.append(p)
    return IntegerNetwork(tuple(populations), tuple(projections), network.time, network.output, network.readout,
                          latencies(network)[network.output], network.classes,
                          (*network.notes, *(n for layer in layers for n in layer.notes)), report)


def with_threshold(model: IntegerNetwork, layer: Layer, factor: float) -> IntegerNetwork:
    """The network with the threshold of this layer times a factor, which was 1; the projections stay the same objects."""
    found, _ = population_of(layer, 1.0 / model.population(layer.name).scale, factor)
    return replace(model, populations=tuple(found if p.name == layer.name else p for p in model.populations))


def _layer(network: Network, p: Population, late: Mapping[str, int]) -> Layer:
    where = f"population {p.name!r}"
    assert p.rule is not None
    name = p.rule.name.removesuffix(SUFFIX)
    if name not in RESETS:
        raise ValueError(f"{where} has rule {p.rule.name!r}, which hardware of this kind does not hold: it holds "
                         f"{', '.join(RESETS)}")
    given = {k: np.asarray(v, np.float64) for k, v in p.parameters.items()}
    into = network.into(p.name)
    maps = [(q.source, composed(q.maps, network.population(q.source).shape), q.delay + late[p.name] - late[q.source])
            for q in into]
    for source, m, _ in maps:
        if not m.arrays()["weight"].any():
            raise ValueError(f"projection {source}->{p.name} has no weight that is not 0: leave it out")
    bias = sum((np.broadcast_to(np.asarray(q.bias, np.float64), p.shape) for q in into if q.bias is not None),
               np.zeros(p.shape))
    if p.rule.name.startswith("loihi"):
        if bias.any():
            raise ValueError(f"{where}: a projection brings a bias, which Loihi's neurons hold themselves: LoihiLIF(bias=)")
        u, v = (np.asarray(p.initial.get(state, 0.0)) for state in ("u", "v"))  # never drawn: see layers_of
        start = whole_each(f"initial 'v' of {where}", v, 1 - RANGE, RANGE - 1)
        if np.any(u):
            raise ValueError(f"{where}: its u starts elsewhere than at 0, which hardware of this kind does not hold")
        return Layer(p.name, p.shape, RESETS[name], ONE - 1 - given["keep_u"], ONE - given["keep_v"], 0.0, tuple(maps),
                     np.broadcast_to(given["bias"], p.shape), {}, vth=given["theta"] / ALIGN, lift=start.astype(np.float64))
    if p.initial:
        raise ValueError(f"quantize takes networks whose states start at 0; those of {p.name!r} start elsewhere")
    decay, keep = given.get("decay", np.ones(())), given.get("keep", np.zeros(()))
    du, dv = np.clip(np.rint(ONE * (1.0 - keep)) - 1, 0, ONE - 1), np.rint(ONE * (1.0 - decay))
    notes: tuple[str, ...] = ()
    if bias.any() and keep.any():
        bias = bias / (1.0 - np.broadcast_to(keep, p.shape))
        notes = (f"{where}: its bias charges the membrane, not the current: equal once the current has settled",)
    errors = {"decay_error": float(np.abs(1.0 - dv / ONE - decay).max()),
              "keep_error": float(np.abs(1.0 - (du + 1) / ONE - keep).max())}
    layer = Layer(p.name, p.shape, RESETS[name], du, dv, 0.0, tuple(maps), bias, errors, notes)
    return layer if layer.reset == "none" else _deciding(network, layer, given, bool(keep.any()))


def _deciding(network: Network, layer: Layer, given: Mapping[str, Any], currents: bool) -> Layer:
    """The layer, which has no threshold yet, with that of its population's parameters."""
    where, maps = f"population {layer.name!r}", layer.maps
    largest = max((float(np.abs(m.arrays()["weight"]).max()) for _, m, _ in maps), default=1.0)
    h = held(where, given, layer.shape, layer.reset == "soft", currents, largest)
    if layer.name == network.output and network.readout == "membrane" and (np.any(h.rows <= 0.0) or np.any(h.lift)):
        raise ValueError(f"{where} is read by its membranes, which hardware of this kind holds turned or lifted, as its "
                         "thresholds take it: read its spikes, with readout='count'")
    if np.any(h.rows != 1.0):
        maps = tuple((source, rows_times(m, h.rows, f"{source}->{layer.name}"), delay) for source, m, delay in maps)
        maps = tuple(found for found in maps if found[1].arrays()["weight"].any())
    decay = np.broadcast_to(1.0 - layer.dv / ONE, layer.shape)
    own = own_synapses(decay * h.lift) if layer.reset == "hard" and np.any(decay * h.lift) else None
    bias = np.where(h.always, h.theta, layer.bias * h.rows + (1.0 - decay) * h.lift)
    notes = (*layer.notes, f"{where}: {h.note()}") if h.note() else layer.notes
    return replace(layer, theta=h.theta, maps=maps, bias=bias, notes=notes, lift=h.lift, always=h.always, own=own)


def _sign(w: Floats) -> Sign:
    return "mixed" if w.min() < 0.0 < w.max() else "inh" if w.min() < 0.0 else "exc"


def _levels(w: Floats, bits: int) -> tuple[int, int, int]:
    """The lowest and the highest mantissa that there are for weights of these signs, and the step between them."""
    sign = _sign(w)
    step = 2 ** (9 - bits if sign == "mixed" else 8 - bits)
    return {"mixed": (-256, 256 - step, step), "exc": (0, 256 - step, step), "inh": (step - 256, 0, step)}[sign]


def _mantissas(w: Floats, unit: float, bits: int) -> Floats:
    """Weights in units of a mantissa, to the nearest that there is."""
    low, high, step = _levels(w, bits)
    return np.asarray(np.clip(np.rint(w / (unit * step)) * step, low, high))


def _exponent(w: Floats, scale: float, bits: int, clip: float) -> int:
    """The least exponent, at least 0, at which what is kept of the largest weight fits."""
    low, high, _ = _levels(w, bits)
    return max(0, math.ceil(math.log2(clip * float(np.abs(w).max()) * scale / (ALIGN * max(high, -low))) - 1e-9))


def _scaled(layer: Layer, bits: int, lower: int) -> tuple[float, float]:
    """S, and the share of the largest weight that is kept."""
    weights = [m.arrays()["weight"].astype(np.float64) for _, m, _ in layer.maps]
    reach = max(layer.theta, float(np.abs(layer.lift).max()) / 4.0)
    if not weights:
        return ROOM / reach if layer.theta else 1.0, 1.0
    largest, top = max((float(np.abs(w).max()), max(map(abs, _levels(w, bits)[:2]))) for w in weights)
    biggest = float(np.abs(layer.bias).max())

    def power(scale: float) -> int:
        """The largest for which v has room, and biases need no exponent above 6."""
        room = min(ROOM / reach if layer.theta else OPEN / largest,
                   2.0 ** (BIAS_BITS + 4) / biggest if biggest else np.inf)
        return min(LARGEST_EXPONENT, max(0, math.floor(math.log2(room / scale)) - lower))

    def error(clip: float) -> float:
        scale = ALIGN * top / (clip * largest)
        units = [ALIGN * 2.0 ** _exponent(w, scale, bits, clip) / scale for w in weights]
        return sum(float(np.square(_mantissas(w, u, bits) * u - w).sum() / np.square(w).sum())
                   for w, u in zip(weights, units, strict=True))

    clip = min(CLIPS, key=error)
    scale = ALIGN * top / (clip * largest)
    return float(scale * 2.0 ** power(scale)), float(clip)


def _projection(layer: Layer, source: str, m: Map, delay: int, scale: float, bits: int, clip: float) -> tuple[
        IntegerProjection, dict[str, Any]]:
    w = m.arrays()["weight"].astype(np.float64)
    name = f"{source}->{layer.name}"
    exponent = _exponent(w, scale, bits, clip) if layer.vth is None else _whole_exponent(name, w, bits)
    unit = ALIGN * 2.0**exponent / scale
    kept = _mantissas(w, unit, bits)
    if not kept.any():
        raise ValueError(f"projection {name}: all of its weights become 0 at {bits} bits, beside others into {layer.name!r} or "
                         f"a threshold of {layer.theta:g}: use more bits, or scale the inputs of {layer.name!r} alike")
    low, high, step = _levels(w, bits)
    beyond = (w / unit > high + step / 2) | (w / unit < low - step / 2)
    report = {"bits": bits, "sign": _sign(w), "exponent": exponent, "error": math.sqrt(np.square(kept * unit - w).sum()
                                                                                      / np.square(w).sum()),
              "clipped": float(beyond.mean()), "zero": float(((kept == 0) & (w != 0)).sum() / np.count_nonzero(w))}
    return IntegerProjection(source, layer.name, weighing(m, kept), exponent, bits, _sign(w), delay), report


def _whole_exponent(name: str, w: Floats, bits: int) -> int:
    """The exponent at which weights that are whole already stay what they are."""
    for exponent in range(LARGEST_EXPONENT + 1):
        if np.array_equal(_mantissas(w, ALIGN * 2.0**exponent, bits) * ALIGN * 2.0**exponent, w):
            return exponent
    raise ValueError(f"projection {name}: weights into Loihi's neurons must be 64 * 2**exponent times mantissas of {bits} "
                     f"bits, and no exponent in 0 .. {LARGEST_EXPONENT} makes them so")


def population_of(layer: Layer, scale: float, factor: float) -> tuple[IntegerPopulation, dict[str, Any]]:
    """The neurons, and what changed. scale: S; factor: of the threshold."""
    vth = layer.vth if layer.vth is not None else max(0.0, np.rint((scale * layer.theta * factor - 1.0) / ALIGN))
    if layer.theta and vth < 1:
        raise ValueError(f"population {layer.name!r}: its threshold of {layer.theta:g} is too small beside its weights for the "
                         "bits of hardware")
    largest = 2 ** (BIAS_BITS - 1) - 1
    # a lift leaves by the leak what its bias brings, so that errors of the bias add up in it
    wanted, exponent = layer.bias * scale, 0 if layer.vth is not None or np.any(layer.lift) else 6
    wanted = np.where(layer.always, ALIGN * vth + 1.0, wanted)
    while np.abs(wanted).max() > largest * 2**exponent and exponent <= BIAS_EXPONENTS:
        exponent += 1
    if exponent > BIAS_EXPONENTS or np.max(vth) > 2**17 - 1:
        what = f"bias of {np.abs(layer.bias).max():g}" if exponent > BIAS_EXPONENTS else f"threshold of {layer.theta:g}"
        raise ValueError(f"population {layer.name!r}: its {what} is too large beside its weights for the bits of hardware")
    bias = np.where(layer.always, np.ceil(wanted / 2**exponent), np.rint(wanted / 2**exponent))
    if layer.vth is not None and np.any(bias * 2**exponent != wanted):
        raise ValueError(f"population {layer.name!r}: bias must be whole numbers of {BIAS_BITS} bits times 2**{exponent}")
    theta = layer.theta or 1.0
    report = {**layer.errors, "bias_error": float(np.abs(np.where(layer.always, 0.0, bias * 2**exponent - wanted)).max()
                                                   / (scale * theta)),
              "threshold_error": float(abs((ALIGN * vth + 1) / scale - theta) / theta) if layer.theta else 0.0}
    p = IntegerPopulation(layer.name, layer.shape, layer.reset, layer.du, layer.dv, vth, _least(bias), exponent, 1.0 / scale,
                          _least(np.rint(np.asarray(layer.lift * scale))))
    return p, report


def _least(values: Floats) -> Any:
    """One number where all are the same."""
    return values.flat[0] if np.all(values == values.flat[0]) else values
