"""A rule's update kernel: printed from its trace, compiled once per rule, called by address.

The kernel takes sites (runs of neighbouring neurons) and, for each: catches up on the silent steps it slept, charges,
fires, resets, evaluates the bound that says whether it may sleep again, and lists its spikes.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from snnsim.kernel import load_printed
from snnsim.rule import Rule, print_lines

TEMPLATE = '''
from numba import carray, cfunc, types
from numba.core.compiler import Compiler

REAL, WORD, BYTE = types.CPointer(types.{dtype}), types.CPointer(types.int64), types.CPointer(types.uint8)
INDEX, LONG = types.CPointer(types.int32), types.int64


class NoAlias(Compiler):
    def define_pipelines(self):
        self.state.flags.noalias = True
        return super().define_pipelines()


@njit(error_model="numpy", pipeline_class=NoAlias)
def one_step({arrays}, fired):
    awake = 0
    for j in range(v0.size):
        {load}
        {load_inputs}
        {charge}
        {fire}
        {store}
        {store_inputs}
    return awake


@njit(error_model="numpy", pipeline_class=NoAlias)
def silent_step({own}):
    for j in range(v0.size):
        {load}
        {silent}
        {store}


@njit(error_model="numpy", pipeline_class=NoAlias)
def leap(k, {own}):
    for j in range(v0.size):
        {load}
        {leap}
        {store}


@cfunc(LONG(REAL, REAL, REAL, REAL, LONG, LONG, INDEX, LONG, WORD, LONG, LONG, BYTE, BYTE, BYTE, INDEX, WORD),
       error_model="numpy", cache=True)
def update(x_, rest_, v_, p_, size, shift, active_, n, last_, t, leap_from, flag_, block_, fired_, out_, updates_):
    x, rest = carray(x_, {inputs} * size), carray(rest_, {inputs} * size)
    v, p = carray(v_, {states} * size), carray(p_, {parameters} * size)
    active, last, out, updates = carray(active_, n), carray(last_, size), carray(out_, size), carray(updates_, 1)
    flag, block, fired = carray(flag_, size), carray(block_, size), carray(fired_, size)
    spikes = 0
    for a in range(n):
        site = active[a]
        low = site << shift
        high = min(low + (1 << shift), size)
        {slices}
        k = t - last[site] - 1
        if k > 0:
            if {leaps} and k >= leap_from:
                leap(F(k), {own})
            else:
                for _ in range(k):
                    silent_step({own})
        last[site] = t
        if one_step({arrays}, fired) > 0:
            flag[site] = 1
            block[site >> 6] = 1
        if {fires}:
            for j in range(high - low):
                if fired[j]:
                    out[spikes] = low + j
                    spikes += 1
        updates[0] += high - low
    return spikes


address = update.address
'''

LOCK = threading.Lock()


def update_text(rule: Rule, dtype: str) -> str:
    """The kernel's source for this rule. Names are positions, so rules that compute the same share a kernel."""
    states = [f"v{i}" for i in range(len(rule.states))]
    held = [f"h{i}" for i in range(len(rule.states))]
    inputs = [f"x{i}" for i in range(len(rule.inputs))]
    parameters = [f"p{i}" for i in range(len(rule.parameters))]
    names = {**dict(zip(rule.states, held, strict=True)), **{n: f"q{i}" for i, n in enumerate(rule.parameters)}}
    driven = {**names, **{n: f"i{i}" for i, n in enumerate(rule.inputs)}}
    undriven = {**names, **{n: "F(0.0)" for n in rule.inputs}}

    def lines(role: str, renamed: dict[str, str], targets: list[str]) -> list[str]:
        body, results = print_lines(rule.trace(role), renamed, prefix=f"{role}_")
        return [*body, f"{', '.join(targets)} = {', '.join(results)}"]

    def reset(s: str) -> list[str]:
        return lines("reset", {**names, "s": s}, held) if rule.reset else []

    fire = []
    if rule.margin is not None:
        fire = [*lines("margin", names, ["m"]), "spike = m >= F(0.0)", "fired[j] = spike",
                "s = F(1.0) if spike else F(0.0)", *reset("s")]
    if rule.bound is not None:
        fire += [*lines("bound", names, ["b"]), "awake += 0 if b < F(0.0) else 1"]  # NaN keeps a neuron awake
    own = ", ".join(states + parameters)
    filled = {
        "dtype": dtype, "arrays": ", ".join([*inputs, *(f"r{i}" for i in range(len(inputs))), own]), "own": own,
        "load": [f"{h} = {v}[j]" for h, v in zip(held, states, strict=True)]
        + [f"q{i} = {p}[j]" for i, p in enumerate(parameters)],
        "load_inputs": [f"i{i} = {x}[j]" for i, x in enumerate(inputs)],
        "charge": lines("charge", driven, held), "fire": fire,
        "silent": lines("charge", undriven, held) + reset("F(0.0)"),
        "leap": lines("leap", {**names, "k": "k"}, held) if rule.leap else ["pass"],
        "store": [f"{v}[j] = {h}" for h, v in zip(held, states, strict=True)],
        "store_inputs": [f"{x}[j] = r{i}[j]" for i, x in enumerate(inputs)],
        "inputs": len(inputs), "states": len(states), "parameters": len(parameters),
        "slices": [f"{name}{i} = {array}[{i} * size + low: {i} * size + high]"
                   for name, array, count in (("x", "x", len(inputs)), ("r", "rest", len(inputs)),
                                              ("v", "v", len(states)), ("p", "p", len(parameters)))
                   for i in range(count)],
        "leaps": rule.leap is not None, "fires": rule.fires}
    text = TEMPLATE
    for key, value in filled.items():
        if isinstance(value, list):
            at = text.index("{" + key + "}")
            while at >= 0:
                indent = at - text.rindex("\n", 0, at) - 1
                text = text[:at] + ("\n" + " " * indent).join(value) + text[at + len(key) + 2:]
                at = text.find("{" + key + "}")
        else:
            text = text.replace("{" + key + "}", str(value))
    return text


@lru_cache(maxsize=None)
def _load(text: str, dtype: str) -> Any:
    return load_printed(text, dtype)


def update_address(rule: Rule, dtype: str) -> int:
    """The address of the rule's compiled kernel; the module stays loaded as long as the process."""
    with LOCK:
        return int(_load(update_text(rule, dtype), dtype).address)
