"""The time loop of a neuron layer on CUDA: one Triton kernel forward and one backward, printed from the rule.

It saves its inputs, and the states before every K-th step (K = 16 for one state, 8 for two; none where T <= K): backward
recomputes the rest in registers. Inputs, spikes and their gradients are stored as they come, float32, float64, bfloat16
or float16; states and parameters are float32 beside the two short ones. Kernels are compiled without contraction.

NaN and infinity are looked for in the kernel, which writes a flag in the host's memory when it met one. To read it at
once the host would have to wait for the card at every layer, so it is looked at without waiting, at each later call, and
the error comes from the next forward or backward that starts after the kernel ended. `check()` waits and raises;
within `checked()` every forward waits, so that the error names its layer.

Where Triton interprets (TRITON_INTERPRET=1) the same kernels run on CPU tensors, for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from snnsim.nn.printed_triton import (
    backward_arguments,
    backward_text,
    forward_arguments,
    forward_text,
    interpreted,
    load_triton,
)
from snnsim.rule import Rule

WARPS = 4
BLOCK = 128  # neurons of a program: one a thread, so that backward's segment fits in registers
LONGEST = 16  # steps of a segment
REGISTERS = 48  # values of a segment's rows a thread; compiled for sm_90, two states and 16 steps would spill
STATE = {torch.float32: torch.float32, torch.float64: torch.float64, torch.bfloat16: torch.float32,
         torch.float16: torch.float32}  # the type of states and parameters, by that of the inputs

_waiting: ContextVar[bool] = ContextVar("waiting", default=False)


@dataclass(frozen=True, eq=False)
class Loop:
    """A rule with its surrogate, ready to run over time on CUDA. slope(margin, width) is d spike / d margin."""

    rule: Rule
    slope: Callable[..., Any]
    width: float = 1.0
    detach_reset: bool = False

    def __call__(self, inputs: Sequence[torch.Tensor], states: Sequence[torch.Tensor] | None,
                 parameters: Sequence[torch.Tensor]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """inputs [T, B, ...] each, of one type in STATE; states [B, ...] or None for zeros, and parameters that
        broadcast to [...], of the type in STATE.

        Returns the spikes, or the last state of a rule that never fires, [T, B, ...] of the inputs' type, and the states
        after the last step. Without gradients nothing else is written. Errors: ValueError when an input or a state is,
        or in an earlier call was, NaN or infinite; ImportError when Triton is missing.
        """
        states = started(self.rule, inputs[0], states)
        grad = torch.is_grad_enabled() and any(t.requires_grad for t in (*inputs, *states, *parameters))
        out, *end = _Loop.apply(self, grad, *inputs, *states, *parameters)  # type: ignore[no-untyped-call]
        return out, tuple(end)

    def split(self, tensors: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Inputs, states and parameters out of one sequence."""
        i, s = len(self.rule.inputs), len(self.rule.inputs) + len(self.rule.states)
        return tensors[:i], tensors[i:s], tensors[s:]


