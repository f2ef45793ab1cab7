"""Our step parameters as those of NIR nodes, and back.

NIR's equations are in continuous time, and the tools that read it step them by Euler with dt = 1e-4 s:

    LIF      v <- (1 - dt/tau) v + (r dt/tau) x;  s = [v > v_threshold];  v <- v_reset where s
    CubaLIF  i <- (1 - dt/tau_syn) i + (w_in dt/tau_syn) x;  v <- (1 - dt/tau_mem) v + (r dt/tau_mem) i; then as LIF
    IF       v <- v + r dt x; then as LIF.        LI, I: the same without spikes

so a step that keeps the share `decay` is written as tau = dt / (1 - decay), whatever the network's own dt is.

Two encodings of the input's factor: "unit_r" writes r = 1 and multiplies weights and bias by tau/dt (read alike by
snnTorch, SpikingJelly and Norse); "tau_over_dt" writes r = tau/dt and leaves the weights as they are (snnTorch,
SpikingJelly, snn-mlir). IF, I and CubaLIF nodes are written in the second form always, with w_in = tau_syn/dt: it is
the only one that SpikingJelly and snnTorch read.

"sinabs" is for Sinabs 3.1.3 alone, which steps

    LIF      v <- exp(-1/tau) v + x;  s = trunc(v / v_threshold) where v > 0;  v <- v - s v_threshold

so tau counts steps, r is 1, weights are as they are, and the reset is soft. tau is the float32 whose decay is nearest ours;
neurons that do not leak have one of 2^60 steps, since Sinabs clips the membrane of its IF at -v_threshold.

We fire at v >= theta. NIR's text says v > v_threshold, and snnTorch does so, while SpikingJelly fires at v >= v_threshold.
With firing=">" (the default) v_threshold is the largest float32 below theta: for a reader that computes in float32,
v > v_threshold is then v >= theta, and one that compares by >= differs only where v is that very number. With
firing=">=" theta itself is written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.nir.graph import Node, Value
from snnsim.network import Population
from snnsim.neurons import cuba, integrate, lif, readout
from snnsim.rule import Rule, one_of, rule_to_json

Encoding = Literal["unit_r", "tau_over_dt", "sinabs"]
Firing = Literal[">", ">="]
Pools = Literal["sum", "average"]
Convs = Literal["2d", "1d"]
Floats = NDArray[np.float64]
Tool = Literal["nir", "snntorch", "norse", "sinabs", "spikingjelly"]
# which tools write files that snnsim reads, and how each compares the membrane with its threshold
TOOLS: dict[Tool, Firing] = {"nir": ">", "snntorch": ">", "norse": ">", "sinabs": ">=", "spikingjelly": ">="}
ENCODINGS: tuple[Encoding, ...] = ("unit_r", "tau_over_dt", "sinabs")
FIRINGS: tuple[Firing, ...] = (">", ">=")
POOLS: tuple[Pools, ...] = ("sum", "average")
CONVS: tuple[Convs, ...] = ("2d", "1d")
DT = 1e-4  # s; snnTorch takes no other
FOREVER, AT_ONCE = 2.0**60, 2.0**-10  # steps: exp(-1/tau) is 1, and 0

RULES = {rule.name: rule for rule in (*lif.RULES.values(), *integrate.RULES.values(), *cuba.RULES.values(), readout.RULE)}
# what a reader has no word for, by encoding
_NIR = {"soft": "soft (subtracting) reset", "none": "neuron without reset"}
RESETS: dict[Encoding, dict[str, str]] = {"unit_r": _NIR, "tau_over_dt": _NIR,
                                          "sinabs": {"hard": "hard reset (to zero)", "none": "neuron without reset"}}
NEURONS = ("LIF", "IF", "CubaLIF", "LI", "I", "Threshold")


@dataclass(frozen=True, eq=False)
class Encoded:
    """The values of a NIR node, and the factor by which weights and bias of its input are multiplied, [*shape]."""

    type: str
    values: dict[str, Value]
    gain: Floats


@dataclass(frozen=True)
class Form:
    """How a file is written. pools: as SumPool2d, or as AvgPool2d with its area in the weights of the chain. convs: those of
    height 1 as Conv2d, or as Conv1d."""

    encoding: Encoding = "unit_r"
    firing: Firing = ">"
    pools: Pools = "sum"
    convs: Convs = "2d"

    def __post_init__(self) -> None:
        one_of("encoding", self.encoding, ENCODINGS)
        one_of("firing", self.firing, FIRINGS)
        one_of("pools", self.pools, POOLS)
        one_of("convs", self.convs, CONVS)
        for name, given, needed, why in (("firing", self.firing, ">=", "which fires at its threshold and subtracts it"),
                                         ("pools", self.pools, "sum", "as Sinabs leaves an AvgPool2d node out without a word"),
                                         ("convs", self.convs, "2d", "as Sinabs cannot read a Conv1d node")):
            if self.encoding == "sinabs" and given != needed:
                raise ValueError(f"{name} must be {needed!r} for encoding='sinabs', {why}, got {given!r}")


def rule_name(population: Population) -> str:
    """The name under which NIR can hold the population's rule; ValueError that names both when it cannot."""
    rule = population.rule
    assert rule is not None
    if rule.name not in RULES or _functions(rule) != _functions(RULES[rule.name]):
        raise ValueError(f"population {population.name!r} has rule {rule.name!r}, which NIR has no node for: it holds "
                         f"{', '.join(RULES)}. Train with one of these, or export to a target that holds the rule")
    return rule.name


