"""The loop over time: one step is a right-hand side, a forward and a backward substitution, and an update of histories.

Nodes are numbered in the order in which they are eliminated: x[:n] are those that are solved for, x[n] is ground, x[n + 1:]
hang on another node by sources of known phase. Every branch from a to b carries i = g p + i0, where p = x[a] - x[b] is its
phase and i0 depends on the past alone, so that A is constant, and A x = -(sum of i0) - (sources). With A = L D L' (L unit
lower): x = L'^-1 D^-1 L^-1 b.

Voltages are kept as u = (2 h / 3 sigma) v = p - (4 p1 - p2) / 3, radians.
"""

from __future__ import annotations

import math

import numpy as np

from snnsim.kernel import NoAlias, jit

DONE, GAP, COARSE, FULL = 0, 1, 2, 3
LIMIT = 0.4 * math.pi


@jit(pipeline_class=NoAlias, fastmath={"contract"})
def _drive(q, guess, p1, g, ic, phi, k1, k2, it, u1, u2, lo, hi, state, i0):  # type: ignore[no-untyped-def]
    """i0 of every junction; how many cross the gap, and how many move too far in one step."""
    crossing = 0
    coarse = 0
    for j in range(q.size):
        ph = q[j] + guess[j]
        x = ph - phi[j]
        k = np.floor(x * 0.3183098861837907 + 0.5)
        r = x - k * 3.141592653589793
        r = r - k * 1.2246467991473532e-16
        z = r * r
        s = -7.647163731819816e-13 + z * (2.8114572543455206e-15 - z * 8.22063524662433e-18)
        s = -2.505210838544172e-08 + z * (1.6059043836821613e-10 + z * s)
        s = -1.984126984126984e-04 + z * (2.7557319223985893e-06 + z * s)
        s = r + r * z * (-0.16666666666666666 + z * (0.008333333333333333 + z * s))
        s *= 1.0 - 2.0 * (k - 2.0 * np.floor(0.5 * k))
        i0[j] = ic[j] * s - g[j] * q[j] - k1[j] * u1[j] + k2[j] * u2[j] + it[j]
        size = abs(guess[j])
        now = 2.0 if size >= hi[j] else (math.copysign(1.0, guess[j]) if size >= lo[j] else 0.0)
        crossing += 1 if now != state[j] else 0
        coarse += 1 if abs(ph - p1[j]) > LIMIT else 0
    return crossing, coarse


@jit(pipeline_class=NoAlias, fastmath={"contract"})
def _follow(a, b, x, q, p0, up, down):  # type: ignore[no-untyped-def]
    """The new phases of the junctions; how many have crossed an odd multiple of pi."""
    crossed = 0
    for j in range(q.size):
        p = x[a[j]] - x[b[j]]
        p0[j] = p
        crossed += 1 if (p >= up[j] or p < down[j]) else 0
    return crossed


@jit(pipeline_class=NoAlias, fastmath={"contract"})
def _remember(q, guess, p1, p0, u1, u2, moving):  # type: ignore[no-untyped-def]
    for j in range(q.size):
        u0 = (p0[j] - q[j]) * moving
        guess[j] = 2.5 * u0 - 2.0 * u1[j] + 0.5 * u2[j]
        u2[j] = u1[j]
        u1[j] = u0
        q[j] = (4.0 * p0[j] - p1[j]) / 3.0
        p1[j] = p0[j]


@jit()
def _mixed(z):  # type: ignore[no-untyped-def]
    z += np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit()