def packed(loop: Loop, inputs: Sequence[torch.Tensor], states: Sequence[torch.Tensor] | None,
           parameters: Sequence[torch.Tensor]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """The loop without gradients, with its spikes as bits: (words int32 [ceil(T / 32), B, ...], states).

    Bit t % 32 of word t // 32 is the spike of step t, a thirty-second of what float32 spikes take; `unpack` turns them
    back. Errors: those of the loop; ValueError for a rule that never fires.
    """
    if not loop.rule.fires:
        raise ValueError(f"rule {loop.rule.name!r} never fires: there are no spikes to pack")
    with torch.no_grad():
        inputs = [x.contiguous() for x in inputs]
        states = [v.contiguous() for v in started(loop.rule, inputs[0], states)]
        values, arrays = expanded(loop.rule, parameters, inputs[0])
        words = inputs[0].new_empty((-(-len(inputs[0]) // 32), *inputs[0].shape[1:]), dtype=torch.int32)
        end = [torch.empty_like(v) for v in states]
        forward(loop.rule, arrays, inputs, words, states, end, (), values, segment(loop.rule, inputs[0]), packed=True)
    return words, tuple(end)


def unpack(words: torch.Tensor, steps: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The spikes [steps, B, ...] of the words that `packed` gave for this number of steps."""
    if words.dtype != torch.int32 or len(words) != -(-steps // 32):
        raise ValueError(f"words of {steps} steps are int32 [{-(-steps // 32)}, ...], got {words.dtype} {tuple(words.shape)}")
    bits = torch.arange(32, dtype=torch.int32, device=words.device).view(32, *[1] * (words.ndim - 1))
    return torch.cat([(w >> bits) & 1 for w in words])[:steps].to(dtype)


def check() -> None:
    """Wait for the cards. ValueError when the input of a forward since the last check held NaN or infinity."""
    for device in list(_flags):
        _raise(device, wait=True)


@contextmanager
def checked() -> Iterator[None]:
    """Within it every forward waits for its kernel and raises by itself when its input held NaN or infinity."""
    token = _waiting.set(True)
    try:
        yield
    finally:
        _waiting.reset(token)


class _Loop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loop: Loop, grad: bool, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        inputs, states, parameters = loop.split([t.contiguous() for t in tensors])
        first, steps = inputs[0], segment(loop.rule, inputs[0])
        values, arrays = expanded(loop.rule, parameters, first)
        out, end = torch.empty_like(first), [torch.empty_like(v) for v in states]
        # before the first step it is the state that was given
        kept = [v.new_empty((-(-len(first) // steps), *v.shape)) for v in states] if grad and len(first) > steps else []
        forward(loop.rule, arrays, inputs, out, states, end, kept, values, steps)
        ctx.loop, ctx.arrays, ctx.steps = loop, arrays, steps
        ctx.parameters = [(p.shape, p.dtype) for p in loop.split(tensors)[2]]
        ctx.save_for_backward(*inputs, *(kept or states), *values)
        ctx.set_materialize_grads(False)
        return (out, *end)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_out: torch.Tensor | None, *g_end: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        loop: Loop = ctx.loop
        inputs, kept, values = loop.split(ctx.saved_tensors)
        needs = loop.split(ctx.needs_input_grad[2:])
        like = inputs[0][0]
        asked = [p for p, need in zip(loop.rule.parameters, needs[2], strict=True) if need]
        seed = torch.zeros_like(inputs[0]) if g_out is None else g_out.contiguous()
        seeds = [torch.zeros_like(like, dtype=STATE[like.dtype]) if g is None else g.contiguous() for g in g_end]
        g_inputs, g_start = [torch.empty_like(x) for x in inputs], [torch.empty_like(g) for g in seeds]
        sums = {p: torch.empty_like(like, dtype=torch.float64) for p in asked}
        backward(loop, ctx.arrays, inputs, seed, g_inputs, kept, seeds, g_start, values, sums, ctx.steps)
        g_parameters = [summed(sums[p], *own) if p in sums else None
                        for p, own in zip(loop.rule.parameters, ctx.parameters, strict=True)]
        g_others = [g if need else None for g, need in zip((*g_inputs, *g_start), (*needs[0], *needs[1]), strict=True)]
        return (None, None, *g_others, *g_parameters)


def forward(rule: Rule, arrays: frozenset[str], inputs: Sequence[torch.Tensor], out: torch.Tensor,
            states: Sequence[torch.Tensor], end: Sequence[torch.Tensor], kept: Sequence[torch.Tensor],
            values: Sequence[torch.Tensor], segment: int, *, packed: bool = False, first: int = 0,
            first_out: int = 0, steps: int | None = None) -> None:
    """Launch forward over the steps from `first` on, with their spikes in rows from `first_out` on. `end` may be `states`."""
    text = forward_text(rule, arrays, _name(states[0].dtype), segment, bool(kept), packed, interpreted())
    device = inputs[0].device
    _raise(device)
    pointers = [*inputs, out, *states, *end, *kept, *values, _flag(device)]
    _launch(text, "forward", dict(zip(forward_arguments(rule, bool(kept)), pointers, strict=True)), inputs[0], steps, first,
            first_out)
    if device.type == "cpu" or _waiting.get():
        _raise(device, wait=True)


def backward(loop: Loop, arrays: frozenset[str], inputs: Sequence[torch.Tensor], seed: torch.Tensor,
             g_inputs: Sequence[torch.Tensor], kept: Sequence[torch.Tensor], g_end: Sequence[torch.Tensor],
             g_start: Sequence[torch.Tensor], values: Sequence[torch.Tensor], sums: dict[str, torch.Tensor], segment: int, *,
             add: bool = False, first: int = 0, kept_first: int = 0, steps: int | None = None) -> None:
    """Launch backward over the steps from `first` on, whose states were kept from row `kept_first` on. `add`: to the sums.

    `seed` may be a gradient of an input, and `g_end` may be `g_start`.
    """
    asked = frozenset(sums)
    text = backward_text(loop.rule, loop.slope, loop.detach_reset, arrays, asked, _name(kept[0].dtype), segment, add,
                         interpreted())
    device = inputs[0].device
    _raise(device)
    pointers = [*inputs, seed, *g_inputs, *kept, *g_end, *g_start, *values, *sums.values(),
                _width(loop.width, kept[0].dtype, device)]
    _launch(text, "backward", dict(zip(backward_arguments(loop.rule, asked), pointers, strict=True)), inputs[0], steps,
            first, kept_first)


def segment(rule: Rule, x: torch.Tensor) -> int:
    """Steps K of a segment: what the registers hold, a power of two, at most 16 and not more than there are steps."""
    rows = (len(rule.inputs) + len(rule.states) + 1) * (1 + (x.dtype == torch.float64))
    most = min(LONGEST, REGISTERS // rows, 1 << (len(x) - 1).bit_length())
    return 1 << (max(most, 1).bit_length() - 1)


def started(rule: Rule, x: torch.Tensor, states: Sequence[torch.Tensor] | None) -> Sequence[torch.Tensor]:
    """The states, or zeros; ValueError where x or the states are not what the kernels take."""
    if x.dtype not in STATE or not (x.is_cuda or interpreted()):
        raise ValueError("the inputs of a loop on CUDA are tensors there, of "
                         f"{', '.join(map(_name, STATE))}, got {_name(x.dtype)} on {x.device}")
    if states is None:
        return [x.new_zeros(x.shape[1:], dtype=STATE[x.dtype])] * len(rule.states)
    if any(v.dtype != STATE[x.dtype] or v.shape != x.shape[1:] for v in states):
        raise ValueError(f"states must be {_name(STATE[x.dtype])} {tuple(x.shape[1:])} beside inputs of {_name(x.dtype)}, got "
                         + " and ".join(f"{_name(v.dtype)} {tuple(v.shape)}" for v in states))
    return states


def expanded(rule: Rule, parameters: Sequence[torch.Tensor], x: torch.Tensor) -> tuple[list[torch.Tensor], frozenset[str]]:
    """Each parameter as one value or as one a neuron [B, ...], on the device of x, and the names of the latter."""
    values = [p.detach().to(x.device, STATE[x.dtype]) for p in parameters]
    arrays = frozenset(name for name, p in zip(rule.parameters, values, strict=True) if p.numel() > 1)
    return [p.expand(x.shape[1:]).contiguous() if p.numel() > 1 else p for p in values], arrays


def summed(sums: torch.Tensor, own: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    """The gradient of a parameter of shape `own` from those of its neurons, added in an order that never changes."""
    lead = sums.ndim - len(own)
    axes = (*range(lead), *(lead + i for i, n in enumerate(own) if n == 1))
    return sums.sum(axes).view(own).to(dtype)


def _launch(text: str, name: str, pointers: dict[str, torch.Tensor], x: torch.Tensor, steps: int | None, first: int,
            other: int) -> None:
    kernel = getattr(load_triton(text), name)
    neurons = x[0].numel()
    grid = (-(-neurons // BLOCK),)
    sizes = {"_T": len(x) if steps is None else steps, "_M": neurons, "_first": first, "_other": other}
    with torch.cuda.device_of(x):
        kernel[grid](**pointers, **sizes, _block=BLOCK, num_warps=WARPS, enable_fp_fusion=False)


_flags: dict[torch.device, torch.Tensor] = {}


def _flag(device: torch.device) -> torch.Tensor:
    """One number of the host, 1 when a kernel of the device met NaN or infinity; kernels write to pinned memory."""
    if device not in _flags:
        with torch.inference_mode(False):  # or it could not be cleared outside
            _flags[device] = torch.zeros(1, dtype=torch.int32, pin_memory=device.type == "cuda")
    return _flags[device]


def _raise(device: torch.device, wait: bool = False) -> None:
    if wait and device.type == "cuda":
        torch.cuda.synchronize(device)
    flag = _flags.get(device)
    if flag is not None and flag.item():
        flag.zero_()
        raise ValueError("the input holds NaN or infinity" if device.type == "cpu" or _waiting.get() else
                         "the input of an earlier forward holds NaN or infinity: run within snnsim.nn.cuda.checked() to "
                         "see which")


@lru_cache(maxsize=64)
def _width(width: float, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.tensor(width, dtype=dtype, device=device)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
