"""A network in whole numbers, as Loihi computes it: what `quantize` makes, what the executor runs and what writers write.

    a = sum of mantissas of the synapses whose spikes arrive;  x = (a << exponent) << 6, or a >> -exponent for a negative one
    u, v and spikes of a population: see `neurons.LoihiLIF`, with bias = mantissa << bias_exponent

Time is the hardware's: a spike of step t arrives at step t + delay, delay at least 1. What the synapses of one projection
bring that arrive in one step and were sent in one step is summed and then shifted, as Lava's Dense and DelayDense do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnsim.maps import Conv2d, Delayed, Dense, Map, Sparse, weighing
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons.loihi import ALIGN, RANGE, LoihiLIF, whole_each
from snnsim.rule import finite, one_of

Integers = NDArray[np.int64]
Sign = Literal["mixed", "exc", "inh"]
Reset = Literal["hard", "soft", "none"]
SIGNS: tuple[Sign, ...] = ("mixed", "exc", "inh")
BIAS_BITS, BIAS_EXPONENTS, EXPONENTS, LONGEST = 13, 7, 15, 63  # LONGEST: steps that a synapse adds to the one of the hop


def truncated(weight: Any, sign: Sign, bits: int) -> Integers:
    """What Loihi keeps of whole weights: the bits that there are, rounded towards minus infinity.

    mixed: -256 .. 255 in steps of 2**(9 - bits); exc: 0 .. 255 in steps of 2**(8 - bits); inh: their negatives.
    """
    mixed = sign == "mixed"
    w = -np.asarray(weight, np.int64) if sign == "inh" else np.asarray(weight, np.int64)
    k = 8 - bits + mixed
    w = (np.clip(w, -256 if mixed else 0, 255) >> k) << k
    return np.asarray(-w if sign == "inh" else w)


@dataclass(frozen=True, eq=False)
class IntegerPopulation:
    """Neurons, or with reset None the input. du, dv, vth, bias (mantissas): whole, one number each or an array that broadcasts
    to the shape. reset: "none" never fires. start: v before the first step, likewise. scale: what 1 of v is in the unit of the
    network that it was made from.

    Errors: ValueError that names the population and the argument.
    """

    name: str
    shape: tuple[int, ...]
    reset: Reset | None = "hard"
    du: Any = 4095
    dv: Any = 0
    vth: Any = 1
    bias: Any = 0
    bias_exponent: int = 6
    scale: float = 1.0
    start: Any = 0

    def __post_init__(self) -> None:
        where = f"population {self.name!r}"
        shape = tuple(int(n) for n in self.shape)
        if len(shape) not in (1, 3) or min(shape) < 1:
            raise ValueError(f"shape of {where} must be (N,) or (channels, height, width), got {self.shape}")
        object.__setattr__(self, "shape", shape)
        one_of(f"reset of {where}", self.reset, ("hard", "soft", "none", None))
        bias = 2 ** (BIAS_BITS - 1)
        for name, low, high in (("du", 0, 4095), ("dv", 0, 4096), ("vth", 0, 2**17 - 1), ("bias", -bias, bias - 1),
                                ("start", 1 - RANGE, RANGE - 1)):
            value = whole_each(f"{name} of {where}", getattr(self, name), low, high)
            try:
                np.broadcast_to(value, shape)
            except ValueError:
                raise ValueError(f"{name} of {where} has shape {value.shape}, which does not broadcast to {shape}") from None
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        _whole(f"bias_exponent of {where}", self.bias_exponent, 0, BIAS_EXPONENTS)
        finite(f"scale of {where}", self.scale, above=0.0)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def neuron(self) -> LoihiLIF:
        """The same neuron for networks of floats. ValueError for the input."""
        if self.reset is None:
            raise ValueError(f"population {self.name!r} is the input: it has no neuron")
        return LoihiLIF(self.du, self.dv, self.vth, self.bias << self.bias_exponent, self.reset, self.scale)


@dataclass(frozen=True, eq=False)
class IntegerProjection:
    """Synapses from one population to another. map: Dense, Conv2d, Delayed or Sparse with whole weights, the mantissas, as
    Loihi keeps them at so many `bits` and this sign (see `truncated`); a pool is a Conv2d of each channel with itself.
    exponent: -15 .. 15. delay: steps from spike to arrival, 1 .. 64, to which Delayed adds its own.

    Errors: ValueError that names the projection and the argument.
    """

    source: str
    target: str
    map: Map
    exponent: int = 0
    bits: int = 8
    sign: Sign = "mixed"
    delay: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.map, (Dense, Conv2d, Delayed, Sparse)):
            raise ValueError(f"map of projection {self.name} must be Dense, Conv2d, Delayed or Sparse, got {self.map!r}")
        one_of(f"sign of projection {self.name}", self.sign, SIGNS)
        _whole(f"bits of projection {self.name}", self.bits, 1, 8)
        _whole(f"exponent of projection {self.name}", self.exponent, -EXPONENTS, EXPONENTS)
        longest = self.map.longest if isinstance(self.map, Delayed) else 0
        if isinstance(self.delay, bool) or self.delay < 1 or self.delay + longest > LONGEST + 1:
            raise ValueError(f"delay of projection {self.name} must be 1 .. {LONGEST + 1} steps in all, got {self.delay}"
                             + (f" and up to {longest} of its synapses" if longest else "")
                             + ": train with shorter delays, or with a longer step")
        weight = self.mantissas
        kept = truncated(weight, self.sign, self.bits)
        if np.any(kept != weight):
            at = tuple(int(i) for i in np.argwhere(kept != weight)[0])
            raise ValueError(f"weight of projection {self.name} must be what {self.bits} bits of sign {self.sign!r} hold; "
                             f"at {at} it is {weight[at]:g}, which they hold as {kept[at]}")

    @property
    def name(self) -> str:
        return f"{self.source}->{self.target}"

    @property
    def mantissas(self) -> NDArray[Any]:
        """The weights of the map."""
        return self.map.arrays()["weight"]

    def synapses(self, shape: tuple[int, ...]) -> tuple[Integers, NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """By source in C order: indptr, target, mantissa and delay of each synapse that is not 0."""
        indptr, post, weight, extra = listed(self.map, shape)
        return indptr, post, weight, extra + np.int32(self.delay)


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Populations, the first of which is the input, and projections. readout "membrane": argmax of the sum of the output's v
    over all steps; "count": of its spikes; ties go to the lowest index. latency: steps from the input to the output, by which
    a run is longer than its input. report: what quantising changed, by population and projection. notes: what building it
    approximated.

    Errors: ValueError that names what does not fit.
    """

    populations: tuple[IntegerPopulation, ...]
    projections: tuple[IntegerProjection, ...]
    time: TimeBase = field(default_factory=TimeBase)
    output: str = ""
    readout: Literal["membrane", "count"] = "count"
    latency: int = 0
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    report: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("populations", "projections", "classes", "notes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.output and self.populations:
            object.__setattr__(self, "output", self.populations[-1].name)
        if not self.populations or self.populations[0].reset is not None:
            raise ValueError("the first population of an integer network must be its input, with reset=None")
        for p in self.populations[1:]:
            if p.reset is None:
                raise ValueError(f"population {p.name!r} has reset None: only the first is an input")
        self._floats()  # which checks names, shapes and the readout

    def population(self, name: str) -> IntegerPopulation:
        for p in self.populations:
            if p.name == name:
                return p
        raise ValueError(f"there is no population {name!r}: {[p.name for p in self.populations]}")

    def network(self) -> Network:
        """The same network of floats that hold whole numbers, for the engine, bit for bit where no sum of a step passes 2**24
        and no exponent is negative. ValueError for a negative exponent, whose shift rounds a sum that a map does not know."""
        for q in self.projections:
            if q.exponent < 0:
                raise ValueError(f"projection {q.name} has exponent {q.exponent}, whose shift rounds the sum of a step, which "
                                 "a network of floats does not: run it in whole numbers")
        return self._floats()

    def _floats(self) -> Network:
        populations = [Population(p.name, p.shape) if p.reset is None else
                       Population.of(p.name, p.shape, p.neuron, self.time.dt, np.float32,
                                     {"v": p.start.astype(np.float32)} if np.any(p.start) else None)
                       for p in self.populations]
        projections = [Projection(q.source, q.target, _scaled(q), delay=q.delay) for q in self.projections]
        return Network(tuple(populations), tuple(projections), self.time, self.output, self.readout, self.notes, self.classes)

    def __repr__(self) -> str:
        lines = [f"IntegerNetwork(dt={self.time.dt:g} ms, latency={self.latency}, output={self.output!r})"]
        for p in self.populations:
            lines.append(f"  {p.name} {p.shape} {'input' if p.reset is None else f'{p.reset} reset'}")
            lines += [f"    <- {q.source}: {q.map!r}, {q.bits} bits {q.sign}, exponent {q.exponent}, delay {q.delay}"
                      for q in self.projections if q.target == p.name]
        return "\n".join(lines)


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number in {low} .. {high}, got {value!r}")


def _scaled(q: IntegerProjection) -> tuple[Map]:
    """The map of floats with 64 mantissa 2**exponent for its weights."""
    return (weighing(q.map, (q.mantissas * ALIGN * 2.0**q.exponent).astype(np.float32)),)


def listed(m: Map, shape: tuple[int, ...]) -> tuple[Integers, NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """By source in C order: indptr, target, weight and own delay of each synapse of a map that is not 0."""
    pre, post, weight, extra = _joined(m, shape)
    found = weight != 0
    pre, post, weight, extra = pre[found], post[found], weight[found], extra[found]
    order = np.lexsort((post, pre))
    indptr = np.zeros(math.prod(shape) + 1, np.int64)
    np.cumsum(np.bincount(pre, minlength=len(indptr) - 1), out=indptr[1:])
    return indptr, post[order].astype(np.int32), weight[order].astype(np.int32), extra[order].astype(np.int32)


def _joined(m: Map, shape: tuple[int, ...]) -> tuple[Integers, Integers, Integers, Integers]:
    """Source, target, mantissa and own delay of each synapse."""
    weight = m.arrays()["weight"].astype(np.int64)
    if isinstance(m, Conv2d):
        return _convolved(m, weight, shape)
    if isinstance(m, Sparse):
        rows = np.repeat(np.arange(m.shape[1]), np.diff(np.asarray(m.indptr)))
        return rows, np.asarray(m.targets, np.int64), weight, np.zeros_like(weight)
    post, pre = np.indices(weight.shape)
    delay = np.asarray(m.delay, np.int64) if isinstance(m, Delayed) else np.zeros_like(weight)
    return pre.ravel(), post.ravel(), weight.ravel(), delay.ravel()


def _convolved(m: Conv2d, kernel: Integers, shape: tuple[int, ...]) -> tuple[Integers, Integers, Integers, Integers]:
    out = m.output_shape(shape)
    source, target = (np.arange(math.prod(s)).reshape(s) for s in (shape, out))
    (sy, sx), (py, px) = m.stride, m.padding  # type: ignore[misc]
    pieces = [(np.zeros(0, np.int64),) * 3]
    for k, j in np.ndindex(kernel.shape[2:]):
        y, x = np.arange(out[1]) * sy + k - py, np.arange(out[2]) * sx + j - px
        rows, columns = (y >= 0) & (y < shape[1]), (x >= 0) & (x < shape[2])
        here, there = source[:, y[rows]][:, :, x[columns]], target[:, rows][:, :, columns]
        pieces += [(here[c].ravel(), there[o].ravel(), np.full(here[c].size, kernel[o, c, k, j]))
                   for o, c in np.argwhere(kernel[:, :, k, j])]
    pre, post, weight = (np.concatenate(p) for p in zip(*pieces, strict=True))
    return pre, post, weight, np.zeros_like(weight)
