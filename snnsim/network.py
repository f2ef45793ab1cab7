"""What a network is: populations and projections as plain frozen data, checked when built.

Timing, for every neuron and step t: charge -> fire -> reset (see `snnsim.rule.Rule`). A spike at step t reaches a
target at step t + delay; a delay of 0 is allowed where it closes no loop. Each projection adds the weighted spikes
and its bias to its receptor of the target at every step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.maps import Map
from snnsim.rule import Neuron, Rule, finite, one_of

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
    """Neurons of one rule, or, without a rule, an input: its spikes are the events.

    shape: (N,) or (channels, height, width). parameters: the rule's step parameters, each a number or an array that
    broadcasts to the shape. Errors: ValueError that names the population and the argument.
    """

    name: str
    shape: tuple[int, ...]
    rule: Rule | None = None
    parameters: Mapping[str, ArrayLike] = field(default_factory=dict)

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

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @classmethod
    def of(cls, name: str, shape: Sequence[int], neuron: Neuron, dt: float, dtype: Any = np.float64) -> Population:
        """A population of this neuron, for steps of dt milliseconds."""
        values = {k: np.asarray(v, dtype) for k, v in neuron.step_parameters(dt).items()}
        return cls(name, tuple(shape), neuron.rule, values)


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
    """Populations, projections and a time base. The first population is the input, `output` is read.

    readout: "membrane", argmax of the mean of the output's last state over the steps, or "count", argmax of its spike
    counts; ties go to the lowest index. notes: what building it approximated. classes: names of the outputs.

    Errors: ValueError that names what does not fit (unknown names, shapes along a chain, a loop without delay).
    """

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    time: TimeBase = TimeBase()
    output: str = ""
    readout: Literal["membrane", "count"] = "membrane"
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    order: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("populations", "projections", "notes", "classes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        names = [p.name for p in self.populations]
        if not names:
            raise ValueError("a network needs at least one population")
        if len(set(names)) != len(names):
            raise ValueError(f"population names must be unique, got {names}")
        if self.populations[0].rule is not None:
            raise ValueError(f"the first population is the input and has no rule, but {names[0]!r} has "
                             f"{self.populations[0].rule.name}")
        for p in self.populations[1:]:
            if p.rule is None:
                raise ValueError(f"population {p.name!r} has no rule: only the first population is an input")
        if not self.output:
            object.__setattr__(self, "output", names[-1])
        if self.output not in names[1:]:
            raise ValueError(f"output {self.output!r} is not a population with a rule: {names[1:]}")
        one_of("readout", self.readout, ("membrane", "count"))
        out_rule = self.population(self.output).rule
        if self.readout == "count" and out_rule is not None and not out_rule.fires:
            raise ValueError(f"readout 'count' needs an output that fires, but {self.output!r} has rule {out_rule.name}")
        if self.classes and len(self.classes) != self.population(self.output).size:
            raise ValueError(f"{len(self.classes)} class names for {self.population(self.output).size} outputs")
        for q in self.projections:
            self._check(q, names)
        object.__setattr__(self, "order", self._order(names))

    def _check(self, q: Projection, names: list[str]) -> None:
        for end in (q.source, q.target):
            if end not in names:
                raise ValueError(f"projection {q.name}: there is no population {end!r}, only {names}")
        source, target = self.population(q.source), self.population(q.target)
        if target.rule is None:
            raise ValueError(f"projection {q.name} ends at the input")
        if source.rule is not None and not source.rule.fires:
            raise ValueError(f"projection {q.name}: {q.source!r} never fires (rule {source.rule.name})")
        if q.receptor not in target.rule.inputs:
            raise ValueError(f"projection {q.name}: receptor {q.receptor!r} is not one of {target.rule.inputs} of rule "
                             f"{target.rule.name}")
        shape = source.shape
        for i, m in enumerate(q.maps):
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
            lines.append(f"  {p.name} {p.shape} {p.rule.name if p.rule else 'input'}")
            lines += [f"    <- {q.source}: {' + '.join(map(repr, q.maps))}, delay {q.delay}" for q in self.into(p.name)]
        return "\n".join(lines)
