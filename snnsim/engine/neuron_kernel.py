"""A rule's step for a run of neurons, every one of them at every step: what simulations of populations call.

Printed from the rule's trace and called by address, like the event-driven kernel of `printed.py`. A receptor that nothing
reaches is the constant 0, and a parameter that all neurons share is a number: both fold away in the printed lines.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from snnsim.engine.exponential import EXPONENTIAL
from snnsim.engine.printed import HEAD, LOCK, numbered
from snnsim.kernel import load_printed
from snnsim.rule import Rule, call, print_lines
from snnsim.rule.trace import const, named, symbol

FIXED = ("n", "fired", "hits", "out", "first")  # of a call's int64 words; addresses of inputs, states, parameters follow

TEMPLATE = HEAD + '''{exp}

@njit(error_model="numpy", _nrt=False, pipeline_class=NoAlias)
def one_step({arguments}, fired):
    for j in range(v0.size):
        {load}
        {charge}
        {fire}
        {store}


@cfunc(types.int64(types.int64), error_model="numpy", _nrt=False, cache=True)
def update(call_):
    call = view(call_, {words}, np.int64)
    n = call[0]
    fired, words = view(call[1], n + 8, np.uint8), view(call[1], (n + 8) >> 3, np.uint64)
    hits, out = view(call[2], n, np.int32), view(call[3], n, np.int32)
    {views}
    one_step({values}, fired)
    if {fires}:
        return list_spikes(call[4], n, fired, words, hits, out, 0)
    return 0


address = update.address
'''


def step_text(rule: Rule, reached: tuple[str, ...], shared: tuple[str, ...]) -> str:
    """The kernel's source. reached: the receptors that have an array; shared: the parameters that are one number."""
    held, parameters = numbered("h", rule.states), numbered("q", rule.parameters)
    names = dict(zip(rule.states + rule.parameters, held + parameters, strict=True))
    inputs = numbered("x", reached)
    driven = {**names, **dict(zip(reached, [f"{x}[j]" for x in inputs], strict=True))}
    states = numbered("v", rule.states)

    charged = call(rule.charge, *map(named, rule.states), *[named(i) if i in reached else const(0.0) for i in rule.inputs],
                   *map(named, rule.parameters))
    body, results = print_lines(tuple(symbol(v) for v in charged), driven, prefix="charge_")
    charge = [*body, f"{', '.join(held)} = {', '.join(results)}"]
    fire = []
    if rule.fires:
        body, results = print_lines(rule.trace("margin"), names, prefix="margin_")
        fire = [*body, f"spike = {results[0]} >= F(0.0)", "fired[j] = spike", "s = F(1.0) if spike else F(0.0)"]
        body, results = print_lines(rule.trace("reset"), {**names, "s": "s"}, prefix="reset_")
        fire += [*body, f"{', '.join(held)} = {', '.join(results)}"]
    arrays = [q for q, p in zip(parameters, rule.parameters, strict=True) if p not in shared]
    taken = [*inputs, *states, *(f"{q}_" if q in arrays else q for q in parameters)]
    views = [f"{name} = view(call[{i}], 1, F)[0]" if name in parameters else f"{name} = view(call[{i}], n, F)"
             for i, name in enumerate(taken, len(FIXED))]
    blocks = {
        "load": [*(f"{h} = {v}[j]" for h, v in zip(held, states, strict=True)),
                 *(f"{q} = {q}_[j]" for q in arrays)],
        "charge": charge, "fire": fire,
        "store": [*(f"{v}[j] = {h}" for h, v in zip(held, states, strict=True)), *(f"{x}[j] = F(0.0)" for x in inputs)],
        "views": views}
    used = any("exp(" in line for lines in blocks.values() for line in lines)
    words = {"exp": EXPONENTIAL if used else "", "arguments": ", ".join(taken), "values": ", ".join(taken),
             "fires": rule.fires, "words": len(FIXED) + len(taken)}
    text = re.sub(r"^( +)\{(\w+)\}\n", lambda m: "".join(f"{m[1]}{line}\n" for line in blocks[m[2]]), TEMPLATE, flags=re.M)
    return re.sub(r"\{(\w+)\}", lambda m: str(words[m[1]]), text)


@cache
def _load(text: str, dtype: str) -> Any:
    return load_printed(text, dtype)


def step_address(rule: Rule, reached: tuple[str, ...], shared: tuple[str, ...], dtype: str) -> int:
    """The address of the compiled kernel; its module stays loaded as long as the process."""
    with LOCK:
        return int(_load(step_text(rule, reached, shared), dtype).address)
