"""The time loops of a rule as source text: forward, and the backward pass that recomputes the states from the inputs.

    forward(k, of, block, x, out, start, end, parameters)
    backward(k, of, block, scratch, x, g_out, g_x, start, g_end, g_start, parameters, g_parameters, width)

Each does all steps of the blocks k, k + of, ... of the neurons. x, out and their gradients are [T, M], states [M]; a
parameter is a scalar or [M]; g_parameters are float64 [M], scratch is [threads, states, T, block]. Each input, state
and parameter is an argument of its own. With a cost (`snnsim.nn.penalty`) forward takes one more row, float64 [M], for the
sum of each neuron's cost over time, and backward, before width, the gradient of that, [M]. Rows are sliced before the loop
over them: with an offset in each index LLVM does not vectorise it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from types import ModuleType
from typing import Any

from snnsim.kernel import load_printed
from snnsim.rule import Rule, derive
from snnsim.rule.trace import const

Cost = Callable[..., Any] | None

HEAD = '''
@njit(error_model="numpy", pipeline_class=NoAlias)
def copy(_to, _from):
    for _i in range(_to.size):
        _to[_i] = _from[_i]


@njit(error_model="numpy")
def clear(_row):
    for _i in range(_row.size):
        _row[_i] = 0.0
'''

FIRE = '''

@njit(error_model="numpy", pipeline_class=NoAlias)
def fire({rows}):
    _bad = False
    for _i in range(_out.size):
        {load}
        {check}
        {lines}
        {store}
    return _bad
'''

FORWARD = '''

@njit(nogil=True, cache=True, error_model="numpy")
def forward(_k, _of, _block, {arguments}):
    _T, _M = _out.shape
    _bad = False
    for _b in range(_k, (_M + _block - 1) // _block, _of):
        _lo = _b * _block
        _hi = min(_lo + _block, _M)
        {begin}
        for _t in range(_T):
            _bad |= fire({slices})
    return _bad
'''

STEP = '''

@njit(error_model="numpy", pipeline_class=NoAlias)
def step({rows}):
    for _i in range(_n):
        {load}
        {lines}
        {store}
'''

ADJOINT = '''

@njit(error_model="numpy", pipeline_class=NoAlias)
def adjoint({rows}):
    for _i in range(_n):
        {load}
        {lines}
        {store}
'''

BACKWARD = '''

@njit(nogil=True, cache=True, error_model="numpy")
def backward(_k, _of, _block, _scratch, {arguments}, width):
    _T, _M = _g.shape
    for _b in range(_k, (_M + _block - 1) // _block, _of):
        _lo = _b * _block
        _hi = min(_lo + _block, _M)
        _n = _hi - _lo
        {begin}
        for _t in range(_T - 1):
            step({step_slices})
        for _t in range(_T - 1, -1, -1):
            adjoint({slices})
'''


CALLED = {"copy", "clear", "fire", "step", "adjoint", "fired", "add", "send", "back", "min", "np",
          "charge", "deviate", "decide", "norms", "decided", "charged"}


def check_names(rule: Rule) -> None:
    """ValueError when a name of the rule is one that its kernels use themselves."""
    names = {*rule.states, *rule.inputs, *rule.parameters}
    taken = {"F", "exp", "np", "range", "width", "s", *(f"g_{n}" for n in (*names, "s", "out"))}
    # a parameter that is one number stands by its own name beside the calls of the loop over time
    for name in sorted((names & taken) | (CALLED & set(rule.parameters))):
        raise ValueError(f"rule {rule.name!r} calls a value {name!r}, a name that its kernels use: choose another")


@cache
def forward_kernel(rule: Rule, arrays: frozenset[str], dtype: str, cost: Cost = None) -> Callable[..., bool]:
    """forward, where `arrays` names the parameters that are [M]; true when an input was NaN or infinite."""
    return load_printed(forward_text(rule, arrays, cost), dtype).forward  # type: ignore[no-any-return]


@cache
def backward_kernel(rule: Rule, slope: Callable[..., Any], detach_reset: bool, arrays: frozenset[str],
                    gradients: frozenset[str], dtype: str, cost: Cost = None) -> Callable[..., None]:
    """backward, where `gradients` names the parameters whose gradients are asked for."""
    module: ModuleType = load_printed(backward_text(rule, slope, detach_reset, arrays, gradients, cost), dtype)
    return module.backward  # type: ignore[no-any-return]


def forward_text(rule: Rule, arrays: frozenset[str], cost: Cost = None) -> str:
    inputs, states, parameters = rule.inputs, rule.states, rule.parameters
    summed = ["_cost"] if cost else []
    return HEAD + fire_text(rule, arrays, cost) + fill(
        FORWARD,
        arguments=[*tagged("all", inputs), "_out", *tagged("start", states), *tagged("end", states),
                   *given("all", parameters, arrays), *summed],
        begin=[*(f"copy(_end_{v}[_lo:_hi], _start_{v}[_lo:_hi])" for v in states), *(f"clear({c}[_lo:_hi])" for c in summed)],
        slices=["_out[_t, _lo:_hi]", *steps("all", inputs), *slices("end", states), *sliced(parameters, arrays),
                *(f"{c}[_lo:_hi]" for c in summed)])


def backward_text(rule: Rule, slope: Callable[..., Any], detach_reset: bool, arrays: frozenset[str],
                  gradients: frozenset[str], cost: Cost = None) -> str:
    inputs, states, parameters = rule.inputs, rule.states, rule.parameters
    asked, seeds = [p for p in parameters if p in gradients], ["_gcost"] if cost else []
    return HEAD + step_text(rule, arrays) + adjoint_text(rule, slope, detach_reset, arrays, gradients, cost=cost) + fill(
        BACKWARD,
        arguments=[*tagged("all", inputs), "_g", *tagged("gall", inputs), *tagged("start", states),
                   *tagged("gend", states), *tagged("gstart", states), *given("all", parameters, arrays),
                   *tagged("gall", asked), *seeds],
        begin=[*(line for i, v in enumerate(states) for line in (
                   f"_kept_{v} = _scratch[_k, {i}]", f"copy(_kept_{v}[0, :_n], _start_{v}[_lo:_hi])",
                   f"copy(_gstart_{v}[_lo:_hi], _gend_{v}[_lo:_hi])")),
               *(f"clear(_gall_{p}[_lo:_hi])" for p in asked)],
        step_slices=["_n", *steps("all", inputs), *(f"_kept_{v}[_t]" for v in states),
                     *(f"_kept_{v}[_t + 1]" for v in states), *sliced(parameters, arrays)],
        slices=["_n", *steps("all", inputs), *(f"_kept_{v}[_t]" for v in states), "_g[_t, _lo:_hi]",
                *steps("gall", inputs), *slices("gstart", states), *sliced(parameters, arrays), *slices("gall", asked),
                *(f"{g}[_lo:_hi]" for g in seeds), "width"])


def fire_text(rule: Rule, arrays: frozenset[str], cost: Cost = None) -> str:
    """One step of the states in place, for one row of neurons: fire(out, inputs, states, parameters) -> is an input bad?
    With a cost it takes one more row, which the cost is added to."""
    check_names(rule)
    forward = derive(rule, lambda x, w: const(0.0), cost=cost).forward
    inputs, states, parameters = rule.inputs, rule.states, rule.parameters
    return fill(
        FIRE, lines=forward.lines,
        rows=["_out", *tagged("row", inputs), *tagged("row", states), *given("row", parameters, arrays),
              *(["_cost"] if cost else [])],
        load=_load([*inputs, *states, *(p for p in parameters if p in arrays)]),
        check=[f"_bad |= not ({x} * F(0.0) == F(0.0))" for x in inputs],  # NaN and infinity alone fail it
        store=[*(f"_row_{v}[_i] = {forward.results[v]}" for v in states),
               f"_out[_i] = {forward.results['s' if rule.fires else 'out']}",
               *([f"_cost[_i] += {forward.results['cost']}"] if cost else [])])


def step_text(rule: Rule, arrays: frozenset[str]) -> str:
    """The states after a step from those before it: step(n, inputs, states, next states, parameters)."""
    forward = derive(rule, lambda x, w: const(0.0)).forward
    inputs, states, parameters = rule.inputs, rule.states, rule.parameters
    return fill(
        STEP, lines=forward.lines,
        rows=["_n", *tagged("row", inputs), *tagged("row", states), *tagged("next", states),
              *given("row", parameters, arrays)],
        load=_load([*inputs, *states, *(p for p in parameters if p in arrays)]),
        store=[f"_next_{v}[_i] = {forward.results[v]}" for v in states])


def adjoint_text(rule: Rule, slope: Callable[..., Any], detach_reset: bool, arrays: frozenset[str],
                 gradients: frozenset[str], replaced: str = "", cost: Cost = None) -> str:
    """One step backwards: adjoint(n, inputs, states, g, g of inputs, g of states (in place), parameters, g of parameters
    (added to), width). `replaced` names an input that is read from where its gradient is written. With a cost there is one more
    row before width, the gradient of its sum."""
    check_names(rule)
    backward = derive(rule, slope, detach_reset, cost=cost).backward
    inputs, states, parameters = rule.inputs, rule.states, rule.parameters
    asked, got, read = [p for p in parameters if p in gradients], backward.results, [i for i in inputs if i != replaced]
    return fill(
        ADJOINT, lines=backward.lines,
        rows=["_n", *tagged("row", read), *tagged("row", states), "_g", *tagged("grow", (*inputs, *states)),
              *given("row", parameters, arrays), *tagged("grow", asked), *(["_row_gcost"] if cost else []), "width"],
        load=[*_load([*read, *states, *(p for p in parameters if p in arrays)]),
              *([f"{replaced} = _grow_{replaced}[_i]"] if replaced else []),
              f"{'g_s' if rule.fires else 'g_out'} = _g[_i]", *(f"g_{v} = _grow_{v}[_i]" for v in states),
              *(["_gcost = _row_gcost[_i]"] if cost else [])],
        store=[*(f"_grow_{v}[_i] = {got[f'g_{v}']}" for v in (*inputs, *states)),
               *(f"_grow_{p}[_i] += {got[f'g_{p}']}" for p in asked)])


# A variable is a tag, an underscore and a name of the rule: no two of them can be the same.
def tagged(tag: str, names: Iterable[str]) -> list[str]:
    return [f"_{tag}_{n}" for n in names]


def _load(names: Iterable[str]) -> list[str]:
    return [f"{n} = _row_{n}[_i]" for n in names]


def slices(tag: str, names: Iterable[str]) -> list[str]:
    return [f"_{tag}_{n}[_lo:_hi]" for n in names]


def steps(tag: str, names: Iterable[str]) -> list[str]:
    return [f"_{tag}_{n}[_t, _lo:_hi]" for n in names]


def given(tag: str, parameters: Iterable[str], arrays: frozenset[str]) -> list[str]:
    return [f"_{tag}_{p}" if p in arrays else p for p in parameters]


def sliced(parameters: Iterable[str], arrays: frozenset[str]) -> list[str]:
    return [f"_all_{p}[_lo:_hi]" if p in arrays else p for p in parameters]


def fill(template: str, **filled: Iterable[str]) -> str:
    """The template with lists in place of {names}: a name alone on its line becomes lines, another one arguments."""
    lines = []
    for line in template.splitlines():
        name = line.strip()[1:-1]
        if line.strip() == "{" + name + "}":
            indent = line[: line.index("{")]
            lines += [indent + text for text in filled[name]]
        else:
            for key, values in filled.items():
                if "{" + key + "}" in line:
                    line = line.replace("{" + key + "}", ", ".join(values))
            lines.append(line)
    return "\n".join(lines) + "\n"
