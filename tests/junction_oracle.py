"""The definition that the junction solver is compared with: every unknown kept, dense matrices, one stamp after the other.

Unknowns: the phase of each node, the current of each R L C V B, and the voltage of each B; stamps as JoSIM publishes them
(Delport et al. 2019). Nothing is eliminated or reordered.
"""

from __future__ import annotations

import math

import numpy as np

from snnsim.hardware.sfq.junctions import sources

SIGMA = 3.291059757e-16


def step_through(circuit, h, steps, settle):
    """Node phases [steps, nodes], in the order of circuit.nodes."""
    nodes = {n: i for i, n in enumerate(circuit.nodes)}
    branches = circuit.of("RLCVB")
    row = {e.name: len(nodes) + k for k, e in enumerate(branches)}
    volt = {e.name: len(nodes) + len(branches) + k for k, e in enumerate(circuit.of("B"))}
    size = len(nodes) + len(branches) + len(volt)
    past = np.zeros((4, size + 1))  # the last place is ground
    v = {name: [0.0, 0.0, 0.0] for name in volt}

    def place(n):
        return nodes.get(n, size)

    def phase(e, k):
        return past[k, place(e.nodes[0])] - past[k, place(e.nodes[1])]

    found = []
    for i in range(-settle, steps):
        a, b = np.zeros((size + 1, size + 1)), np.zeros(size + 1)
        a[size, size] = 1.0
        for e in circuit.of("I"):
            s = sources.at(e.wave, np.array([i * h]), h, steps * h)[0]
            b[place(e.nodes[0])] -= s
            b[place(e.nodes[1])] += s
        for e in branches:
            r, (p, n) = row[e.name], map(place, e.nodes)
            a[p, r] += 1.0
            a[n, r] -= 1.0
            a[r, p] += 1.0
            a[r, n] -= 1.0
            decay = 4 / 3 * phase(e, 0) - 1 / 3 * phase(e, 1)
            if e.kind == "L":
                a[r, r] = -e.value / SIGMA
            elif e.kind == "R":
                a[r, r], b[r] = -2 * h / 3 * e.value / SIGMA, decay
            elif e.kind == "V":
                b[r] = 2 * h / (3 * SIGMA) * sources.at(e.wave, np.array([i * h]), h, steps * h)[0] + decay
            elif e.kind == "C":
                a[r, r] = -4 * h * h / (9 * e.value * SIGMA)
                b[r] = 8 / 3 * phase(e, 0) - 22 / 9 * phase(e, 1) + 8 / 9 * phase(e, 2) - phase(e, 3) / 9
            else:
                m, u = e.model, volt[e.name]
                guess = 2.5 * v[e.name][0] - 2 * v[e.name][1] + 0.5 * v[e.name][2]
                low, high = m.vg - m.delv / 2, m.vg + m.delv / 2
                transition = e.value * m.icrit / (math.pi / 4 * m.delv)
                g, it = e.value / m.r0, 0.0
                if m.rtype and abs(guess) >= high:
                    g = e.value / m.rn
                elif m.rtype and abs(guess) >= low:
                    it, g = math.copysign(low, guess) * (e.value / m.r0 - transition), transition
                cap = m.cap * e.value
                z = 1 / (g + 1.5 * cap / h)
                a[r, u], b[r] = -2 * h / (3 * SIGMA), decay
                a[u, u], a[u, r] = 1.0, -z
                sine = e.value * m.icrit * math.sin(decay + 2 * h / (3 * SIGMA) * guess - m.phi)
                b[u] = -z * (sine - 2 * cap / h * v[e.name][0] + cap / (2 * h) * v[e.name][1] + it)
        for k in circuit.of("K"):
            one, two = (next(e for e in branches if e.name == c) for c in k.couples)
            mutual = k.value * math.sqrt(one.value * two.value)
            a[row[one.name], row[two.name]] -= mutual / SIGMA
            a[row[two.name], row[one.name]] -= mutual / SIGMA
        a[size], b[size] = 0.0, 0.0
        a[size, size] = 1.0
        x = np.linalg.solve(a, b)
        past = np.vstack([x, past[:3]])
        if i >= 0:
            for name, history in v.items():
                v[name] = [x[volt[name]], *history[:2]]
            found.append(x[:len(nodes)])
    return np.array(found)
