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
from snnsim.rule import Rule, rule_to_json

Encoding = Literal["unit_r", "tau_over_dt"]
Firing = Literal[">", ">="]
Floats = NDArray[np.float64]
ENCODINGS: tuple[Encoding, ...] = ("unit_r", "tau_over_dt")
FIRINGS: tuple[Firing, ...] = (">", ">=")
DT = 1e-4  # s; snnTorch takes no other

RULES = {rule.name: rule for rule in (*lif.RULES.values(), *integrate.RULES.values(), *cuba.RULES.values(), readout.RULE)}
RESETS = {"soft": "soft (subtracting) reset", "none": "neuron without reset"}
NEURONS = ("LIF", "IF", "CubaLIF", "LI", "I")


@dataclass(frozen=True, eq=False)
class Encoded:
    """The values of a NIR node, and the factor by which weights and bias of its input are multiplied, [*shape]."""

    type: str
    values: dict[str, Value]
    gain: Floats


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


def threshold(theta: Floats, firing: Firing) -> Floats:
    """v_threshold for a neuron that fires at v >= theta, read by a tool that compares by `firing` in float32."""
    if firing == ">=":
        return np.array(theta)
    with np.errstate(over="ignore"):
        single = theta.astype(np.float32)
        below = np.where(single >= theta, np.nextafter(single, np.float32(-np.inf)), single)
    return np.where(np.isfinite(below), below, theta).astype(np.float64)


def decode(name: str, node: Node, dt: float, firing: Firing, dtype: np.dtype[Any]) -> tuple[Population, Floats]:
    """The population that a NIR node of another tool describes at steps of dt seconds, and the gain of its input.

    The decay is Euler's, 1 - dt/tau, as the tools that read NIR step it. ValueError that names the node, the value
    and what is allowed.
    """
    values = {k: np.asarray(v, np.float64) for k, v in node.values.items()}
    shape = values["r"].shape
    for key, value in values.items():
        if value.shape != shape and not (key == "w_in" and value.shape == ()):
            raise ValueError(f"node {name!r} ({node.type}): {key} has shape {value.shape}, r has {shape}: all must be "
                             "of the neurons' shape")
        if key in ("v_leak", "v_reset") and np.any(value != 0.0):
            raise ValueError(f"node {name!r} ({node.type}): {key} must be 0 everywhere, shift the membrane so that it "
                             f"rests at 0; got {value.min():g} .. {value.max():g}")
        if key.startswith("tau") and value.size and value.min() < dt:
            raise ValueError(f"node {name!r} ({node.type}): {key} must be at least dt = {dt:g} s, got {value.min():g} s")
    parameters, gain = {}, values["r"] * (dt if node.type in ("IF", "I") else 1.0)
    if node.type == "CubaLIF":
        gain = gain * dt / values["tau_mem"] * values.get("w_in", np.ones(shape)) * dt / values["tau_syn"]
        parameters = {"keep": 1.0 - dt / values["tau_syn"], "decay": 1.0 - dt / values["tau_mem"]}
    elif "tau" in values:
        gain = gain * dt / values["tau"]
        parameters = {"decay": 1.0 - dt / values["tau"]}
    elif node.type == "I":
        parameters = {"decay": np.ones(shape)}
    if "v_threshold" in values:
        parameters["theta"] = values["v_threshold"]
    held = {k: _smallest(v.astype(dtype)) for k, v in parameters.items()}
    if "theta" in held and firing == ">":
        held["theta"] = np.nextafter(held["theta"], np.asarray(np.inf, dtype))
    rule = {"LIF": "lif_hard", "IF": "if_hard", "CubaLIF": "cuba_hard", "LI": "li", "I": "li"}[node.type]
    # r = tau/dt that was rounded to float32 is meant to cancel
    gain = np.where(np.abs(gain - 1.0) < 1e-6, 1.0, gain)
    return Population(name, shape, RULES[rule], held), gain


def _smallest(value: NDArray[Any]) -> NDArray[Any]:
    """One number where all are equal: the engine is faster with it."""
    return np.asarray(value.flat[0]) if value.size and np.all(value == value.flat[0]) else value