def _functions(rule: Rule) -> str:
    """What the rule computes, whether it was written by hand or loaded from a file."""
    functions: dict[str, Any] = json.loads(rule_to_json(rule))["functions"]
    return json.dumps([functions.get(role) for role in ("charge", "margin", "reset")])


def encode(population: Population, encoding: Encoding, firing: Firing) -> Encoded:
    """The NIR node of a population. ValueError that names the population and the parameter that NIR cannot hold."""
    rule_name(population)
    shape = population.shape
    given = {k: np.broadcast_to(np.asarray(v, np.float64), shape) for k, v in population.parameters.items()}
    decay = given.get("decay", np.ones(shape))
    for name in ("decay", "keep"):
        if name in given and (given[name].min() < 0.0 or given[name].max() > 1.0):
            raise ValueError(f"population {population.name!r}: {name} must lie in 0 .. 1 to be a time constant in NIR, "
                             f"got {given[name].min():g} .. {given[name].max():g}")
    if encoding == "sinabs":
        return _in_steps(population, given, decay)
    zeros = np.zeros(shape)
    fires = {"v_threshold": threshold(given["theta"], firing), "v_reset": zeros} if "theta" in given else {}
    if "keep" in given:
        if decay.max() == 1.0 or given["keep"].max() == 1.0:
            raise ValueError(f"population {population.name!r}: a CubaLIF node of NIR needs decay and keep below 1")
        syn, mem = DT / (1.0 - given["keep"]), DT / (1.0 - decay)
        return Encoded("CubaLIF", {"tau_mem": mem, "tau_syn": syn, "r": mem / DT, "v_leak": zeros, **fires,
                                   "w_in": syn / DT}, np.ones(shape))
    if decay.min() == 1.0:
        return Encoded("IF" if fires else "I", {"r": np.full(shape, 1.0 / DT), **fires}, np.ones(shape))
    if decay.max() == 1.0:
        raise ValueError(f"population {population.name!r}: some of its neurons leak and some do not (decay 1), which one "
                         "NIR node cannot hold: split the population")
    tau = DT / (1.0 - decay)
    unit = encoding == "unit_r"
    return Encoded("LIF" if fires else "LI", {"tau": tau, "r": np.ones(shape) if unit else tau / DT, "v_leak": zeros,
                                              **fires}, 1.0 / (1.0 - decay) if unit else np.ones(shape))


