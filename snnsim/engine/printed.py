"""A rule's update kernel: printed from its trace, compiled once per rule, called by address.

The kernel takes sites (runs of neighbouring neurons) and, for each: catches up on the silent steps it slept, charges,
fires, resets, evaluates the bound that says whether it may sleep again, and lists its spikes.

An address, and not a function that the loop knows, so that a new rule compiles in a second and the loop never again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from snnsim.kernel import load_printed
from snnsim.rule import Rule, call, print_lines
from snnsim.rule.trace import const, named, symbol

HEAD = '''
from numba import cfunc, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


BYTE_PLACE = np.uint64(0x0001020304050607)  # times 256**i, its highest byte is i


@intrinsic
def view(typing, address, size, dtype):
    array = types.Array(dtype.dtype, 1, "C")

    def codegen(context, builder, signature, args):
        made = make_array(array)(context, builder)
        data = builder.inttoptr(args[0], made.data.type)
        item = context.get_abi_sizeof(context.get_data_type(array.dtype))
        width = context.get_constant(types.intp, item)
        populate_array(made, data=data, shape=[args[1]], strides=[width], itemsize=width, meminfo=None)
        return made._getvalue()

    return array(types.int64, types.int64, dtype), codegen


@njit(error_model="numpy", _nrt=False)
def list_spikes(low, n, fired, words, hits, out, spikes):
    # first the words that hold a spike, then their bytes: a branch on every byte would be mispredicted at every spike
    for j in range(n, (n + 7) & -8):
        fired[j] = 0
    found = 0
    for w in range((n + 7) >> 3):
        hits[found] = w
        found += 1 if words[w] != 0 else 0
    for i in range(found):
        w = hits[i]
        word = words[w]
        while word != 0:
            rest = word & (word - np.uint64(1))
            out[spikes] = low + 8 * w + np.int64(((word ^ rest) * BYTE_PLACE) >> np.uint64(56))
            spikes += 1
            word = rest
    return spikes
'''

TEMPLATE = HEAD + '''

@njit(error_model="numpy", _nrt=False, pipeline_class=NoAlias)
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


@njit(error_model="numpy", _nrt=False, pipeline_class=NoAlias)
def silent_step({own}):
    for j in range(v0.size):
        {load}
        {silent}
        {store}


@njit(error_model="numpy", _nrt=False, pipeline_class=NoAlias)
def leap(k, {own}):
    for j in range(v0.size):
        {load}
        {leap}
        {store}


@njit(error_model="numpy", _nrt=False, pipeline_class=NoAlias)
def leap_alike(k, {own}):
    {load_first}
    for j in range(v0.size):
        {load_states}
        {leap}
        {store}


@cfunc(types.int64(types.int64, types.int64, types.int64, types.int64), error_model="numpy", _nrt=False, cache=True)
def update(call_, n, t, out_):
    call = view(call_, 15, np.int64)
    size, shift, leap_from, alike = call[0], call[1], call[2], call[14]
    x, rest = view(call[3], {inputs} * size, F), view(call[4], {inputs} * size, F)
    v, p = view(call[5], {states} * size, F), view(call[6], {parameters} * size, F)
    active, last, updates = view(call[7], n, np.int32), view(call[8], size, np.int64), view(call[9], 1, np.int64)
    flag, block = view(call[10], size, np.uint8), view(call[11], size, np.uint8)
    fired, words = view(call[12], size, np.uint8), view(call[12], size, np.uint64)
    hits, out = view(call[13], size, np.int32), view(out_, size, np.int32)
    spikes = 0
    for a in range(n):
        site = active[a]
        low = site << shift
        high = min(low + (1 << shift), size)
        {slices}
        k = t - last[site] - 1
        if k > 0:
            if {leaps} and k >= leap_from:
                if alike:
                    leap_alike(F(k), {own})
                else:
                    leap(F(k), {own})
            else:
                for _ in range(k):
                    silent_step({own})
        last[site] = t
        if one_step({arrays}, fired) > 0:
            flag[site] = 1
            block[site >> 6] = 1
        if {fires}:
            spikes = list_spikes(low, high - low, fired, words, hits, out, spikes)
        updates[0] += high - low
    return spikes


address = update.address
'''

LOCK = threading.Lock()


def update_text(rule: Rule, dtype: str) -> str:
    """The kernel's source for this rule. Names are positions, so rules that compute the same share a kernel."""
    held, parameters = numbered("h", rule.states), numbered("q", rule.parameters)
    names = dict(zip(rule.states + rule.parameters, held + parameters, strict=True))
    driven = {**names, **dict(zip(rule.inputs, numbered("i", rule.inputs), strict=True))}

    def lines(role: str, renamed: dict[str, str], targets: list[str]) -> list[str]:
        body, results = print_lines(rule.trace(role), renamed, prefix=f"{role}_")
        return [*body, f"{', '.join(targets)} = {', '.join(results)}"]

    fire = []
    if rule.fires:
        fire = [*lines("margin", names, ["m"]), "spike = m >= F(0.0)", "fired[j] = spike",
                "s = F(1.0) if spike else F(0.0)", *lines("reset", {**names, "s": "s"}, held)]
    if rule.bound is not None:
        fire += [*lines("bound", names, ["b"]), "awake += 0 if b < F(0.0) else 1"]  # NaN keeps a neuron awake
    load_states = [f"h{i} = v{i}[j]" for i in range(len(rule.states))]
    own = numbered("v", rule.states) + numbered("p", rule.parameters)
    runs = (("x", "x", rule.inputs), ("r", "rest", rule.inputs), ("v", "v", rule.states), ("p", "p", rule.parameters))
    blocks = {
        "load": [*load_states, *(f"{q} = p{i}[j]" for i, q in enumerate(parameters))],
        "load_states": load_states, "load_first": [f"{q} = p{i}[0]" for i, q in enumerate(parameters)],
        "load_inputs": [f"i{i} = x{i}[j]" for i in range(len(rule.inputs))],
        "charge": lines("charge", driven, held), "fire": fire, "silent": _silent_lines(rule, names, held),
        "leap": lines("leap", {**names, "k": "k"}, held) if rule.leap else [],
        "store": [f"v{i}[j] = h{i}" for i in range(len(rule.states))],
        "store_inputs": [f"x{i}[j] = r{i}[j]" for i in range(len(rule.inputs))],
        "slices": [f"{name}{i} = {array}[{i} * size + low: {i} * size + high]"
                   for name, array, of in runs for i in range(len(of))]}
    words = {"arrays": ", ".join(numbered("x", rule.inputs) + numbered("r", rule.inputs) + own), "own": ", ".join(own),
             "inputs": len(rule.inputs), "states": len(rule.states), "parameters": len(rule.parameters),
             "leaps": rule.leap is not None, "fires": rule.fires}
    text = re.sub(r"^( +)\{(\w+)\}\n", lambda m: "".join(f"{m[1]}{line}\n" for line in blocks[m[2]]), TEMPLATE, flags=re.M)
    return re.sub(r"\{(\w+)\}", lambda m: str(words[m[1]]), text)


def numbered(letter: str, of: Sequence[str]) -> list[str]:
    return [f"{letter}{i}" for i in range(len(of))]


def _silent_lines(rule: Rule, names: dict[str, str], held: list[str]) -> list[str]:
    """A step without input and without a spike; tracing with the constant 0 folds what it makes idle."""
    zero = const(0.0)
    states, parameters = [named(n) for n in rule.states], [named(n) for n in rule.parameters]
    after = call(rule.charge, *states, *[zero] * len(rule.inputs), *parameters)
    if rule.reset is not None:
        after = call(rule.reset, *after, zero, *parameters)
    body, results = print_lines(tuple(symbol(v) for v in after), names, prefix="silent_")
    return [*body, f"{', '.join(held)} = {', '.join(results)}"]


@cache
def _load(text: str, dtype: str) -> Any:
    return load_printed(text, dtype)


def update_address(rule: Rule, dtype: str) -> int:
    """The address of the rule's compiled kernel; the module stays loaded as long as the process."""
    with LOCK:
        return int(_load(update_text(rule, dtype), dtype).address)
