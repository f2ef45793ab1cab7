"""The time loops of a rule with a batch norm of its membrane in training, as source text.

    forward(k, of, block, row, x, out, start, end, mean, var, gamma, shift, eps, parameters)
    backward(k, of, block, kept, rows, x, g_out, g_x, start, g_end, g_start, mean, var, gamma, shift, g_gamma, g_shift, eps,
             parameters, g_parameters, width)

A norm has one set of statistics a step for each column, those of all rows: x, out and their gradients are [T, R, C],
membranes [R, C]; mean, var [T, C] and gamma, g_gamma, g_shift, g_parameters [C] are float64, shift and the parameters that
are no scalars [C]. A thread does all steps of its columns, and adds up the rows in their order, so that results are the same
bits for any number of threads. Scratch is a thread's own: row [threads, R, block], kept [threads, T, R, block], rows
[threads, 2, R, block].

Backward finds the membranes again from x and the statistics. With g the gradient of z, y = (u - mean) / deviation and means
over the rows, that of u is  gamma / deviation (g - mean(g) - y mean(g y)),  and what reset adds to it (Ioffe and Szegedy,
ICML 2015, within backpropagation through time).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from snnsim.kernel import load_printed
from snnsim.neurons.normed import Recursion
from snnsim.nn.printed import HEAD, check_names, fill, given, sliced, tagged
from snnsim.rule import Rule, Symbol, call, named, print_lines
from snnsim.rule.adjoint import adjoint
from snnsim.rule.trace import const, reachable

ROWS = '''

@njit(error_model="numpy", pipeline_class=NoAlias)
def charge(_u, _total, _x, _v, {rows}):
    _bad = False
    for _i in range(_u.size):
        {load}
        _bad |= not ({x} * F(0.0) == F(0.0))
        {charge}
        _u[_i] = {u}
        _total[_i] += _u[_i]
    return _bad


@njit(error_model="numpy", pipeline_class=NoAlias)
def deviate(_square, _u, _mean):
    for _i in range(_u.size):
        _d = np.float64(_u[_i]) - _mean[_i]
        _square[_i] += _d * _d


@njit(error_model="numpy", pipeline_class=NoAlias)
def decide(_out, _v, _u, _centre, _scale, _shift, {rows}):
    for _i in range(_u.size):
        {load_parameters}
        {v} = _u[_i]
        _z = ({v} - _centre[_i]) * _scale[_i] + _shift[_i]
        {decide}
        _out[_i] = {s}
        _v[_i] = {after}


@njit(error_model="numpy")
def norms(_centre, _scale, _inverse, _mean, _var, _gamma, _eps):
    for _i in range(_centre.size):
        _deviation = 1.0 / np.sqrt(_var[_i] + _eps)
        _centre[_i], _scale[_i], _inverse[_i] = _mean[_i], _gamma[_i] * _deviation, _deviation
'''

FORWARD = '''

@njit(nogil=True, cache=True, error_model="numpy")
def forward(_k, _of, _block, _row, _x, _out, _start, _end, _mean, _var, _gamma, _shift, _eps, {all}):
    _T, _R, _C = _out.shape
    _bad = False
    for _b in range(_k, (_C + _block - 1) // _block, _of):
        _lo = _b * _block
        _hi = min(_lo + _block, _C)
        _n = _hi - _lo
        _sum = np.empty(_n)
        _centre, _scale, _inverse = np.empty(_n, F), np.empty(_n, F), np.empty(_n, F)
        for _r in range(_R):
            copy(_end[_r, _lo:_hi], _start[_r, _lo:_hi])
        for _t in range(_T):
            clear(_sum)
            for _r in range(_R):
                _bad |= charge(_row[_k, _r, :_n], _sum, _x[_t, _r, _lo:_hi], _end[_r, _lo:_hi], {sliced})
            for _i in range(_n):
                _mean[_t, _lo + _i] = _sum[_i] / _R
            clear(_sum)
            for _r in range(_R):
                deviate(_sum, _row[_k, _r, :_n], _mean[_t, _lo:_hi])
            for _i in range(_n):
                _var[_t, _lo + _i] = _sum[_i] / _R
            norms(_centre, _scale, _inverse, _mean[_t, _lo:_hi], _var[_t, _lo:_hi], _gamma[_lo:_hi], _eps)
            for _r in range(_R):
                decide(_out[_t, _r, _lo:_hi], _end[_r, _lo:_hi], _row[_k, _r, :_n], _centre, _scale, _shift[_lo:_hi], {sliced})
    return _bad
'''

ADJOINTS = '''

@njit(error_model="numpy", pipeline_class=NoAlias)
def decided(_u, _gz, _gv, _g, _sum, _product, _centre, _scale, _inverse, _shift, {rows}, {g_rows}, width):
    for _i in range(_u.size):
        {load_parameters}
        {v} = _u[_i]
        _y = {v} - _centre[_i]
        _z = _y * _scale[_i] + _shift[_i]
        g_s = _g[_i]
        g_{v} = _gv[_i]
        {decided}
        _gz[_i] = {g_z}
        _gv[_i] = {g_u}
        _sum[_i] += _gz[_i]
        _product[_i] += _gz[_i] * (_y * _inverse[_i])
        {add_decided}


@njit(error_model="numpy", pipeline_class=NoAlias)
def charged(_gx, _gv, _x, _v, _u, _gz, _a, _b, _centre, _scale, _inverse, {rows}, {g_rows}):
    for _i in range(_u.size):
        {load}
        _y = (_u[_i] - _centre[_i]) * _inverse[_i]
        g_{v} = _gv[_i] + _scale[_i] * (_gz[_i] - _a[_i] - _y * _b[_i])
        {charged}
        _gx[_i] = {g_x}
        _gv[_i] = {g_v}
        {add_charged}
'''

BACKWARD = '''

@njit(nogil=True, cache=True, error_model="numpy")
def backward(_k, _of, _block, _kept, _rows, _x, _g, _gx, _start, _gend, _gv, _mean, _var, _gamma, _shift, _ggamma, _gshift,
             _eps, {all}, {g_all}, width):
    _T, _R, _C = _g.shape
    for _b in range(_k, (_C + _block - 1) // _block, _of):
        _lo = _b * _block
        _hi = min(_lo + _block, _C)
        _n = _hi - _lo
        _sum, _product = np.empty(_n), np.empty(_n)
        _centre, _scale, _inverse = np.empty(_n, F), np.empty(_n, F), np.empty(_n, F)
        _a, _m, _spare = np.empty(_n, F), np.empty(_n, F), np.empty(_n, F)
        {clear}
        clear(_ggamma[_lo:_hi])
        clear(_gshift[_lo:_hi])
        for _r in range(_R):
            copy(_kept[_k, 0, _r, :_n], _start[_r, _lo:_hi])
            copy(_gv[_r, _lo:_hi], _gend[_r, _lo:_hi])
        for _t in range(_T - 1):
            norms(_centre, _scale, _inverse, _mean[_t, _lo:_hi], _var[_t, _lo:_hi], _gamma[_lo:_hi], _eps)
            for _r in range(_R):
                charge(_rows[_k, 0, _r, :_n], _sum, _x[_t, _r, _lo:_hi], _kept[_k, _t, _r, :_n], {sliced})
                decide(_spare, _kept[_k, _t + 1, _r, :_n], _rows[_k, 0, _r, :_n], _centre, _scale, _shift[_lo:_hi], {sliced})
        for _t in range(_T - 1, -1, -1):
            norms(_centre, _scale, _inverse, _mean[_t, _lo:_hi], _var[_t, _lo:_hi], _gamma[_lo:_hi], _eps)
            for _r in range(_R):
                charge(_rows[_k, 0, _r, :_n], _sum, _x[_t, _r, _lo:_hi], _kept[_k, _t, _r, :_n], {sliced})
            clear(_sum)
            clear(_product)
            for _r in range(_R):
                decided(_rows[_k, 0, _r, :_n], _rows[_k, 1, _r, :_n], _gv[_r, _lo:_hi], _g[_t, _r, _lo:_hi], _sum, _product,
                        _centre, _scale, _inverse, _shift[_lo:_hi], {sliced}, {g_sliced}, width)
            for _i in range(_n):
                _gshift[_lo + _i] += _sum[_i]
                _ggamma[_lo + _i] += _product[_i]
                _a[_i], _m[_i] = _sum[_i] / _R, _product[_i] / _R
            for _r in range(_R):
                charged(_gx[_t, _r, _lo:_hi], _gv[_r, _lo:_hi], _x[_t, _r, _lo:_hi], _kept[_k, _t, _r, :_n],
                        _rows[_k, 0, _r, :_n], _rows[_k, 1, _r, :_n], _a, _m, _centre, _scale, _inverse, {sliced}, {g_sliced})
'''


@cache
def forward_kernel(rule: Rule, recursion: Recursion, arrays: frozenset[str], dtype: str) -> Callable[..., bool]:
    """forward, where `arrays` names the parameters that are [C]; true when an input was NaN or infinite."""
    return load_printed(rows_text(rule, recursion, arrays) + fill(FORWARD, **_given(rule, arrays)), dtype).forward  # type: ignore[no-any-return]


@cache
def backward_kernel(rule: Rule, recursion: Recursion, slope: Callable[..., Any], detach_reset: bool, arrays: frozenset[str],
                    gradients: frozenset[str], dtype: str) -> Callable[..., None]:
    """backward, where `gradients` names the parameters whose gradients are asked for."""
    asked = [p for p in rule.parameters if p in gradients]
    g_all, g_rows = tagged("gall", asked), tagged("grow", asked)
    text = rows_text(rule, recursion, arrays) + fill(
        ADJOINTS, **_rows_given(rule, arrays), **_adjoints(rule, recursion, slope, detach_reset, asked), g_rows=g_rows)
    text += fill(BACKWARD, **_given(rule, arrays), g_all=g_all, g_sliced=[f"{g}[_lo:_hi]" for g in g_all],
                 clear=[f"clear({g}[_lo:_hi])" for g in g_all])
    return load_printed(text.replace(", ,", ","), dtype).backward  # type: ignore[no-any-return]


def rows_text(rule: Rule, recursion: Recursion, arrays: frozenset[str]) -> str:
    """What one step does to one row of neurons: charge, and after the statistics are known decide."""
    check_names(rule)
    v, x = rule.states[0], rule.inputs[0]
    charge, (u,) = print_lines(rule.trace("charge"))
    spike, after = _decision(rule, recursion, False)
    decide, (s, v_after) = print_lines((spike, after))
    return HEAD + fill(ROWS, **_rows_given(rule, arrays), charge=charge, u=[u], x=[x], v=[v], decide=decide, s=[s],
                       after=[v_after])


def _decision(rule: Rule, recursion: Recursion, detach_reset: bool) -> tuple[Symbol, Symbol]:
    """The spike and the membrane after the reset, on symbols: the membrane before it, `_z` and the parameters."""
    u, z, parameters = named(rule.states[0]), named("_z"), [named(p) for p in rule.parameters]
    assert rule.margin is not None and rule.reset is not None
    spike = Symbol("spike", call(rule.margin, z, *parameters))
    seen = Symbol("stop", (spike,)) if detach_reset else spike
    after = call(rule.reset, u if recursion == "raw" else z, seen, *parameters)[0]
    return spike, after


def _adjoints(rule: Rule, recursion: Recursion, slope: Callable[..., Any], detach_reset: bool,
              asked: list[str]) -> dict[str, list[str]]:
    """The lines of the two steps backwards: of the decision, and of the charge."""
    v, x = rule.states[0], rule.inputs[0]
    spike, after = _decision(rule, recursion, detach_reset)
    found = _by_name([(after, named(f"g_{v}")), (spike, named("g_s"))], {id(spike): slope(spike.args[0], named("width"))})
    decided, results = print_lines(tuple(found.get(n, const(0.0)) for n in ("_z", v, *asked)))
    back = _by_name([(rule.trace("charge")[0], named(f"g_{v}"))], {})
    charged, charge_results = print_lines(tuple(back.get(n, const(0.0)) for n in (x, v, *asked)))
    return {"v": [v], "decided": decided, "g_z": [results[0]], "g_u": [results[1]],
            "add_decided": [f"_grow_{p}[_i] += {g}" for p, g in zip(asked, results[2:], strict=True)],
            "charged": charged, "g_x": [charge_results[0]], "g_v": [charge_results[1]],
            "add_charged": [f"_grow_{p}[_i] += {g}" for p, g in zip(asked, charge_results[2:], strict=True)]}


def _by_name(seeds: list[tuple[Symbol, Symbol]], slope: dict[int, Symbol]) -> dict[str, Symbol]:
    """The adjoints of the inputs of a trace by their names, as one name may stand for several symbols."""
    found, by_name = adjoint(seeds, slope), dict[str, Symbol]()
    for s in reachable(tuple(output for output, _ in seeds)):
        if s.op == "input" and id(s) in found:
            by_name[s.name] = by_name[s.name] + found[id(s)] if s.name in by_name else found[id(s)]
    return by_name


def _rows_given(rule: Rule, arrays: frozenset[str]) -> dict[str, list[str]]:
    held = [f"{p} = _row_{p}[_i]" for p in rule.parameters if p in arrays]
    return {"rows": given("row", rule.parameters, arrays), "load_parameters": held,
            "load": [f"{rule.inputs[0]} = _x[_i]", f"{rule.states[0]} = _v[_i]", *held]}


def _given(rule: Rule, arrays: frozenset[str]) -> dict[str, list[str]]:
    return {"all": given("all", rule.parameters, arrays), "sliced": sliced(rule.parameters, arrays)}