def _in_steps(population: Population, given: dict[str, Floats], decay: Floats) -> Encoded:
    """The node for Sinabs, one number a neuron, in float32 where that holds the threshold."""
    if "keep" in given:
        raise ValueError(f"population {population.name!r} has rule {rule_name(population)}: Sinabs leaves a CubaLIF node out "
                         "without a word; it takes LIF and IF")
    ones = np.ones(population.shape)
    values: dict[str, Value] = {"tau": _steps(decay), "r": ones, "v_leak": 0.0 * ones}
    if "theta" not in given:
        return Encoded("LI", values, ones)
    theta = given["theta"]
    if theta.min() <= 0.0:
        raise ValueError(f"population {population.name!r}: theta must be above 0 for Sinabs, which divides by it, got "
                         f"{theta.min():g}")
    short = theta.astype(np.float32)
    return Encoded("LIF", {**values, "v_threshold": short if np.all(short == theta) else np.array(theta),
                           "v_reset": 0.0 * ones}, ones)


def _steps(decay: Floats) -> NDArray[np.float32]:
    """tau in steps, of which Sinabs makes exp(-1/tau) in float32: the nearest to each decay."""
    with np.errstate(divide="ignore"):
        first = np.clip(-1.0 / np.log(decay), AT_ONCE, FOREVER).astype(np.float32)
    best, off = first, np.full(decay.shape, np.inf)
    for ulps in range(-4, 5):
        tau = (first.view(np.int32) + np.int32(ulps)).view(np.float32)
        far = np.abs(np.exp((np.float32(-1.0) / tau).astype(np.float64)) - decay)
        best, off = np.where(far < off, tau, best), np.minimum(far, off)
    return np.asarray(np.where(decay == 1.0, np.float32(FOREVER), np.where(decay == 0.0, np.float32(AT_ONCE), best)))


def threshold(theta: Floats, firing: Firing) -> Floats:
    """v_threshold for a neuron that fires at v >= theta, read by a tool that compares by `firing` in float32."""
    if firing == ">=":
        return np.array(theta)
    with np.errstate(over="ignore"):
        single = theta.astype(np.float32)
        below = np.where(single >= theta, np.nextafter(single, np.float32(-np.inf)), single)
    return np.where(np.isfinite(below), below, theta).astype(np.float64)


@dataclass(frozen=True)
class Reading:
    """How the file of another tool is read. dt: s, one step; tool: whose file it is; firing: how that tool compares;
    reset: what its neurons do, of which a file says nothing."""

    dt: float
    tool: Tool = "nir"
    firing: Firing = ">"
    reset: Literal["hard", "soft"] = "hard"


