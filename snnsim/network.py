"""What a network is: populations, and what joins them, as plain frozen data, checked when built.

Timing, for every neuron and step t: charge -> fire -> reset (see `snnsim.rule.Rule`). A spike at step t reaches a
target at step t + delay. Populations are joined by projections, chains of linear maps as nets are trained with, whose
delay may be 0 where it closes no loop; or by synapses, one at a time, drawn by a connection rule, each with a weight
and a delay of its own. Both add to a receptor of the target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.connect import AllToAll, Connect, OneToOne, Pairs
from snnsim.distributions import Distribution, Value, value_or_distribution
from snnsim.maps import LONGEST_DELAY, Delayed, Map
from snnsim.plasticity import STDP, Plasticity
from snnsim.rule import Neuron, Rule, call, finite, one_of
from snnsim.sources import Source, StepCurrent

Array = NDArray[Any]


def frozen(name: str, value: ArrayLike) -> Array:
    """A read-only floating-point copy of the value; ValueError that names it where a number is not finite."""
    array = np.array(value)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    finite(name, array)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one rule; or a source, whose spikes are given or drawn; or, with neither, an input: its spikes are the
    events of a run.

    shape: (N,) or (channels, height, width). parameters: the rule's step parameters, each a number or an array that
    broadcasts to the shape. initial: states before the first step, by name, each a number, an array that broadcasts to
    the shape, or a distribution; those not named start at 0. Errors: ValueError that names the population and the
    argument.
    """

    name: str
    shape: tuple[int, ...]
    rule: Rule | None = None
    parameters: Mapping[str, ArrayLike] = field(default_factory=dict)
    initial: Mapping[str, Value] = field(default_factory=dict)
    source: Source | None = None

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) not in (1, 3) or min(shape) < 1:
            raise ValueError(f"shape of population {self.name!r} must be (N,) or (channels, height, width) with "
                             f"positive sizes, got {self.shape}")
        wanted = self.rule.parameters if self.rule else ()
        if set(self.parameters) != set(wanted):
            raise ValueError(f"population {self.name!r} needs the parameters {wanted} of rule "
                             f"{self.rule.name if self.rule else 'none'}, got {tuple(self.parameters)}")
        held = {}
        for p in wanted:
            label = f"parameter {p!r} of population {self.name!r}"
            held[p] = frozen(label, self.parameters[p])
            if self.rule:
                self.rule.check(p, held[p], label)
            try:
                np.broadcast_to(held[p], shape)
            except ValueError:
                raise ValueError(f"parameter {p!r} of population {self.name!r} has shape {held[p].shape}, which does "
                                 f"not broadcast to {shape}") from None
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "parameters", held)
        object.__setattr__(self, "initial", self._initial(shape))
        if self.source is not None:
            if self.rule is not None:
                raise ValueError(f"population {self.name!r} has a rule and a source: it can have one of them")
            try:
                self.source.check(math.prod(shape))
            except ValueError as e:
                raise ValueError(f"population {self.name!r}: {e}") from None

    def _initial(self, shape: tuple[int, ...]) -> dict[str, Any]:
        held = {}
        for state, value in self.initial.items():
            one_of(f"initial state of population {self.name!r}", state, self.rule.states if self.rule else ())
            label = f"initial {state!r} of population {self.name!r}"
            held[state] = value_or_distribution(label, value)
            try:
                np.broadcast_to(0.0 if isinstance(value, Distribution) else np.asarray(value), shape)
            except ValueError:
                raise ValueError(f"{label} has shape {np.asarray(value).shape}, which does not broadcast to {shape}") from None
        return held

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def spontaneous(self) -> NDArray[np.bool_]:
        """Which neurons fire in a step without any input, from states of 0: [*shape]. A folded norm can make such."""
        fires = np.zeros(self.shape, np.bool_)
        if self.rule is not None and self.rule.margin is not None:
            values = [np.asarray(self.parameters[p]) for p in self.rule.parameters]
            with np.errstate(all="ignore"):
                h = call(self.rule.charge, *[np.float64(0.0)] * (len(self.rule.states) + len(self.rule.inputs)), *values)
                fires |= np.asarray(call(self.rule.margin, *h, *values)[0]) >= 0.0
        return fires

    @classmethod
    def of(cls, name: str, shape: int | Sequence[int], neuron: Neuron, dt: float, dtype: Any = np.float64,
           initial: Mapping[str, Value] | None = None) -> Population:
        """A population of this neuron, for steps of dt milliseconds; it starts at rest where `initial` says nothing."""
        values = {k: np.asarray(v, dtype) for k, v in neuron.step_parameters(dt).items()}
        size = (shape,) if isinstance(shape, int) else tuple(shape)
        return cls(name, size, neuron.rule, values, {**neuron.initial, **(initial or {})})


