"""Slower rules at group level: between two stretches of the loop they see spikes and move parameters of faster ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.engine.layout import Layout
from snnsim.engine.plan_populations import Planner
from snnsim.network import Modulation
from snnsim.rule import call

Array = NDArray[Any]


class Slow:
    """One modulation under way, in 64 bits. Several that move one parameter add up."""

    def __init__(self, m: Modulation, layout: Layout, planner: Planner) -> None:
        self.m, self.rule, self.steps = m, m.neuron.rule, m.steps(layout.network.time.dt)
        source, target = (layout.ruled.index(layout.network.population(n)) for n in (m.source, m.target))
        self.first, self.stop = int(layout.first[source]), int(layout.first[source + 1])
        self.parameters = [np.asarray(v, np.float64) for v in m.neuron.step_parameters(m.period).values()]
        self.state = np.zeros((len(self.rule.states), m.groups))
        for k, name in enumerate(self.rule.states):
            self.state[k] = m.neuron.initial.get(name, 0.0)
        self.count = np.zeros(m.groups)
        self.moved = planner.parameters[target][1][m.parameter]
        self.own = self.moved.astype(np.float64)

    def watch(self, neuron: Array, kept: Array, step: int) -> bool:
        """Count the spikes of a stretch that ended at this step; at a period's end, step the rule and say so."""
        for k, n in enumerate(kept.tolist()):
            mine = neuron[k, :n]
            group = np.asarray(self.m.source_group)[mine[(mine >= self.first) & (mine < self.stop)] - self.first]
            self.count += np.bincount(group[group >= 0], minlength=len(self.count))
        if step % self.steps:
            return False
        states = call(self.rule.charge, *self.state, self.count, *self.parameters)
        if self.rule.margin is not None and self.rule.reset is not None:
            fired = (self.rule.margin(*states, *self.parameters) >= 0).astype(np.float64)
            states = call(self.rule.reset, *states, fired, *self.parameters)
        self.state[:] = np.array(np.broadcast_arrays(*states))
        self.count[:] = 0
        return True


def move(all_of_them: list[Slow]) -> None:
    """Set every moved parameter to its own value and what the modulations add to it now."""
    total: dict[int, Array] = {}
    for slow in all_of_them:
        group = np.asarray(slow.m.target_group)
        now = np.where(group >= 0, slow.m.gain * slow.state[-1][group], 0.0)
        total[id(slow.moved)] = total.get(id(slow.moved), slow.own) + now
    for slow in all_of_them:
        slow.moved[:] = total[id(slow.moved)]