def decode(name: str, node: Node, shape: tuple[int, ...], reading: Reading, dtype: np.dtype[Any]) -> tuple[Population, Floats]:
    """The population that a NIR node of another tool describes at steps of dt, and the gain of its input, [*shape].

    The decay is Euler's, 1 - dt/tau, as the tools that read NIR step it; for Sinabs exp(-1/tau), since it writes tau in
    steps. Where v_leak and v_reset are the same number, the membrane is its distance from there. ValueError that names the
    node, the value and what is allowed.
    """
    where = f"node {name!r} ({node.type})"
    v = {k: _full(where, k, np.asarray(value, np.float64), shape) for k, value in node.values.items()}
    theta, rest = v.get("v_threshold", v.get("threshold")), v.get("v_leak", np.zeros(shape))
    if theta is not None:
        reset = v.get("v_reset", rest if node.type == "IF" else np.zeros(shape))
        rest = reset if node.type == "IF" else rest
        if np.any(rest != reset):
            raise ValueError(f"{where}: v_leak and v_reset must be equal, a neuron of snnsim rests where it is reset to; got "
                             f"{rest.min():g} .. {rest.max():g} and {reset.min():g} .. {reset.max():g}")
    elif rest.any():
        raise ValueError(f"{where}: v_leak must be 0 everywhere in a neuron that never fires, got {rest.min():g} .. "
                         f"{rest.max():g}")
    decays = {k: _decay(where, k, np.asarray(node.values[k]), v[k], reading) for k in ("tau", "tau_syn", "tau_mem") if k in v}
    gain = v.get("r", np.ones(shape))
    if reading.tool != "sinabs":
        for decay in (decays.values() if reading.tool != "norse" else [d for k, d in decays.items() if k != "tau_syn"]):
            gain = gain * (1.0 - decay)
    if node.type in ("IF", "I") and reading.tool not in ("norse", "sinabs"):
        gain = gain * reading.dt
    gain = gain * v.get("w_in", np.ones(shape))
    held: dict[str, NDArray[Any]] = {}
    if node.type == "CubaLIF":
        held["keep"] = decays["tau_syn"]
    if node.type != "IF":
        other = np.zeros(shape) if node.type == "Threshold" else np.ones(shape)
        held["decay"] = decays.get("tau_mem", decays.get("tau", other))
    if theta is not None:
        held["theta"] = theta - rest
    held = {k: _smallest(value.astype(dtype)) for k, value in held.items()}
    if theta is not None and reading.firing == ">":
        held["theta"] = np.nextafter(held["theta"], np.asarray(np.inf, dtype))
    kind = {"LIF": "lif", "Threshold": "lif", "IF": "if", "CubaLIF": "cuba", "LI": "li", "I": "li"}[node.type]
    # r = tau/dt that was rounded to float32 is meant to cancel
    gain = np.where(np.abs(gain - 1.0) < 1e-6, 1.0, gain)
    rule = RULES["li" if kind == "li" else f"{kind}_{reading.reset}"]
    return Population(name.replace("/", "."), shape, rule, held), gain


def _full(where: str, key: str, value: Floats, shape: tuple[int, ...]) -> Floats:
    """The value for each neuron: one number, or an array of the neurons' shape; axes of length 1 stand for all, or do not
    count."""
    if value.ndim == len(shape) and value.size != 1 and all(n in (1, full) for n, full in zip(value.shape, shape, strict=True)):
        return np.broadcast_to(value, shape)
    if value.size != 1 and [n for n in value.shape if n != 1] != [n for n in shape if n != 1]:
        raise ValueError(f"{where}: {key} has shape {value.shape}, must be one number or one for each of the {shape} neurons")
    return np.broadcast_to(value.ravel(), shape) if value.size == 1 else value.reshape(shape)


def _decay(where: str, key: str, given: NDArray[Any], tau: Floats, reading: Reading) -> Floats:
    """The share that stays over a step: of all that give this tau within its rounding, the one of fewest bits, since tools
    compute tau = dt/(1 - decay) in float32."""
    dt = reading.dt
    if reading.tool == "sinabs":
        if tau.size and tau.min() <= 0.0:
            raise ValueError(f"{where}: {key} must be above 0 steps, got {tau.min():g}")
        return np.exp(-1.0 / tau)
    if tau.size and tau.min() < dt * (1.0 - 1e-6):
        raise ValueError(f"{where}: {key} must be at least dt = {dt:g} s, got {tau.min():g} s")
    rate = dt / tau
    slack = rate * (1.3e-7 if given.dtype.itemsize < 8 else 1e-15)
    decay, left = 1.0 - rate, np.ones(tau.shape, np.bool_)
    for bits in range(53):
        short = np.round((1.0 - rate) * 2.0**bits) / 2.0**bits
        fits = left & (np.abs(short - (1.0 - rate)) <= slack)
        decay = np.where(fits, short, decay)
        left &= ~fits
        if not left.any():
            break
    return np.maximum(decay, 0.0)


def _smallest(value: NDArray[Any]) -> NDArray[Any]:
    """One number where all are equal: the engine is faster with it."""
    return np.asarray(value.flat[0]) if value.size and np.all(value == value.flat[0]) else value
