"""Hypothesis strategies for small random networks whose arithmetic is exact in float64.

Weights and thresholds are multiples of 1/8 and decays are 1/2, 3/4, 7/8 or 1, so over a dozen steps no sum and no
product rounds: however it is computed, every implementation must give the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from snnsim.maps import Conv2d, Dense, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.neurons import IF, LI, LIF, MPRLIF, AdaptiveLIF, CubaLIF

STEPS = 12
DECAYS = (0.5, 0.75, 0.875, 1.0)
VALUES = {"decay": DECAYS, "keep": (0.5, 0.75, 1.0), "rho": (0.5, 0.75), "theta": (0.5, 1.0, 1.5), "beta": (0.0, 0.25, 0.5)}
FIRING = [n.rule for n in (IF(), IF(reset="hard"), LIF(), LIF(reset="hard"), LIF(reset="none"), CubaLIF(),
                           CubaLIF(reset="hard"), AdaptiveLIF(), MPRLIF())]
READOUT = LI().rule


def eighths(rng: np.random.Generator, shape: tuple[int, ...], most: int = 8) -> np.ndarray:
    """Multiples of 1/8, more of them above 0 than below, so that most networks fire."""
    return rng.integers(-most // 2, most + 1, shape) / 8


@st.composite
def generators(draw):
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


@st.composite
def input_shapes(draw):
    if draw(st.sampled_from((True, False, False))):
        return (draw(st.integers(1, 40)),)
    return draw(st.integers(1, 2)), draw(st.integers(1, 7)), draw(st.integers(1, 7))


@st.composite
def maps(draw, rng, shape, outputs=None, sparse=True):
    """A map that takes this shape; with `outputs`, one that gives a flat shape of that size."""
    kinds = ["dense", "dense", "sparse"] if sparse else ["dense"]
    if outputs is None and len(shape) == 3:
        kinds += ["conv"] * 4 + ["pool"]
    kind, size = draw(st.sampled_from(kinds)), math.prod(shape)
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    if kind == "conv":
        padding = draw(st.tuples(st.integers(0, 1), st.integers(0, 1)))
        kernel = tuple(min(k, n + 2 * p) for k, n, p in zip(draw(pair), shape[1:], padding, strict=True))
        weight = eighths(rng, (draw(st.sampled_from((1, 2, 3, 17))), shape[0], *kernel))
        return Conv2d(weight, draw(pair), padding)
    if kind == "pool":
        kernel = tuple(min(k, n) for k, n in zip(draw(pair), shape[1:], strict=True))
        return SumPool2d(kernel, draw(st.one_of(st.none(), pair)))
    outputs = outputs or draw(st.sampled_from((1, 2, 5, 16, 33)))
    if kind == "dense":
        return Dense(eighths(rng, (outputs, size)))
    lengths = rng.integers(0, 4, size)
    targets = rng.integers(0, outputs, lengths.sum())
    return Sparse(np.concatenate([[0], np.cumsum(lengths)]), targets, eighths(rng, targets.shape), (outputs, size))


@st.composite
def chains(draw, rng, shape, outputs=None):
    """One to three maps, and the shape that they give."""
    chain = []
    for last in [False] * draw(st.sampled_from((0, 0, 0, 1, 2))) + [True]:
        chain.append(draw(maps(rng, shape, outputs if last else None)))
        shape = chain[-1].output_shape(shape)
    return tuple(chain), shape


@st.composite
def populations(draw, rng, name, shape, rules):
    rule = draw(st.sampled_from(rules))
    each = draw(st.booleans())  # a value for every neuron, or one for all
    return Population(name, shape, rule, {p: rng.choice(VALUES[p], shape if each else ()) for p in rule.parameters})


def biases(rng, shape):
    """None half of the time, else a constant, one value a channel or neuron, or one a neuron."""
    return st.sampled_from([None, None, None, np.float64(0.125), eighths(rng, (shape[0],) + (1,) * (len(shape) - 1), 2),
                            eighths(rng, shape, 2)])


@st.composite
def networks(draw):
    """Any network: chains of maps, skips, several projections into one population, delays, loops with delay."""
    rng = draw(generators())
    shape = draw(input_shapes())
    built, projections = [Population("in", shape)], []
    hidden = draw(st.integers(1, 4))
    for i in range(hidden):
        source = draw(st.sampled_from(built[-2:]))
        chain, given = draw(chains(rng, source.shape))
        if draw(st.sampled_from((True, False, False))):
            given = (math.prod(given),)
        last = i == hidden - 1
        target = draw(populations(rng, f"p{i}", given, [*FIRING, *[READOUT] * 3] if last else FIRING))
        built.append(target)
        delay = draw(st.sampled_from((0, 0, 1, 3)))
        projections.append(Projection(source.name, target.name, chain, draw(biases(rng, given)), delay))
    for _ in range(draw(st.integers(0, 2))):
        a = draw(st.integers(0, hidden if built[-1].rule.fires else hidden - 1))
        b = draw(st.integers(1, hidden))
        chain, _ = draw(chains(rng, built[a].shape, built[b].size))
        projections.append(Projection(built[a].name, built[b].name, chain, delay=draw(st.integers(int(a >= b), 3))))
    readout = draw(st.sampled_from(("membrane", "count"))) if built[-1].rule.fires else "membrane"
    return Network(tuple(built), tuple(projections), readout=readout)


@st.composite
def sequential_networks(draw):
    """A chain of layers, each a pool, a convolution or a dense map without delay; a readout at the end."""
    rng = draw(generators())
    shape = draw(input_shapes())
    built, projections = [Population("in", shape)], []
    for i in range(draw(st.integers(1, 3))):
        source = built[-1]
        chain = [draw(maps(rng, source.shape, sparse=False))]
        if isinstance(chain[0], SumPool2d):
            chain.append(draw(maps(rng, chain[0].output_shape(source.shape), sparse=False)))
        given = source.shape
        for m in chain:
            given = m.output_shape(given)
        target = draw(populations(rng, f"p{i}", given, FIRING))
        built.append(target)
        bias = draw(st.sampled_from([None, eighths(rng, (given[0],) + (1,) * (len(given) - 1), 2)]))
        projections.append(Projection(source.name, target.name, tuple(chain), bias))
    out = draw(populations(rng, "out", (draw(st.integers(1, 5)),), [READOUT]))
    dense = Dense(eighths(rng, (out.size, built[-1].size)))
    projections.append(Projection(built[-1].name, "out", (dense,)))
    return Network((*built, out), tuple(projections))


@st.composite
def counts(draw, network, alone=False):
    """Event counts for a network: float64 [T, B, *input], or [T, *input] of one sample; often silent for a while."""
    rng = draw(generators())
    steps, batch = draw(st.integers(1, STEPS)), draw(st.integers(1, 5))
    shape = (steps, *network.input.shape) if alone else (steps, batch, *network.input.shape)
    active, most = draw(st.sampled_from((0.0, 0.1, 0.2, 0.3, 0.5))), draw(st.integers(1, 3))
    dense = (rng.random(shape) < active) * rng.integers(1, most + 1, shape)
    dense[rng.random(steps) < draw(st.sampled_from((0.0, 0.5, 0.75)))] = 0
    return dense.astype(np.float64)
