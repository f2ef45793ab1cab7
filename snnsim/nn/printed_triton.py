"""The time loops of a rule as Triton source: forward, and the backward pass that recomputes the states from the inputs.

A program holds the states of its neurons in registers through all steps and goes over time in segments of K steps,
written out one after the other: it loads the inputs of a whole segment at once, so that memory is always busy. Forward
keeps the states before each segment, where a gradient is wanted; backward goes from the last segment to the first,
recomputes the states of one from what was kept, and comes back through it. So each value is moved once: x and out
forward, x and the gradients of out and x backward, and one row of states in K.

    forward   _all_<input>, _out [T, M] -> states _start_<v>, _end_<v> [M]; _kept_<v> [ceil(T / K), M]; _flag
    backward  _all_<input>, _g, _gall_<input> [T, M], _kept_<v>, _gend_<v>, _gstart_<v> [M], _gall_<p> float64 [M], _width

Both take the parameters as _all_<p>, one value or [M]; M neurons; and the T steps from step _first on, whose spikes go to
row _other of _out and on, and whose states were kept from row _other on. Inputs, spikes and their gradients may be of any
float type, the rest is of the type of the states. Spikes can be packed: bit t % 32 of word t // 32 of _out, int32
[ceil(T / 32), M].

Division is the correctly rounded one and exp and log libdevice's, as in torch on CUDA, not Triton's quick ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from snnsim.kernel import load_text
from snnsim.nn.printed import check_names
from snnsim.rule import Rule, derive
from snnsim.rule.trace import const

HEAD = '''"""Printed by snnsim; named by its hash, never edited."""
import triton
import triton.language as tl
{exp}

@triton.jit(do_not_specialize=["_T", "_first", "_other"])
'''

FORWARD = '''
def forward({arguments}, _T, _M, _first, _other, _block: tl.constexpr):
    _at = tl.program_id(0) * _block + tl.arange(0, _block)
    _in = _at < _M
    _bad = _at < 0
    {load}
    {begin}
    _stride = tl.full((), 1, tl.int64) * _M
    _row = _first * _stride
    _outrow = _other * _stride
    _keptrow = 0 * _stride
    _t = tl.full((), 0, tl.int32)
    for _k in range((_T + {K} - 1) // {K}):
        {keep}
        {rows}
        {steps}
        {after}
        _row += {K} * _stride
        _outrow += {K} * _stride
        _keptrow += _stride
        _t += {K}
    {end}
    tl.store(_flag + _at * 0, 1, mask=_bad & _in)
'''

BACKWARD = '''
def backward({arguments}, _T, _M, _first, _other, _block: tl.constexpr):
    _at = tl.program_id(0) * _block + tl.arange(0, _block)
    _in = _at < _M
    width = tl.load(_width)
    {load}
    {begin}
    _n = (_T + {K} - 1) // {K}
    _t = tl.full((), 1, tl.int32) * (_n - 1) * {K}
    _stride = tl.full((), 1, tl.int64) * _M
    _row = (_first + _t) * _stride
    _keptrow = (_other + _n - 1) * _stride
    for _k in range(_n):
        {rows}
        {again}
        {steps}
        _row -= {K} * _stride
        _keptrow -= _stride
        _t -= {K}
    {end}
'''


@cache
def load_triton(text: str) -> Any:
    """The module of a printed text. ImportError that says what to install where Triton is missing."""
    try:
        import triton  # noqa: F401
    except ImportError:
        raise ImportError('triton is missing, which compiles neurons for CUDA: pip install "snnsim[gpu]"') from None
    return load_text(text)


def interpreted() -> bool:
    """Whether Triton interprets kernels on the CPU (TRITON_INTERPRET=1) instead of compiling them."""
    try:
        import triton
    except ImportError:
        return False
    return bool(triton.knobs.runtime.interpret)


def forms(dtype: str, interpret: bool) -> dict[str, str]:
    """How the operations of a trace are written in Triton, for states of this float type. Constants are typed: of plain
    numbers Triton makes float32."""
    number = f"tl.full((), {{!r}}, tl.{dtype})"
    zero, one, minus = number.format(0.0), number.format(1.0), number.format(-1.0)
    return {"const": number, "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}",
            "div": "tl.div_rn({}, {})" if dtype == "float32" else "{} / {}",  # float64 knows the exact division alone
            "neg": f"{{}} * {minus}", "exp": "tl.exp({})" if interpret else "libdevice.exp({})",
            "log": "tl.log({})" if interpret else "libdevice.log({})", "floor": "tl.floor({})", "stop": "{}",
            "power": "tl.exp(tl.log({}) * ({}))" if interpret else "libdevice.pow({}, {})",  # of what is above 0
            "ge": "{} >= {}", "gt": "{} > {}", "le": "{} <= {}", "lt": "{} < {}", "where": "tl.where({}, {}, {})",
            "spike": f"tl.where({{}} >= {zero}, {one}, {zero})"}


@cache
def forward_text(rule: Rule, arrays: frozenset[str], dtype: str, segment: int, keep: bool, packed: bool,
                 interpret: bool) -> str:
    """forward, where `arrays` names the parameters that are [M]; `keep`: write _kept; `packed`: write spikes as bits."""
    _check(rule)
    made = derive(rule, lambda x, w: const(0.0), forms=forms(dtype, interpret)).forward
    inputs, states = rule.inputs, rule.states
    zero = f"tl.full((), 0.0, tl.{dtype})"
    steps = []
    for u in range(segment):
        steps += [*(f"{x} = _in{u}_{x}" for x in inputs), *made.lines,
                  *(f"_bad = _bad | ({x} * {zero} != {zero})" for x in inputs),  # NaN and infinity alone fail it
                  *([f"_word = _word | tl.where(_on{u} & ({made.results['s']} > {zero}), 1 << ((_t + {u}) & 31), 0)"] if packed
                    else [f"tl.store(_out + _outrow + {u} * _stride + _at, "
                          f"{made.results['s' if rule.fires else 'out']}, mask=_on{u})"]),
                  *_advanced(u, {v: made.results[v] for v in states})]
    return _head(interpret) + _fill(
        FORWARD, {"K": str(segment), "arguments": ", ".join(forward_arguments(rule, keep))},
        load=_parameters(rule, arrays, dtype),
        begin=[*(f"{v} = tl.load(_start_{v} + _at, mask=_in, other=0.0)" for v in states),
               *(f"_bad = _bad | ({v} * {zero} != {zero})" for v in states), *(["_word = _at * 0"] if packed else [])],
        keep=[f"tl.store(_kept_{v} + _keptrow + _at, {v}, mask=_in)" for v in states] if keep else [],
        rows=[*_rows([("in", "all", x) for x in inputs], segment, dtype),
              *(["_word = tl.where((_t & 31) == 0, 0, _word)"] if packed else [])],
        steps=steps,
        after=["tl.store(_out + (_t // 32) * _stride + _at, _word, mask=_in)"] if packed else [],
        end=[f"tl.store(_end_{v} + _at, {v}, mask=_in)" for v in states])


@cache
def backward_text(rule: Rule, slope: Callable[..., Any], detach_reset: bool, arrays: frozenset[str],
                  gradients: frozenset[str], dtype: str, segment: int, add: bool, interpret: bool) -> str:
    """backward, where `gradients` names the parameters whose gradients are asked for; `add`: to what stands in them."""
    _check(rule)
    derived = derive(rule, slope, detach_reset, forms(dtype, interpret))
    inputs, states = rule.inputs, rule.states
    asked = [p for p in rule.parameters if p in gradients]
    got, after = derived.backward.results, derived.forward.results
    again = [f"_was0_{v} = tl.load(_kept_{v} + _keptrow + _at, mask=_in, other=0.0)" for v in states]
    for u in range(segment - 1):
        again += [*(f"{x} = _in{u}_{x}" for x in inputs), *(f"{v} = _was{u}_{v}" for v in states), *derived.forward.lines,
                  *(f"_was{u + 1}_{v} = {after[v]}" for v in states)]
    steps = []
    for u in reversed(range(segment)):
        steps += [*(f"{x} = _in{u}_{x}" for x in inputs), *(f"{v} = _was{u}_{v}" for v in states),
                  f"{'g_s' if rule.fires else 'g_out'} = _seed{u}_",
                  *derived.backward.lines,
                  *(f"tl.store(_gall_{x} + _row + {u} * _stride + _at, {got[f'g_{x}']}, "
                    f"mask=_on{u})" for x in inputs),
                  *(f"_sum_{p} = tl.where(_on{u}, _sum_{p} + ({got[f'g_{p}']}).to(tl.float64), _sum_{p})" for p in asked),
                  *_advanced(u, {f"g_{v}": got[f"g_{v}"] for v in states})]
    return _head(interpret) + _fill(
        BACKWARD, {"K": str(segment), "arguments": ", ".join(backward_arguments(rule, gradients))},
        load=_parameters(rule, arrays, dtype),
        begin=[*(f"g_{v} = tl.load(_gend_{v} + _at, mask=_in, other=0.0)" for v in states),
               *(f"_sum_{p} = " + (f"tl.load(_gall_{p} + _at, mask=_in, other=0.0)" if add
                                   else "tl.full((_block,), 0.0, tl.float64)") for p in asked)],
        rows=_rows([*(("in", "all", x) for x in inputs), ("seed", "g", "")], segment, dtype), again=again, steps=steps,
        end=[*(f"tl.store(_gstart_{v} + _at, g_{v}, mask=_in)" for v in states),
             *(f"tl.store(_gall_{p} + _at, _sum_{p}, mask=_in)" for p in asked)])


def forward_arguments(rule: Rule, keep: bool) -> list[str]:
    """The pointers that forward takes, by name."""
    return [*_tagged("all", rule.inputs), "_out", *_tagged("start", rule.states), *_tagged("end", rule.states),
            *_tagged("kept", rule.states if keep else ()), *_tagged("all", rule.parameters), "_flag"]


def backward_arguments(rule: Rule, gradients: frozenset[str]) -> list[str]:
    """The pointers that backward takes, by name."""
    return [*_tagged("all", rule.inputs), "_g", *_tagged("gall", rule.inputs), *_tagged("kept", rule.states),
            *_tagged("gend", rule.states), *_tagged("gstart", rule.states), *_tagged("all", rule.parameters),
            *_tagged("gall", [p for p in rule.parameters if p in gradients]), "_width"]


def _check(rule: Rule) -> None:
    check_names(rule)
    for name in (*rule.states, *rule.inputs, *rule.parameters):
        if name in ("tl", "triton", "libdevice"):
            raise ValueError(f"rule {rule.name!r} calls a value {name!r}, a name that its kernels use: choose another")


def _head(interpret: bool) -> str:
    return HEAD.format(exp="" if interpret else "from triton.language.extra import libdevice\n").rstrip("\n")


def _parameters(rule: Rule, arrays: frozenset[str], dtype: str) -> list[str]:
    """One value, or one a neuron; 1 where there is no neuron, which is safer to divide by than 0."""
    return [f"{p} = tl.load(_all_{p}" + (" + _at, mask=_in, other=1.0)" if p in arrays else ")") for p in rule.parameters]


def _rows(named: Iterable[tuple[str, str, str]], segment: int, dtype: str) -> list[str]:
    """Loads of the segment's rows, (tag of the variable, tag of the pointer, name) each; 0 behind the last step. The mask is
    a comparison of the block: Triton's interpreter takes no mask that was a scalar's."""
    masks = [f"_on{u} = _at < tl.where(_t + {u} < _T, _M, 0)" for u in range(segment)]
    return masks + [f"_{tag}{u}_{name} = tl.load(_{pointer + '_' + name if name else pointer} + _row + {u} * _stride + _at, "
                    f"mask=_on{u}, other=0.0).to(tl.{dtype})" for tag, pointer, name in named for u in range(segment)]


def _advanced(u: int, to: dict[str, str]) -> list[str]:
    """Set each variable to its value where the step is one of the loop's; all at once, for a value may be a variable."""
    return [*(f"_new_{v} = tl.where(_on{u}, {value}, {v})" for v, value in to.items()), *(f"{v} = _new_{v}" for v in to)]


def _tagged(tag: str, names: Iterable[str]) -> list[str]:
    return [f"_{tag}_{n}" for n in names]


def _fill(template: str, words: dict[str, str], **filled: Iterable[str]) -> str:
    """The template with lines in place of each {name} that stands alone, and words in place of the others."""
    lines = []
    for line in template.splitlines():
        name = line.strip()[1:-1]
        if name in filled and line.strip() == "{" + name + "}":
            indent = line[: line.index("{")]
            lines += [indent + text for text in filled[name]]
        else:
            for key, word in words.items():
                line = line.replace("{" + key + "}", word)
            lines.append(line)
    return "\n".join(lines) + "\n"