@dataclass(frozen=True, eq=False)
class Projection:
    """A chain of linear maps from the spikes of one population to a receptor of another.

    x_target[t] += map_n(... map_1(s_source[t - delay])) + bias.  delay: whole steps, at least 0. bias: None or an
    array that broadcasts to the target's shape. Errors: ValueError that names the projection and the argument.
    """

    source: str
    target: str
    maps: tuple[Map, ...]
    bias: ArrayLike | None = None
    delay: int = 0
    receptor: str = "x"

    def __post_init__(self) -> None:
        object.__setattr__(self, "maps", tuple(self.maps))
        if not self.maps:
            raise ValueError(f"projection {self.name} has no map: give at least one")
        if isinstance(self.delay, bool) or not isinstance(self.delay, (int, np.integer)) or self.delay < 0:
            raise ValueError(f"delay of projection {self.name} must be a whole number of steps, at least 0, "
                             f"got {self.delay!r}")
        if self.bias is not None:
            object.__setattr__(self, "bias", frozen(f"bias of projection {self.name}", self.bias))

    @property
    def name(self) -> str:
        return f"{self.source}->{self.target}"


@dataclass(frozen=True, eq=False)
class Synapses:
    """Single synapses from one population to a receptor of another, which may be the same.

    x_target[t + delay] += weight for each spike of its source at step t, so that each weight and each delay can be its
    synapse's own. connect: which pairs are joined. weight: in the receptor's unit; delay: ms, rounded to steps, at
    least one step; each a number, a distribution (a delay's must be bounded: low, high), or an array where the pairs are
    known (AllToAll [targets, sources], OneToOne [size], Pairs [synapses]). Neurons are counted in C order.
    plasticity: how the weights change with the spikes, or None.

    Errors: ValueError that names the synapses and the argument, here or when the Network is built.
    """

    source: str
    target: str
    connect: Connect
    weight: Value = 1.0
    delay: Value = 1.0
    receptor: str = "x"
    plasticity: Plasticity | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.connect, Connect):
            raise ValueError(f"connect of synapses {self.name} must be a connection rule, got {self.connect!r}")
        if self.plasticity is not None and not isinstance(self.plasticity, Plasticity):
            raise ValueError(f"plasticity of synapses {self.name} must be STDP, TsodyksMarkram or None, got "
                             f"{self.plasticity!r}")
        for name in ("weight", "delay"):
            value = value_or_distribution(f"{name} of synapses {self.name}", getattr(self, name))
            object.__setattr__(self, name, value)
            if not isinstance(value, (float, Distribution)) and not isinstance(self.connect, (AllToAll, OneToOne, Pairs)):
                raise ValueError(f"{name} of synapses {self.name} is an array, but {type(self.connect).__name__} draws the "
                                 "pairs: give a number or a distribution")

    @property
    def name(self) -> str:
        return f"{self.source}->{self.target}"

    def steps(self, dt: float) -> tuple[int, int]:
        """The shortest and the longest delay that can occur, in steps. ValueError where one is below a step."""
        d: Any = self.delay
        low, high = (d.low, d.high) if isinstance(d, Distribution) else (np.min(d, initial=np.inf), np.max(d, initial=dt))
        low = min(low, high)
        if not math.isfinite(high):
            raise ValueError(f"delay of synapses {self.name} has no upper bound: give high=, which sizes the ring that "
                             "holds spikes under way")
        if low < dt * (1 - 1e-9):
            raise ValueError(f"delay of synapses {self.name} must be at least one step ({dt:g} ms), got {low:g} ms"
                             + (": give low=" if isinstance(d, Distribution) else ""))
        if high / dt > LONGEST_DELAY:
            raise ValueError(f"delay of synapses {self.name} can be {high:g} ms, {high / dt:.0f} steps: the longest is "
                             f"{LONGEST_DELAY} steps")
        return int(low / dt + 0.5), int(high / dt + 0.5)


