"""The time loops of a layer that hears its own spikes, x[t] + W s[t - 1], as source text.

    forward(k, of, inputs, out, first, start, end, synapses, parameters)
    backward(k, of, scratch, inputs, out, first, g_out, g_last, g_inputs, g_first, start, g_end, g_start, synapses,
             parameters, g_parameters, width)

Samples do not touch each other, so each goes through all steps by itself: its spikes are a short list, and what they
send is a few rows of W. Backwards SAMPLES go together, so that W passes through the cache once for all of them. x, out
and their gradients are [T, B, N], states and `first`, the spikes before the first step, [B, N]; a parameter is a scalar or
[N], its gradient float64 [B, N]; scratch is [threads, states, SAMPLES, T, N]. synapses: (W by source, W), both [N, N]; or
(offsets, targets, weights) by source, where W is masked; or (group of each neuron, 1 / size of each group),
where W takes means over groups. Sums run over the sources in their order. With a cost, forward takes its sums [B, N] as one
more argument, and backward their gradient before width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from snnsim.kernel import load_printed
from snnsim.nn.printed import HEAD, Cost, adjoint_text, fill, fire_text, given, step_text, tagged
from snnsim.rule import Rule

SAMPLES = 8  # of a block in backward; whole fours, which the product takes at once

SHARED = '''

@njit(error_model="numpy")
def fired(_row, _list):
    _n = 0
    for _i in range(_row.size):
        _list[_n] = _i
        _n += _row[_i] != F(0.0)
    return _n


@njit(error_model="numpy", pipeline_class=NoAlias)
def add(_y, _a):
    for _i in range(_y.size):
        _y[_i] += _a[_i]
'''

DENSE = '''

@njit(error_model="numpy", pipeline_class=NoAlias)
def add_four(_y, _a, _b, _c, _d):
    for _i in range(_y.size):
        _y[_i] = (((_y[_i] + _a[_i]) + _b[_i]) + _c[_i]) + _d[_i]


@njit(error_model="numpy")
def send(_y, _list, _n, _synapses):
    _rows = _synapses[0]
    _k = 0
    while _k + 4 <= _n:
        add_four(_y, _rows[_list[_k]], _rows[_list[_k + 1]], _rows[_list[_k + 2]], _rows[_list[_k + 3]])
        _k += 4
    while _k < _n:
        add(_y, _rows[_list[_k]])
        _k += 1
'''

DENSE_BACK = '''

# Fused multiply-add is welcome here: a gradient has a tolerance, a spike has none.
@njit(error_model="numpy", pipeline_class=NoAlias, fastmath={"contract"})
def back_four(_y0, _y1, _y2, _y3, _rows, _g0, _g1, _g2, _g3):
    _whole = _g0.size // 4 * 4
    for _j in range(0, _whole, 4):
        _a, _b, _c, _d = _rows[_j], _rows[_j + 1], _rows[_j + 2], _rows[_j + 3]
        _a0, _b0, _c0, _d0 = _g0[_j], _g0[_j + 1], _g0[_j + 2], _g0[_j + 3]
        _a1, _b1, _c1, _d1 = _g1[_j], _g1[_j + 1], _g1[_j + 2], _g1[_j + 3]
        _a2, _b2, _c2, _d2 = _g2[_j], _g2[_j + 1], _g2[_j + 2], _g2[_j + 3]
        _a3, _b3, _c3, _d3 = _g3[_j], _g3[_j + 1], _g3[_j + 2], _g3[_j + 3]
        for _i in range(_y0.size):
            _p, _q, _r, _s = _a[_i], _b[_i], _c[_i], _d[_i]
            _y0[_i] = _y0[_i] + _a0 * _p + _b0 * _q + _c0 * _r + _d0 * _s
            _y1[_i] = _y1[_i] + _a1 * _p + _b1 * _q + _c1 * _r + _d1 * _s
            _y2[_i] = _y2[_i] + _a2 * _p + _b2 * _q + _c2 * _r + _d2 * _s
            _y3[_i] = _y3[_i] + _a3 * _p + _b3 * _q + _c3 * _r + _d3 * _s
    for _j in range(_whole, _g0.size):
        _a = _rows[_j]
        for _i in range(_y0.size):
            _y0[_i] += _g0[_j] * _a[_i]
            _y1[_i] += _g1[_j] * _a[_i]
            _y2[_i] += _g2[_j] * _a[_i]
            _y3[_i] += _g3[_j] * _a[_i]


@njit(error_model="numpy")
def back(_y, _g, _synapses):
    for _s in range(0, len(_y), 4):
        for _k in range(4):
            clear(_y[_s + _k])
        back_four(_y[_s], _y[_s + 1], _y[_s + 2], _y[_s + 3], _synapses[1], _g[_s], _g[_s + 1], _g[_s + 2], _g[_s + 3])
'''

MASKED = '''

@njit(error_model="numpy")
def send(_y, _list, _n, _synapses):
    _offsets, _targets, _weights = _synapses
    for _k in range(_n):
        for _e in range(_offsets[_list[_k]], _offsets[_list[_k] + 1]):
            _y[_targets[_e]] += _weights[_e]
'''

MASKED_BACK = '''

@njit(error_model="numpy")
def back(_y, _g, _synapses):
    _offsets, _targets, _weights = _synapses
    for _s in range(len(_y)):
        for _i in range(_y.shape[1]):
            _sum = F(0.0)
            for _e in range(_offsets[_i], _offsets[_i + 1]):
                _sum += _weights[_e] * _g[_s, _targets[_e]]
            _y[_s, _i] = _sum
'''

GROUPED = '''

@njit(error_model="numpy")
def send(_y, _list, _n, _synapses):
    _group, _share = _synapses
    _sums = np.zeros(_share.size, _share.dtype)
    for _k in range(_n):
        _sums[_group[_list[_k]]] += F(1.0)
    for _i in range(_sums.size):
        _sums[_i] *= _share[_i]
    for _i in range(_y.size):
        _y[_i] += _sums[_group[_i]]
'''

GROUPED_BACK = '''

@njit(error_model="numpy")
def back(_y, _g, _synapses):
    _group, _share = _synapses
    for _s in range(len(_y)):
        _sums = np.zeros(_share.size, _share.dtype)
        for _i in range(_y.shape[1]):
            _sums[_group[_i]] += _g[_s, _i]
        for _i in range(_y.shape[1]):
            _y[_s, _i] = _share[_group[_i]] * _sums[_group[_i]]
'''

FORMS = {"dense": (DENSE, DENSE_BACK), "masked": (MASKED, MASKED_BACK), "grouped": (GROUPED, GROUPED_BACK)}

FORWARD = '''

@njit(nogil=True, cache=True, error_model="numpy")
def forward(_k, _of, {arguments}):
    _T, _B, _N = _out.shape
    _list, _sum = np.empty(_N + 1, np.int64), np.empty(_N, _out.dtype)
    _bad = False
    for _b in range(_k * _B // _of, (_k + 1) * _B // _of):
        {begin}
        _n = fired(_first[_b], _list)
        for _t in range(_T):
            copy(_sum, {heard})
            send(_sum, _list, _n, _synapses)
            _bad |= fire({rows})
            _n = fired(_out[_t, _b], _list)
    return _bad
'''

# The sums x[t] + W s[t - 1] wait in g_x until the gradient that they are needed for takes their place. In _g and _y of a
# block that is not full, the rows that are missing stay zero.
BACKWARD = '''

@njit(nogil=True, cache=True, error_model="numpy")
def backward(_k, _of, _scratch, {arguments}, width):
    _T, _B, _N = _out.shape
    _S = _scratch.shape[2]
    _list = np.empty(_N + 1, np.int64)
    _y, _g = np.zeros((_S, _N), _out.dtype), np.zeros((_S, _N), _out.dtype)
    for _block in range(_k, (_B + _S - 1) // _S, _of):
        _lo, _count = _block * _S, min(_S, _B - _block * _S)
        for _s in range(_count):
            _b = _lo + _s
            {begin}
            _n = fired(_first[_b], _list)
            for _t in range(_T):
                copy({waits}, {heard})
                send({waits}, _list, _n, _synapses)
                if _t + 1 < _T:
                    step({step_rows})
                    _n = fired(_out[_t, _b], _list)
            copy(_y[_s], _g_last[_b])
        for _s in range(_count, _S):
            clear(_g[_s])
        for _t in range(_T - 1, -1, -1):
            for _s in range(_count):
                _b = _lo + _s
                add(_y[_s], _g_out[_t, _b])
                adjoint({rows})
                copy(_g[_s], {waits})
            back(_y, _g, _synapses)
        for _s in range(_count):
            copy(_g_first[_lo + _s], _y[_s])
'''


@cache
def forward_kernel(rule: Rule, receptor: str, form: str, arrays: frozenset[str], dtype: str,
                   cost: Cost = None) -> Callable[..., bool]:
    """forward, where W s arrives at `receptor`, `form` says how W is given, "dense", "masked" or "grouped", and `arrays` names
    the parameters that are [N]; true when a sum was NaN or infinite."""
    inputs, states, parameters = rule.inputs, rule.states, rule.parameters
    at = ["_sum" if i == receptor else f"_all_{i}[_t, _b]" for i in inputs]
    text = HEAD + SHARED + FORMS[form][0] + fire_text(rule, arrays, cost) + fill(
        FORWARD,
        arguments=[*tagged("all", inputs), "_out", "_first", *tagged("start", states), *tagged("end", states), "_synapses",
                   *given("all", parameters, arrays), *(["_cost"] if cost else [])],
        begin=[*(f"copy(_end_{v}[_b], _start_{v}[_b])" for v in states), *(["clear(_cost[_b])"] if cost else [])],
        heard=[f"_all_{receptor}[_t, _b]"],
        rows=["_out[_t, _b]", *at, *(f"_end_{v}[_b]" for v in states),
              *given("all", parameters, arrays), *(["_cost[_b]"] if cost else [])])
    return load_printed(text, dtype).forward  # type: ignore[no-any-return]


@cache
def backward_kernel(rule: Rule, receptor: str, slope: Callable[..., Any], detach_reset: bool, form: str,
                    arrays: frozenset[str], gradients: frozenset[str], dtype: str, cost: Cost = None) -> Callable[..., None]:
    """backward, where `gradients` names the parameters whose gradients are asked for."""
    inputs, states, parameters = rule.inputs, rule.states, rule.parameters
    asked, own = [p for p in parameters if p in gradients], given("all", parameters, arrays)
    waits = f"_gall_{receptor}[_t, _b]"
    at = [waits if i == receptor else f"_all_{i}[_t, _b]" for i in inputs]
    text = HEAD + SHARED + "".join(FORMS[form]) + step_text(rule, arrays) + adjoint_text(
        rule, slope, detach_reset, arrays, gradients, receptor, cost) + fill(
        BACKWARD,
        arguments=[*tagged("all", inputs), "_out", "_first", "_g_out", "_g_last", *tagged("gall", inputs), "_g_first",
                   *tagged("start", states), *tagged("gend", states), *tagged("gstart", states), "_synapses", *own,
                   *tagged("gall", asked), *(["_gcost"] if cost else [])],
        waits=[waits], heard=[f"_all_{receptor}[_t, _b]"],
        begin=[*(line for i, v in enumerate(states) for line in (
                   f"copy(_scratch[_k, {i}, _s, 0], _start_{v}[_b])", f"copy(_gstart_{v}[_b], _gend_{v}[_b])")),
               *(f"clear(_gall_{p}[_b])" for p in asked)],
        step_rows=["_N", *at, *(f"_scratch[_k, {i}, _s, _t]" for i in range(len(states))),
                   *(f"_scratch[_k, {i}, _s, _t + 1]" for i in range(len(states))), *own],
        rows=["_N", *(x for i, x in zip(inputs, at, strict=True) if i != receptor),
              *(f"_scratch[_k, {i}, _s, _t]" for i in range(len(states))), "_y[_s]",
              *(f"_gall_{i}[_t, _b]" for i in inputs), *(f"_gstart_{v}[_b]" for v in states), *own,
              *(f"_gall_{p}[_b]" for p in asked), *(["_gcost[_b]"] if cost else []), "width"])
    return load_printed(text, dtype).backward  # type: ignore[no-any-return]