def _shake(i0, sigma, seed, first, step):  # type: ignore[no-untyped-def]
    """Add sigma N(0, 1), a function of (seed, first + place, step): splitmix64, Box and Muller, two of a pair of numbers."""
    count = sigma.size
    for k in range((count + 1) // 2):
        z = _mixed(_mixed(np.uint64(seed)) ^ _mixed(np.uint64(step) * np.uint64(0x100000001) + np.uint64(first + 2 * k)))
        one = (np.float64(z >> np.uint64(11)) + 1.0) * 1.1102230246251565e-16
        two = np.float64(_mixed(z) >> np.uint64(11)) * 1.1102230246251565e-16
        radius = math.sqrt(-2.0 * math.log(one))
        i0[2 * k] += sigma[2 * k] * radius * math.cos(6.283185307179586 * two)
        if 2 * k + 1 < count:
            i0[2 * k + 1] += sigma[2 * k + 1] * radius * math.sin(6.283185307179586 * two)


@jit()
def _scatter(a, b, i0, rhs):  # type: ignore[no-untyped-def]
    for j in range(a.size):
        rhs[a[j]] -= i0[j]
        rhs[b[j]] += i0[j]


@jit(pipeline_class=NoAlias, fastmath={"contract"})
def _substitute(start, row, value, inverse, x):  # type: ignore[no-untyped-def]
    """x becomes L'^-1 D^-1 L^-1 x, with the columns of L below its diagonal."""
    n = inverse.size
    for j in range(n):
        xj = x[j]
        for k in range(start[j], start[j + 1]):
            x[row[k]] -= value[k] * xj
    for j in range(n - 1, -1, -1):
        total = x[j] * inverse[j]
        for k in range(start[j], start[j + 1]):
            total -= value[k] * x[row[k]]
        x[j] = total


@jit()
def advance(begin, end, total, table, junctions, currents, ja, jb, state, resistors, ra, rb,  # type: ignore[no-untyped-def]
            capacitors, ca, cb, lu_start, lu_row, lu_value, lu_inverse, x, inject, inject_to, inject_column, hang_to, hang,
            hang_at, hang_column, seed, events, count, probe_kind, probe_a, probe_b, probe_past, first, every, out):
    """Steps begin .. end - 1 of `total`; times are multiples of h, those below 0 settle. Returns (why it stopped, at which
    step).

    table: [end - begin, columns] of sources. junctions, resistors, capacitors: a row for each constant and each past value.
    events: (junction, time in steps, direction) of each crossing of an odd multiple of pi, count[0] of them. GAP: a junction
    crosses its gap in that step, which is not taken yet: A must change. COARSE: a phase moves by more than 0.4 pi in that step.
    FULL: events must be emptied. out: a row for each `every` steps from `first` on: of each probe the phase (0), the voltage in
    radians (1), or the current of a junction (2), capacitor (3) or resistor (4).
    """
    g, ic, phi, k1, k2, it, lo, hi, sigma = junctions[:9]
    q, guess, p1, u1, u2, up, down = junctions[9:16]
    n, size = lu_inverse.size, ja.size
    i0, p0 = currents[0], currents[1]
    for i in range(begin, end):
        s = table[i - begin]
        crossing, coarse = _drive(q, guess, p1, g, ic, phi, k1, k2, it, u1, u2, lo, hi, state, i0)
        if crossing > 0:
            return GAP, i
        if coarse > 0 and i > 0.01 * total:
            return COARSE, i
        if count[0] + size > events.shape[0]:
            return FULL, i
        x[:] = 0.0
        if seed >= 0:
            _shake(i0, sigma, seed, 0, i)
        _scatter(ja, jb, i0, x)
        for j in range(ra.size):
            resistors[3, j] = -resistors[0, j] * resistors[1, j]
        if seed >= 0:
            _shake(resistors[3], resistors[4], seed, size, i)
        _scatter(ra, rb, resistors[3], x)
        for j in range(ca.size):
            capacitors[5, j] = capacitors[0, j] * (
                -8.0 / 3.0 * capacitors[1, j] + 22.0 / 9.0 * capacitors[2, j] - 8.0 / 9.0 * capacitors[3, j]
                + capacitors[4, j] / 9.0)
        _scatter(ca, cb, capacitors[5], x)
        for k in range(hang_to.size):
            x[hang_to[k]] += x[n + 1 + k]
        for k in range(inject.size):
            x[inject_to[k]] += inject[k] * s[inject_column[k]]
        _substitute(lu_start, lu_row, lu_value, lu_inverse, x)
        x[n] = 0.0
        for k in range(hang_to.size):
            x[n + 1 + k] = x[hang_to[k]]
        for k in range(hang.size):
            x[n + 1 + hang_at[k]] += hang[k] * s[hang_column[k]]
        if _follow(ja, jb, x, q, p0, up, down) > 0:
            _switches(i, p0, p1, up, down, events, count)
        _remember(q, guess, p1, p0, u1, u2, 1.0 if i >= 0 else 0.0)
        for j in range(ra.size):
            p = x[ra[j]] - x[rb[j]]
            resistors[1, j] = (4.0 * p - resistors[2, j]) / 3.0
            resistors[2, j] = p
        for j in range(ca.size):
            capacitors[4, j] = capacitors[3, j]
            capacitors[3, j] = capacitors[2, j]
            capacitors[2, j] = capacitors[1, j]
            capacitors[1, j] = x[ca[j]] - x[cb[j]]
        _record(i, x, g, p0, i0, resistors, capacitors, probe_kind, probe_a, probe_b, probe_past, first, every, out)
    return DONE, end


@jit()
def _switches(i, p0, p1, up, down, events, count):  # type: ignore[no-untyped-def]
    for j in range(p0.size):
        while (p0[j] >= up[j] or p0[j] < down[j]) and abs(p0[j] - p1[j]) < 100.0:  # more is a run that diverges
            rising = p0[j] >= up[j]
            level = up[j] if rising else down[j]
            if count[0] < events.shape[0]:
                events[count[0], 0] = j
                events[count[0], 1] = i - (p0[j] - level) / (p0[j] - p1[j])
                events[count[0], 2] = 1.0 if rising else -1.0
                count[0] += 1
            turn = 6.283185307179586 if rising else -6.283185307179586
            up[j] += turn
            down[j] += turn


@jit()
def _record(i, x, g, p0, i0, resistors, capacitors, kind, a, b, past, first, every, out):  # type: ignore[no-untyped-def]
    row = (i - first) // every
    due = i >= first and (i - first) % every == 0 and row < out.shape[0]
    for k in range(kind.size):
        if kind[k] < 2:
            p = x[a[k]] - x[b[k]]
            if due:
                out[row, k] = p if kind[k] == 0 else p - past[0, k]
            past[0, k] = (4.0 * p - past[1, k]) / 3.0
            past[1, k] = p
        elif due and kind[k] == 2:
            out[row, k] = i0[a[k]] + g[a[k]] * p0[a[k]]
        elif due and kind[k] == 3:
            out[row, k] = capacitors[5, a[k]] + capacitors[0, a[k]] * capacitors[1, a[k]]
        elif due:
            out[row, k] = resistors[3, a[k]] + resistors[0, a[k]] * resistors[2, a[k]]


@jit()
def integrate(table, begin, past):  # type: ignore[no-untyped-def]
    """Columns of 2 h V / 3 sigma, from `begin` on, become the phases of their sources; past: [2, sources] of the two steps
    before."""
    for k in range(begin, table.shape[1]):
        p1, p2 = past[0, k - begin], past[1, k - begin]
        for i in range(table.shape[0]):
            p = table[i, k] + (4.0 * p1 - p2) / 3.0
            table[i, k] = p
            p2 = p1
            p1 = p
        past[0, k - begin], past[1, k - begin] = p1, p2
