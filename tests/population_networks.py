"""Generated networks of synapses whose sums are exact: weights and parameters are small multiples of powers of two."""

import numpy as np
from hypothesis import strategies as st

from snnsim import (
    AllToAll,
    Bernoulli,
    FixedIndegree,
    FixedOutdegree,
    FixedTotal,
    Network,
    OneToOne,
    Pairs,
    Poisson,
    Population,
    SpikeTimes,
    StepCurrent,
    Synapses,
    TimeBase,
    Uniform,
)
from snnsim.neurons import IF, LIF, AdaptiveLIF, CubaLIF
from snnsim.rule import Rule

DT = 0.5


def _two_charge(a: float, b: float, ex: float, inh: float, keep: float, theta: float) -> tuple[float, float]:
    return keep * a + ex, keep * b + a - inh


def _two_margin(a: float, b: float, keep: float, theta: float) -> float:
    return b - theta


def _two_reset(a: float, b: float, s: float, keep: float, theta: float) -> tuple[float, float]:
    return a, b * (1.0 - s)


TWO = Rule("two_receptors", _two_charge, _two_margin, _two_reset, inputs=("ex", "inh"))
RULES = [IF(reset="soft").rule, LIF(reset="hard").rule, LIF(reset="soft").rule,
         CubaLIF(reset="soft").rule, AdaptiveLIF().rule, TWO]
HALVES = ("decay", "keep", "rho")


def eighths(rng, size, most=8):
    return rng.integers(-most, most + 1, size) / 8.0


@st.composite
def networks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    populations = [_population(draw, rng, f"p{i}") for i in range(draw(st.integers(1, 3)))]
    n = int(rng.integers(1, 40))
    populations.append(Population("noise", (n,), source=Poisson(
        rng.integers(0, 400, n).astype(float) if draw(st.booleans()) else float(rng.integers(1, 900)))))
    k = int(rng.integers(0, 60))
    populations.append(Population("given", (7,), source=SpikeTimes(rng.integers(0, 60, k) * DT, rng.integers(0, 7, k))))
    columns = draw(st.sampled_from([None, 1, 3]))
    times = np.sort(rng.choice(50, 4, replace=False)) * DT
    populations.append(Population("current", (columns or 2,), source=StepCurrent(
        times, eighths(rng, 4 if columns is None else (4, columns)))))
    synapses = [_synapses(draw, rng, populations) for _ in range(draw(st.integers(1, 6)))]
    synapses.append(_wire(draw, rng, populations[-1], populations[0], AllToAll()))
    return Network(tuple(populations), synapses=tuple(synapses), time=TimeBase(dt=DT), seed=draw(st.integers(0, 2**40)))


def _population(draw, rng, name):
    rule = draw(st.sampled_from(RULES))
    shape = draw(st.sampled_from([(1,), (5,), (33,), (70,), (2, 3, 4)]))
    parameters = {p: 0.5 if p in HALVES else 1.0 if draw(st.booleans()) else rng.integers(4, 12, shape) / 8.0
                  for p in rule.parameters}
    initial = {rule.states[-1]: eighths(rng, shape)} if draw(st.booleans()) else {}
    return Population(name, shape, rule, parameters, initial)


def _synapses(draw, rng, populations):
    target = draw(st.sampled_from([p for p in populations if p.rule]))
    source = draw(st.sampled_from([p for p in populations if p.name != "current"]))
    n, m, k = source.size, target.size, int(rng.integers(0, 50))
    same = source is target
    self_ = draw(st.booleans()) or (same and n == 1)
    many = draw(st.booleans())
    most = min(n, m) - (same and not self_)
    few = int(rng.integers(0, most + 1))
    options = [AllToAll(self_), Bernoulli(draw(st.sampled_from([0.0, 0.1, 0.8, 1.0])), self_),
               FixedIndegree(few, self_, many), FixedOutdegree(few, self_, many), FixedTotal(few, self_, many),
               Pairs(rng.integers(0, n, k), rng.integers(0, m, k))]
    if n == m:
        options.append(OneToOne())
    return _wire(draw, rng, source, target, draw(st.sampled_from(options)))


def _wire(draw, rng, source, target, connect):
    shape = {AllToAll: (target.size, source.size), OneToOne: (source.size,)}.get(type(connect))
    if isinstance(connect, Pairs):
        shape = (np.size(connect.source),)
    arrays = shape is not None and source.name != "current"
    weight = eighths(rng, shape) if arrays and draw(st.booleans()) else float(eighths(rng, None))
    delay = rng.integers(1, 9, shape) * DT if arrays and draw(st.booleans()) else float(rng.integers(1, 9) * DT)
    if not arrays and source.name != "current" and draw(st.booleans()):
        delay = Uniform(DT, 4.25)
    assert target.rule is not None
    return Synapses(source.name, target.name, connect, weight, delay, draw(st.sampled_from(target.rule.inputs)))