@dataclass(frozen=True, eq=False)
class Modulation:
    """A slower rule, one unit of it for each group of neurons, that moves a parameter of a population.

    Every period, x of group g = the spikes of the source's neurons in g since the last time, and the unit makes one step of
    its rule (charge, margin, reset) with it. At all times

        parameter of neuron j = its own value + gain y[group of j],    y: the unit's last state

    neuron: the slower rule, its parameters those of a step of one period. source_group, target_group: the group of each
    neuron, 0 .. n - 1, or -1 for none. period: ms, whole steps. gain: in the parameter's unit per unit of y. The parameter
    is one of a step, as the target's rule names it.

    Errors: ValueError that names the modulation and the argument, here or when the Network is built.
    """

    source: str
    target: str
    parameter: str
    neuron: Neuron
    source_group: ArrayLike
    target_group: ArrayLike
    period: float
    gain: float

    def __post_init__(self) -> None:
        finite(f"period of modulation {self.name}", self.period, above=0.0)
        finite(f"gain of modulation {self.name}", self.gain)
        for end in ("source_group", "target_group"):
            group = np.array(getattr(self, end))
            if group.ndim != 1 or group.dtype.kind not in "ui" or np.any(group < -1):
                raise ValueError(f"{end} of modulation {self.name} must be a list of group numbers (or -1), got "
                                 f"{getattr(self, end)!r}")
            group.setflags(write=False)
            object.__setattr__(self, end, group)
        if len(self.neuron.rule.inputs) != 1:
            raise ValueError(f"the slower rule of modulation {self.name} must have one input, got {self.neuron.rule.inputs}")

    @property
    def name(self) -> str:
        return f"{self.source}->{self.target}.{self.parameter}"

    @property
    def groups(self) -> int:
        return 1 + max(int(np.max(g, initial=-1)) for g in (self.source_group, self.target_group))

    def steps(self, dt: float) -> int:
        """The period in steps. ValueError where it is not a whole number of them."""
        steps = round(self.period / dt)
        if steps < 1 or abs(steps - self.period / dt) > 1e-6 * max(1, steps):
            raise ValueError(f"period of modulation {self.name} must be a whole number of steps of {dt:g} ms, got "
                             f"{self.period:g}")
        return steps


@dataclass(frozen=True)
class TimeBase:
    """How events become steps: step = floor((t - t0) / dt), and events of one pixel in one step add up.

    dt: ms. steps: how many, or None for as many as a recording needs. clip: several events of a pixel in a step count
    once. t0: "zero", the recording's own clock, or "first", the time of its first event.
    """

    dt: float = 1.0
    steps: int | None = None
    clip: bool = False
    t0: Literal["zero", "first"] = "zero"

    def __post_init__(self) -> None:
        finite("dt", self.dt, above=0.0)
        if self.steps is not None and (isinstance(self.steps, bool) or int(self.steps) != self.steps or self.steps < 1):
            raise ValueError(f"steps must be a positive whole number or None, got {self.steps!r}")
        one_of("t0", self.t0, ("zero", "first"))


