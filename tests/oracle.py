"""The definition: a plain stepper of a Network. Everything fast is compared with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnsim.maps import Delayed
from snnsim.network import Network, Projection
from snnsim.plasticity import STDP, TsodyksMarkram
from snnsim.rule import call


@dataclass
class Steps:
    """spikes[name] and output[name] are [T, *shape]; output is the rule's last state after the step."""

    spikes: dict[str, np.ndarray]
    output: dict[str, np.ndarray]
    prediction: int


def run(network: Network, events: np.ndarray) -> Steps:
    """Step one sample through the network. events: counts [T, *input shape]."""
    dtype = network.dtype
    T = len(events)
    spikes = {p.name: np.zeros((T, *p.shape), dtype) for p in network.populations}
    output = {p.name: np.zeros((T, *p.shape), dtype) for p in network.populations[1:]}
    spikes[network.input.name][:] = events
    state = {p.name: [np.full(p.shape, p.initial.get(k, 0.0), dtype) for k in p.rule.states] for p in network.populations[1:]}
    for t in range(T):
        for name in network.order:
            p = network.population(name)
            if p.rule is None:
                continue
            x = {receptor: np.zeros(p.shape, dtype) for receptor in p.rule.inputs}
            for q in network.into(name):
                if t >= q.delay:
                    x[q.receptor] += through(q, spikes[q.source], t - q.delay).reshape(p.shape)
                if q.bias is not None:
                    x[q.receptor] += q.bias
            values = list(p.parameters.values())
            h = call(p.rule.charge, *state[name], *x.values(), *values)
            if p.rule.fires:
                s = (p.rule.margin(*h, *values) >= 0).astype(dtype)
                h = call(p.rule.reset, *h, s, *values)
                spikes[name][t] = s
            state[name] = list(h)
            output[name][t] = h[-1]
    score = output[network.output].mean(0) if network.readout == "membrane" else spikes[network.output].sum(0)
    return Steps(spikes, output, int(np.argmax(score)))


def through(q: Projection, sent: np.ndarray, t: int) -> np.ndarray:
    """What a chain of maps gives for what was sent at step t; a Delayed at its end takes the steps before it, too."""
    *maps, last = q.maps
    back = last.longest if isinstance(last, Delayed) else 0
    past = [sent[t - k] if k <= t else np.zeros_like(sent[0]) for k in range(back + 1)]
    for m in maps:
        past = [m.apply(y) for y in past]
    return last.apply(np.array(past)) if isinstance(last, Delayed) else last.apply(past[0])


def simulate(network: Network, joined: list[tuple[np.ndarray, ...]], sent: dict[str, np.ndarray], steps: int) -> Steps:
    """Step a network of synapses. joined: (source, target, weight, delay) lists for each of `network.synapses`, of which
    the weights are changed where they are plastic; sent: what each source sends, [T, n]. States start as `initial` says."""
    dtype = network.dtype
    ruled = [p for p in network.populations if p.rule is not None]
    spikes = {p.name: np.zeros((steps, p.size), dtype) for p in ruled} | sent
    output = {p.name: np.zeros((steps, p.size), dtype) for p in ruled}
    state = {p.name: [np.zeros(p.size, dtype) + np.ravel(p.initial.get(k, 0.0)) for k in p.rule.states] for p in ruled}
    amount = [np.zeros((steps, len(j[0]))) for j in joined]  # what each synapse takes up at each step
    change = [(STEP[type(q.plasticity)])(q, network.time.dt, *j) for q, j in zip(network.synapses, joined, strict=True)]
    slow = [[np.full(m.groups, m.neuron.initial.get(k, 0.0)) for k in m.neuron.rule.states] for m in network.modulations]
    for t in range(steps):
        for p in ruled:
            x = {receptor: np.zeros(p.size, dtype) for receptor in p.rule.inputs}
            for q, (_, target, _, delay), a in zip(network.synapses, joined, amount, strict=True):
                if q.target == p.name:
                    arrives = np.flatnonzero(delay <= t)
                    np.add.at(x[q.receptor], target[arrives], a[t - delay[arrives], arrives])
            values = {k: np.broadcast_to(v, p.shape).ravel() for k, v in p.parameters.items()}
            for m, y in zip(network.modulations, slow, strict=True):
                if m.target == p.name:
                    moved = np.where(m.target_group >= 0, m.gain * y[-1][m.target_group], 0)
                    values[m.parameter] = values[m.parameter] + moved
            values = list(values.values())
            h = call(p.rule.charge, *state[p.name], *x.values(), *values)
            if p.rule.fires:
                s = (p.rule.margin(*h, *values) >= 0).astype(dtype)
                h = call(p.rule.reset, *h, s, *values)
                spikes[p.name][t] = s
            state[p.name] = list(h)
            output[p.name][t] = h[-1]
        for m, y in zip(network.modulations, slow, strict=True):
            n = m.steps(network.time.dt)
            if (t + 1) % n == 0:
                seen = spikes[m.source][t + 1 - n: t + 1].sum(0)
                count = np.array([seen[m.source_group == g].sum() for g in range(m.groups)])
                y[:] = call(m.neuron.rule.charge, *y, count, *m.neuron.step_parameters(m.period).values())
        for q, (source, target, _, delay), a, weigh in zip(network.synapses, joined, amount, change, strict=True):
            pre = spikes[q.source][t, source]
            post = np.where(delay <= t, spikes[q.target][t - delay, target], 0)
            a[t] = weigh(pre, post)
    return Steps(spikes, output, -1)


def fixed(q, dt, source, target, weight, delay):
    return lambda pre, post: weight * pre


def stdp(q, dt, source, target, weight, delay):
    rule, x, y = q.plasticity, np.zeros(len(weight)), np.zeros(len(weight))

    def weigh(pre, post):
        x[:] *= np.exp(-dt / rule.tau_plus)
        y[:] *= np.exp(-dt / rule.tau_minus)
        weight[:] += rule.a_plus * x * post * (rule.w_max - weight if rule.multiplicative else 1)
        np.clip(weight, rule.w_min, rule.w_max, weight)
        sent = np.zeros(len(weight))
        for k in range(int(pre.max(initial=0))):  # spikes of one step pass one after another
            weight[:] -= rule.a_minus * y * (pre > k) * (weight - rule.w_min if rule.multiplicative else 1)
            np.clip(weight, rule.w_min, rule.w_max, weight)
            sent += weight * (pre > k)
        x[:] += pre
        y[:] += post
        return sent

    return weigh


def short_term(q, dt, source, target, weight, delay):
    rule, left, use = q.plasticity, np.ones(len(weight)), np.zeros(len(weight))

    def weigh(pre, post):
        left[:] = 1 - (1 - left) * np.exp(-dt / rule.tau_rec)
        use[:] *= np.exp(-dt / rule.tau_facil) if rule.tau_facil else 0
        sent = np.zeros(len(weight))
        for k in range(int(pre.max(initial=0))):
            u = rule.U + use * (1 - rule.U) * (k == 0 or rule.tau_facil > 0)
            sent += weight * u * left * (pre > k)
            left[:] -= (pre > k) * u * left
            use[:] = np.where(pre > k, u, use)
        return sent

    return weigh


STEP = {type(None): fixed, STDP: stdp, TsodyksMarkram: short_term}