@dataclass(frozen=True, eq=False)
class Network:
    """Populations, what joins them, and a time base.

    A net that is trained has projections; its first population is the input and `output` is read. A network of synapses
    needs neither; `seed` fixes what is drawn in it: synapses, initial states, Poisson spikes.

    readout: "membrane", argmax of the mean of the output's last state over the steps, or "count", argmax of its spike
    counts; ties go to the lowest index. notes: what building it approximated. classes: names of the outputs.

    Errors: ValueError that names what does not fit (unknown names, shapes along a chain, a loop without delay).
    """

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...] = ()
    time: TimeBase = TimeBase()
    output: str = ""
    readout: Literal["membrane", "count"] = "membrane"
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    synapses: tuple[Synapses, ...] = ()
    seed: int = 0
    modulations: tuple[Modulation, ...] = ()
    order: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("populations", "projections", "notes", "classes", "synapses", "modulations"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        names = [p.name for p in self.populations]
        if not names:
            raise ValueError("a network needs at least one population")
        if len(set(names)) != len(names):
            raise ValueError(f"population names must be unique, got {names}")
        if self.populations[0].rule is not None and not self.synapses:
            raise ValueError(f"the first population is the input and has no rule, but {names[0]!r} has "
                             f"{self.populations[0].rule.name}")
        for p in self.populations[1:]:
            if p.rule is None and p.source is None:
                raise ValueError(f"population {p.name!r} has no rule: only the first population is an input")
        ruled = [p.name for p in self.populations if p.rule is not None]
        if not self.output and ruled:
            object.__setattr__(self, "output", ruled[-1])
        if self.output not in ruled:
            raise ValueError(f"output {self.output!r} is not a population with a rule: {ruled}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, got {self.seed!r}")
        one_of("readout", self.readout, ("membrane", "count"))
        out_rule = self.population(self.output).rule
        if self.readout == "count" and out_rule is not None and not out_rule.fires:
            raise ValueError(f"readout 'count' needs an output that fires, but {self.output!r} has rule {out_rule.name}")
        if self.classes and len(self.classes) != self.population(self.output).size:
            raise ValueError(f"{len(self.classes)} class names for {self.population(self.output).size} outputs")
        for q in self.projections:
            self._check(q, names)
        for i, s in enumerate(self.synapses):
            self._check_synapses(s, names)
            if s in self.synapses[:i]:
                raise ValueError(f"synapses {s.name} stand twice in the network and would be drawn alike: make two of them")
        for m in self.modulations:
            self._check_modulation(m, names)
        object.__setattr__(self, "order", self._order(names))

    def _ends(self, label: str, q: Projection | Synapses, names: list[str]) -> tuple[Population, Population]:
        for end in (q.source, q.target):
            if end not in names:
                raise ValueError(f"{label}: there is no population {end!r}, only {names}")
        source, target = self.population(q.source), self.population(q.target)
        if target.rule is None:
            raise ValueError(f"{label} ends at {'a source' if target.source else 'the input'}")
        if source.rule is not None and not source.rule.fires:
            raise ValueError(f"{label}: {q.source!r} never fires (rule {source.rule.name})")
        if q.receptor not in target.rule.inputs:
            raise ValueError(f"{label}: receptor {q.receptor!r} is not one of {target.rule.inputs} of rule "
                             f"{target.rule.name}")
        return source, target

    def _check_synapses(self, s: Synapses, names: list[str]) -> None:
        label = f"synapses {s.name}"
        source, target = self._ends(label, s, names)
        try:
            s.connect.expected(source.size, target.size, s.source == s.target)
        except ValueError as e:
            raise ValueError(f"{label}: {e}") from None
        wanted: tuple[int, ...] = (source.size,)
        if isinstance(s.connect, AllToAll):
            wanted = (target.size, source.size)
        elif isinstance(s.connect, Pairs):
            wanted = (np.size(s.connect.source),)
        for name in ("weight", "delay"):
            if np.ndim(getattr(s, name)) and np.shape(getattr(s, name)) != wanted:
                raise ValueError(f"{name} of {label} has shape {np.shape(getattr(s, name))}, must be {wanted}")
        if target.rule is not None and s.receptor in target.rule.conductances:
            low = s.weight.low if isinstance(s.weight, Distribution) else np.min(np.asarray(s.weight), initial=0.0)
            if low < 0:
                raise ValueError(f"weight of {label} must not be negative: receptor {s.receptor!r} of rule "
                                 f"{target.rule.name} is a conductance, got {low:g}"
                                 + (" as its low bound: give low=0" if isinstance(s.weight, Distribution) else ""))
        s.steps(self.time.dt)
        if isinstance(s.plasticity, STDP):
            w: Any = s.weight
            low, high = (w.low, w.high) if isinstance(w, Distribution) else (np.min(w), np.max(w)) if np.size(w) else (0.0, 0.0)
            if low < s.plasticity.w_min or high > s.plasticity.w_max:
                raise ValueError(f"weight of {label} must start within w_min .. w_max of its STDP "
                                 f"({s.plasticity.w_min:g} .. {s.plasticity.w_max:g}), got {low:g} .. {high:g}")
        if s.plasticity is not None and isinstance(source.source, StepCurrent):
            raise ValueError(f"{label} carry a current: they cannot be plastic")
        if isinstance(source.source, StepCurrent) and (not isinstance(s.connect, (OneToOne, AllToAll))
                                                       or not isinstance(s.weight, float) or not isinstance(s.delay, float)):
            raise ValueError(f"{label} carry a current: they join OneToOne or AllToAll, with one weight and one delay")

    def _check_modulation(self, m: Modulation, names: list[str]) -> None:
        label = f"modulation {m.name}"
        for end, group in ((m.source, m.source_group), (m.target, m.target_group)):
            if end not in names or self.population(end).rule is None:
                raise ValueError(f"{label}: {end!r} is not a population with a rule")
            if np.size(group) != self.population(end).size:
                raise ValueError(f"{label}: {np.size(group)} group numbers for {self.population(end).size} neurons of {end!r}")
        rule = self.population(m.target).rule
        one_of(f"parameter of {label}", m.parameter, rule.parameters if rule else ())
        m.steps(self.time.dt)

    def _check(self, q: Projection, names: list[str]) -> None:
        source, target = self._ends(f"projection {q.name}", q, names)
        shape = source.shape
        for i, m in enumerate(q.maps):
            if isinstance(m, Delayed) and i < len(q.maps) - 1:
                raise ValueError(f"projection {q.name}, map {i}: Delayed must be the last map of a chain")
            try:
                shape = m.output_shape(shape)
            except ValueError as e:
                raise ValueError(f"projection {q.name}, map {i}: {e}") from None
        if math.prod(shape) != target.size or (len(shape) == 3 and len(target.shape) == 3 and shape != target.shape):
            raise ValueError(f"projection {q.name} gives shape {shape}, but {q.target!r} has shape {target.shape}")
        if q.bias is not None:
            try:
                np.broadcast_to(np.asarray(q.bias), target.shape)
            except ValueError:
                raise ValueError(f"bias of projection {q.name} has shape {np.shape(q.bias)}, which does not broadcast "
                                 f"to {target.shape}") from None

    def _order(self, names: list[str]) -> tuple[str, ...]:
        """Populations so that each comes after the sources of its undelayed projections."""
        waits = {n: {q.source for q in self.projections if q.target == n and q.delay == 0} for n in names}
        order: list[str] = []
        while waits:
            ready = [n for n in names if n in waits and not waits[n] & set(waits)]
            if not ready:
                raise ValueError(f"the projections among {sorted(waits)} form a loop without delay: a loop needs a "
                                 "delay of at least 1 step")
            for n in ready:
                del waits[n]
            order += ready
        return tuple(order)

    @property
    def input(self) -> Population:
        return self.populations[0]

    def require_projections(self, who: str, initial: bool = False) -> None:
        """ValueError, unless the network is one of projections, fed by events, that starts with all states at 0; or, with
        `initial`, at given ones, which are not drawn."""
        other = [f"synapses {s.name}" for s in self.synapses]
        other += [f"modulation {m.name}" for m in self.modulations]
        other += [f"source {p.name!r}" for p in self.populations if p.source is not None]
        other += [f"drawn initial states of {p.name!r}" for p in self.populations
                  if any(isinstance(v, Distribution) for v in p.initial.values())]
        if other:
            raise ValueError(f"{who} takes networks of projections, fed by events; this one has {other[0]}: "
                             "simulate it with snnsim.engine.Simulation")
        started = [p.name for p in self.populations if p.initial]
        if started and not initial:
            raise ValueError(f"{who} takes networks whose states start at 0; those of {started[0]!r} start elsewhere")

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 when every weight and parameter is, else float64."""
        arrays = [a for p in self.populations for a in p.parameters.values()]
        arrays += [a for q in self.projections for m in q.maps for a in m.arrays().values()]
        arrays += [q.bias for q in self.projections if q.bias is not None]
        kinds = {np.asarray(a).dtype for a in arrays} & {np.dtype(np.float32), np.dtype(np.float64)}
        return np.dtype(np.float32) if kinds == {np.dtype(np.float32)} else np.dtype(np.float64)

    def population(self, name: str) -> Population:
        for p in self.populations:
            if p.name == name:
                return p
        raise ValueError(f"there is no population {name!r}: {[p.name for p in self.populations]}")

    def into(self, name: str) -> tuple[Projection, ...]:
        """The projections that end at this population."""
        return tuple(q for q in self.projections if q.target == name)

    def __repr__(self) -> str:
        lines = [f"Network(dt={self.time.dt:g} ms, steps={self.time.steps}, output={self.output!r})"]
        for p in self.populations:
            lines.append(f"  {p.name} {p.shape} {p.rule.name if p.rule else type(p.source).__name__ if p.source else 'input'}")
            lines += [f"    <- {q.source}: {' + '.join(map(repr, q.maps))}, delay {q.delay}" for q in self.into(p.name)]
            lines += [f"    <- {s.source}: {s.connect!r}, weight {_short(s.weight)}, delay {_short(s.delay)} ms"
                      for s in self.synapses if s.target == p.name]
        return "\n".join(lines)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value) if isinstance(value, Distribution) else "by array"
