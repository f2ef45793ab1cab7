"""The kernels for CUDA equal the eager rule and the fused loops, run by Triton's interpreter on the CPU, and compile
for sm_90 without contraction. Neither needs a GPU; no test here runs on one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

import snnsim.nn as nn
from benchmarks import gpu
from snnsim.neurons import LI, LIF, AdaptiveLIF, CubaLIF
from snnsim.nn import cuda, fused, neuron, printed_triton
from snnsim.nn.cuda_recurrent import recurrent
from snnsim.nn.eager import Spike
from snnsim.rule import Neuron, Rule, call
from tests.test_gradients import CONDUCTANCE, IDS, NEURONS, TOLERANCE, UPSTROKE, tensors

if sys.platform != "linux":
    pytest.skip("Triton is for Linux", allow_module_level=True)

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime import JITFunction, driver

ATAN = nn.SURROGATES["atan"].slope
FOUR = [LIF(), LIF(reset="hard"), AdaptiveLIF(), UPSTROKE]


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels loaded from here on are interpreted, on the CPU. Fresh memory comes filled with NaN."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def same_gradients(leaves: Sequence[torch.Tensor], tolerance: float, got: Sequence[torch.Tensor],
                   *others: Sequence[torch.Tensor]) -> None:
    """Gradients of random seeds, compared leaf by leaf."""
    g = torch.Generator().manual_seed(1)
    seeds = [(torch.randn(t.shape, generator=g) + 0.5).to(t.dtype) for t in got]
    ours = torch.autograd.grad(got, leaves, seeds, materialize_grads=True)
    for wanted in others:
        theirs = torch.autograd.grad(wanted, leaves, seeds, allow_unused=True, materialize_grads=True)
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert a.dtype == b.dtype and float((a - b).abs().max()) <= tolerance * float(b.abs().max()), i


def compare(of: Neuron, steps: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float64,
            parameter_shape: tuple[int, ...] = (), surrogate: str = "atan", detach: bool = False) -> None:
    inputs, states, parameters = tensors(of, steps, shape, parameter_shape, dtype)
    leaves, chosen = [*inputs, *states, *parameters], nn.SURROGATES[surrogate]
    out, end = cuda.Loop(of.rule, chosen.slope, chosen.width, detach)(inputs, states, parameters)
    expected, expected_end = nn.eager(of.rule, chosen.slope, inputs, states, parameters, width=chosen.width,
                                      detach_reset=detach)
    there, there_end = fused.Loop(of.rule, chosen.slope, chosen.width, detach)(inputs, states, parameters)
    if of.rule.fires:
        assert torch.equal(out, expected) and torch.equal(out, there)
    for other in ([expected, *expected_end], [there, *there_end]):
        torch.testing.assert_close([out, *end], other, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    same_gradients(leaves, TOLERANCE[dtype], [out, *end], [expected, *expected_end], [there, *there_end])


@pytest.mark.parametrize("of", NEURONS, ids=IDS)
def test_equal_to_the_eager_rule_and_to_the_fused_loop(of: Neuron, interpreter: None) -> None:
    compare(of, 1, (1, 1), torch.float32)
    compare(of, 19, (1, 33))
    compare(of, 2, (1, 131), torch.float32)


@pytest.mark.parametrize("of", FOUR, ids=lambda n: n.rule.name)
def test_detached_reset(of: Neuron, interpreter: None) -> None:
    compare(of, 19, (1, 33), detach=True)


@pytest.mark.slow
@pytest.mark.parametrize("of", NEURONS, ids=IDS)
def test_long_and_large(of: Neuron, interpreter: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "BLOCK", 1024)  # fewer programs for the interpreter
    for steps, n in ((1, 1025), (2, 1023)):
        compare(of, steps, (1, n), torch.float32, (n,))
    compare(of, 257, (1, 33), torch.float32, (33,), detach=True)
    if of in (LIF(), AdaptiveLIF()):
        compare(of, 257, (1, 1025), torch.float32)
        compare(of, 257, (1, 31), torch.float64)


@pytest.mark.parametrize("surrogate", sorted(nn.SURROGATES))
def test_every_surrogate(surrogate: str, interpreter: None) -> None:
    compare(LIF(), 19, (1, 33), surrogate=surrogate)


@pytest.mark.parametrize("parameter_shape", [(1,), (5, 1, 1), (3, 2), (5, 3, 2)])
def test_parameters_of_a_channel_or_a_neuron(parameter_shape: tuple[int, ...], interpreter: None) -> None:
    compare(AdaptiveLIF(), 9, (2, 5, 3, 2), parameter_shape=parameter_shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_segments_change_no_bit(dtype: torch.dtype, interpreter: None, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, states, parameters = tensors(AdaptiveLIF(), 21, (2, 65), (65,), dtype)
    results = []
    for longest in (1, 4, 16):
        monkeypatch.setattr(cuda, "LONGEST", longest)
        out, end = cuda.Loop(AdaptiveLIF().rule, ATAN)(inputs, states, parameters)
        results.append([out, *end, *torch.autograd.grad([out, *end], [*inputs, *states, *parameters],
                                                        [torch.ones_like(t) for t in (out, *end)])])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("of", [LIF(), AdaptiveLIF(), LI()], ids=lambda n: n.rule.name)
def test_16_bits_are_stored_and_float32_computes(of: Neuron, dtype: torch.dtype, interpreter: None) -> None:
    inputs, states, parameters = tensors(of, 21, (1, 33), (), torch.float32)
    rounded = inputs[0].detach().to(dtype).requires_grad_()
    out, end = cuda.Loop(of.rule, ATAN)([rounded], states, parameters)
    x = rounded.detach().float().requires_grad_()
    expected, expected_end = nn.eager(of.rule, ATAN, [x], states, parameters)
    assert out.dtype == dtype and all(v.dtype == torch.float32 for v in end)
    torch.testing.assert_close(list(end), list(expected_end), rtol=1e-5, atol=1e-5)
    if of.rule.fires:
        assert torch.equal(out.float(), expected)
    # the interpreter cuts bits off where the compiled kernel rounds
    torch.testing.assert_close(out.float(), expected, rtol=torch.finfo(dtype).eps, atol=1e-6)
    ours = torch.autograd.grad([out, *end], [rounded, *states, *parameters], [torch.ones_like(t) for t in (out, *end)],
                               materialize_grads=True)
    theirs = torch.autograd.grad([expected, *expected_end], [x, *states, *parameters],
                                 [torch.ones_like(t) for t in (expected, *end)], allow_unused=True, materialize_grads=True)
    assert ours[0].dtype == dtype
    torch.testing.assert_close(ours[0].float(), theirs[0], rtol=torch.finfo(dtype).eps, atol=1e-6)
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        assert float((a - b).abs().max()) <= 1e-5 * float(b.abs().max())


def test_only_what_is_asked_for(interpreter: None) -> None:
    inputs, states, parameters = tensors(LIF(), 20, (2, 31), (), torch.float64)
    loop, others = cuda.Loop(LIF().rule, ATAN), [p.detach() for p in parameters]
    (g,) = torch.autograd.grad(loop(inputs, states, parameters)[0].sum(), [parameters[1]])
    (only,) = torch.autograd.grad(loop([inputs[0].detach()], None, [others[0], parameters[1]])[0].sum(), [parameters[1]])
    fresh = [torch.zeros_like(states[0])]
    (expected,) = torch.autograd.grad(loop(inputs, fresh, parameters)[0].sum(), [parameters[1]])
    assert torch.equal(only, expected) and not torch.equal(only, g)


def test_a_new_width_or_parameter_compiles_nothing(interpreter: None) -> None:
    x = torch.full((3, 1, 5), 0.4, requires_grad=True)
    loaded = []
    for width, decay in ((0.5, 0.9), (0.7, 0.8)):
        cuda.Loop(LIF().rule, ATAN, width)([x], None, [torch.tensor(decay), torch.tensor(1.0)])[0].sum().backward()
        loaded.append(printed_triton.load_triton.cache_info().misses)
    assert loaded[0] == loaded[1] > 0


def test_seeds_of_the_last_states_alone(interpreter: None) -> None:
    inputs, states, parameters = tensors(CubaLIF(), 20, (2, 31), (), torch.float64)
    got = torch.autograd.grad(cuda.Loop(CubaLIF().rule, ATAN)(inputs, states, parameters)[1][0].sum(), inputs)
    wanted = torch.autograd.grad(nn.eager(CubaLIF().rule, ATAN, inputs, states, parameters)[1][0].sum(), inputs)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("of", "steps", "rows"), [(LIF(), 16, 1), (LIF(), 40, 3), (AdaptiveLIF(), 40, 10)],
                         ids=["short", "lif", "adaptive"])
def test_saved_are_the_inputs_and_a_row_of_states_a_segment(of: Neuron, steps: int, rows: int, interpreter: None) -> None:
    inputs, _, parameters = tensors(of, steps, (2, 31), (), torch.float32)
    saved: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (saved.append(t), t)[1], lambda t: t):
        cuda.Loop(of.rule, ATAN)(inputs, None, [p.detach() for p in parameters])
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in saved}
    assert sum(storages.values()) == 4 * (62 * (steps + rows) + len(parameters))


@pytest.mark.parametrize("steps", [1, 31, 32, 45, 64])
def test_packed_spikes(steps: int, interpreter: None) -> None:
    inputs, states, parameters = tensors(AdaptiveLIF(), steps, (2, 67), (67,), torch.float32)
    loop = cuda.Loop(AdaptiveLIF().rule, ATAN)
    words, end = cuda.packed(loop, inputs, states, parameters)
    out, expected = loop(inputs, states, parameters)
    assert words.shape == (-(-steps // 32), 2, 67) and not any(v.requires_grad for v in end)
    assert torch.equal(cuda.unpack(words, steps), out) and 0.0 < float(out.detach().mean()) < 1.0
    assert all(torch.equal(a, b) for a, b in zip(end, expected, strict=True))
    with pytest.raises(ValueError, match=re.escape(f"words of {steps + 32} steps are int32 [{len(words) + 1}, ...], got ")):
        cuda.unpack(words, steps + 32)


def test_spikes_of_a_rule_that_never_fires_are_not_packed(interpreter: None) -> None:
    with pytest.raises(ValueError, match="rule 'li' never fires: there are no spikes to pack"):
        cuda.packed(cuda.Loop(LI().rule, ATAN), [torch.zeros(1, 1, 1)], None, [torch.tensor(0.9)])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, in the interpreter
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["input", "state"])
def test_nan_and_infinity_raise_once(bad: float, where: str, interpreter: None) -> None:
    x, v = torch.zeros(3, 2, 70), torch.zeros(2, 70)
    (x[1, 1] if where == "input" else v[1])[69] = bad
    loop, parameters = cuda.Loop(LIF().rule, ATAN), [torch.tensor(0.9), torch.tensor(1.0)]
    with pytest.raises(ValueError, match="the input holds NaN or infinity"):
        loop([x], [v], parameters)
    loop([torch.zeros(3, 2, 70)], None, parameters)
    cuda.check()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_inference_mode_keeps_serves_training(interpreter: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_flags", {})
    layer, x = nn.Neuron(LIF(), dt=1.0), torch.rand(3, 2, 4)
    loop = cuda.Loop(layer.rule, ATAN)
    with torch.inference_mode():
        loop([x], None, layer.parameters_for(x))
    inputs = x.clone().requires_grad_()
    loop([inputs], None, layer.parameters_for(x))[0].sum().backward()
    assert inputs.grad is not None
    with pytest.raises(ValueError, match="the input holds NaN or infinity"):
        loop([torch.full((3, 2, 4), torch.nan)], None, layer.parameters_for(x))


def test_a_late_error_names_the_way_to_find_its_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    card = torch.device("cuda")
    monkeypatch.setitem(cuda._flags, card, torch.ones(1, dtype=torch.int32))
    with pytest.raises(ValueError, match="the input of an earlier forward holds NaN or infinity: run within "
                                         "snnsim.nn.cuda.checked\\(\\) to see which"):
        cuda.check()
    cuda._flags[card].fill_(1)
    with cuda.checked(), pytest.raises(ValueError, match="the input holds NaN or infinity"):
        cuda.check()
    cuda.check()


def test_what_the_loop_does_not_take(interpreter: None) -> None:
    loop, parameters = cuda.Loop(LIF().rule, ATAN), [torch.tensor(0.9), torch.tensor(1.0)]
    with pytest.raises(ValueError, match="of float32, float64, bfloat16, float16, got int32 on cpu"):
        loop([torch.zeros(1, 1, 1, dtype=torch.int32)], None, parameters)
    sentence = "states must be float32 (1, 3) beside inputs of bfloat16, got bfloat16 (1, 3)"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        loop([torch.zeros(2, 1, 3, dtype=torch.bfloat16)], [torch.zeros(1, 3, dtype=torch.bfloat16)], parameters)
    for name in ("tl", "libdevice"):
        rule = Rule("clash", UNNAMED[name])
        with pytest.raises(ValueError, match=f"rule 'clash' calls a value '{name}', a name that its kernels use"):
            cuda.Loop(rule, ATAN)([torch.zeros(1, 1, 1)], None, [torch.tensor(0.9)])


def test_without_the_interpreter_a_tensor_of_the_cpu_is_refused() -> None:
    with pytest.raises(ValueError, match="the inputs of a loop on CUDA are tensors there, of .*, got float32 on cpu"):
        cuda.Loop(LIF().rule, ATAN)([torch.zeros(1, 1, 1)], None, [torch.tensor(0.9), torch.tensor(1.0)])


UNNAMED = {"tl": lambda v, x, tl: tl * v + x, "libdevice": lambda v, x, libdevice: libdevice * v + x}


def test_a_module_on_these_kernels(interpreter: None, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Neuron(LIF(), learn=("decay", "theta"), shape=(3, 1, 1), dt=1.0)
    x = torch.rand(3, 2, 4, 5, 3).movedim(4, 2).requires_grad_()  # channels last in memory
    results = []
    for loop in (cuda.Loop, fused.Loop):
        monkeypatch.setattr(neuron, "Loop", loop)
        out, state = layer(x)
        again, _ = layer(x, state)
        results.append([out, again, *torch.autograd.grad(again.sum(), [x, *layer.parameters()])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_parameters_go_to_the_device_of_the_input() -> None:
    layer = nn.Neuron(LIF(), learn=("decay",), dt=1.0)
    assert {p.device.type for p in layer.parameters_for(torch.zeros(1, 1, 1, device="meta"))} == {"meta"}
    layer.set_dt(2.0)
    assert float(layer.step_parameters()["theta"]) == 1.0
    with pytest.raises(ValueError, match="got torch.float32 on meta"):
        layer(torch.zeros(1, 1, 1, device="meta"))


# The recurrent loop.

def eager_recurrent(rule: Rule, x: torch.Tensor, s: torch.Tensor, states: Sequence[torch.Tensor], weight: torch.Tensor,
                    parameters: Sequence[torch.Tensor], detach: bool) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
    out = []
    for row in x:
        states = call(rule.charge, *states, torch.addmm(row, s, weight.t()), *parameters)
        s = Spike.apply(rule.margin(*states, *parameters), ATAN, 1.0)  # type: ignore[misc]
        states = call(rule.reset, *states, s.detach() if detach else s, *parameters)  # type: ignore[arg-type]
        out.append(s)
    return torch.stack(out), states


@pytest.mark.parametrize(("of", "detach", "dtype"), [
    (LIF(), False, torch.float32), (LIF(reset="hard"), True, torch.float64), (AdaptiveLIF(), False, torch.float64),
    (AdaptiveLIF(), True, torch.float32)], ids=["soft", "hard", "adaptive", "adaptive-detached"])
def test_recurrent_loop(of: Neuron, detach: bool, dtype: torch.dtype, interpreter: None) -> None:
    for steps, batch, n in ((1, 1, 1), (2, 3, 31), (7, 2, 33)):
        (x,), states, parameters = tensors(of, steps, (batch, n), (n,), dtype)
        g = torch.Generator().manual_seed(2)
        weight = (torch.randn(n, n, generator=g, dtype=torch.float64) / n ** 0.5).to(dtype).requires_grad_()
        s0 = (torch.rand(batch, n, generator=g) < 0.5).to(dtype).requires_grad_()
        out, end = recurrent(of.rule, ATAN, 1.0, detach, x, s0, states, weight, parameters)
        expected, expected_end = eager_recurrent(of.rule, x, s0, states, weight, parameters, detach)
        assert torch.equal(out, expected)
        torch.testing.assert_close(list(end), list(expected_end), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        same_gradients([x, s0, weight, *states, *parameters], TOLERANCE[dtype], [out, *end], [expected, *expected_end])
        with torch.no_grad():
            plain, plain_end = recurrent(of.rule, ATAN, 1.0, detach, x, s0, states, weight, parameters)
        assert torch.equal(plain, out) and all(torch.equal(a, b) for a, b in zip(plain_end, end, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("of", "detach"), [(CubaLIF(), False), (UPSTROKE, True)], ids=["cuba", "upstroke"])
def test_long_recurrent_loop(of: Neuron, detach: bool, interpreter: None) -> None:
    (x,), states, parameters = tensors(of, 65, (2, 33), (), torch.float64)
    weight = (torch.randn(33, 33, generator=torch.Generator().manual_seed(2), dtype=torch.float64) / 6).requires_grad_()
    out, end = recurrent(of.rule, ATAN, 1.0, detach, x, None, states, weight, parameters)
    expected, expected_end = eager_recurrent(of.rule, x, torch.zeros_like(x[0]), states, weight, parameters, detach)
    assert torch.equal(out, expected)
    same_gradients([x, weight, *states, *parameters], 1e-12, [out, *end], [expected, *expected_end])


def test_recurrent_loop_with_16_bits(interpreter: None) -> None:
    (x,), states, parameters = tensors(LIF(), 5, (2, 33), (), torch.float32)
    weight = torch.randn(33, 33, generator=torch.Generator().manual_seed(2)).requires_grad_()
    out, end = recurrent(LIF().rule, ATAN, 1.0, False, x.bfloat16(), None, states, weight, parameters)
    rounded = recurrent(LIF().rule, ATAN, 1.0, False, x.bfloat16().float(), None, states, weight.bfloat16().float(), parameters)
    (g,) = torch.autograd.grad(out.float().sum() + end[0].sum(), [weight])
    assert out.dtype == torch.bfloat16 and end[0].dtype == torch.float32 and g.dtype == torch.float32
    assert float((out.float() != rounded[0]).float().mean()) < 0.05  # x + W s is rounded to 16 bits on its way


def test_what_the_recurrent_loop_does_not_take(interpreter: None) -> None:
    x, values = torch.zeros(2, 3, 4), [torch.tensor(0.9), torch.tensor(1.0)]
    for rule, problem in ((LI().rule, "'li' never fires"), (CONDUCTANCE.rule, "'conductance' has ('ge', 'gi')")):
        with pytest.raises(ValueError, match=re.escape(f"needs a rule that fires and has one input, {problem}")):
            recurrent(rule, ATAN, 1.0, False, x, None, None, torch.zeros(4, 4), values)
    with pytest.raises(ValueError, match=re.escape("weight must be [N, N] beside x [T, B, N], got (4, 3) and (2, 3, 4)")):
        recurrent(LIF().rule, ATAN, 1.0, False, x, None, None, torch.zeros(4, 3), values)
    with pytest.raises(ValueError, match=re.escape("s0 must be (3, 4) like a step of x, got (4,)")):
        recurrent(LIF().rule, ATAN, 1.0, False, x, torch.zeros(4), None, torch.zeros(4, 4), values)


# Compiled, without a GPU.

def compiled(text: str, name: str, rule: Rule, storage: str = "fp32", state: str = "fp32", fusion: bool = False) -> Any:
    """The kernel as Triton compiles it for sm_90: PTX, and machine code from its own assembler."""
    kernel = getattr(printed_triton.load_triton(text), name)
    rows = {"_out", "_g", *(f"_{tag}_{x}" for tag in ("all", "gall") for x in rule.inputs)}
    packed = "_word" in text
    sums = {f"_gall_{p}" for p in rule.parameters}
    types = {"_T": "i32", "_M": "i32", "_first": "i32", "_other": "i32", "_block": "constexpr", "_flag": "*i32"}
    for a in kernel.arg_names:
        kind = storage if a in rows and not (a == "_out" and packed) else "i32" if a == "_out" else state
        types.setdefault(a, "*fp64" if a in sums else f"*{kind}")
    source = ASTSource(kernel, {a: types[a] for a in kernel.arg_names}, {(kernel.arg_names.index("_block"),): cuda.BLOCK})
    return triton.compile(source, target=GPUTarget("cuda", 90, 32),
                          options={"num_warps": cuda.WARPS, "enable_fp_fusion": fusion})


def both(of: Neuron, state: str = "float32", slope: Any = ATAN) -> list[tuple[str, str]]:
    """The texts of forward, as in training, and of backward with all gradients, as they are launched for long inputs."""
    steps = cuda.segment(of.rule, torch.empty(257, 1, 1, dtype=getattr(torch, state)))
    arrays = frozenset(of.rule.parameters[:1])
    return [(printed_triton.forward_text(of.rule, arrays, state, steps, True, False, False), "forward"),
            (printed_triton.backward_text(of.rule, slope, False, arrays, frozenset(of.rule.parameters), state, steps, False,
                                          False), "backward")]


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


class Card:
    """What Triton asks of a driver before it compiles."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def test_what_is_launched_compiles_for_sm_90_without_contraction(compiler: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(driver, "_active", Card())
    monkeypatch.setattr(JITFunction, "__getitem__", lambda self, grid: lambda **given: made.append(
        (given, self.run(grid=grid, warmup=True, **given))))  # all of a launch but the launch
    (x,), states, parameters = tensors(LIF(), 257, (1, 32), (), torch.float32)
    loop, values, row = cuda.Loop(LIF().rule, ATAN), [p.detach() for p in parameters], torch.empty(1, 32)
    steps, kept = cuda.segment(loop.rule, x), torch.empty(17, 1, 32)
    cuda.forward(loop.rule, frozenset(), [x], x, states, [row], [kept], values, steps)
    cuda.backward(loop, frozenset(), [x], x, [x], [kept], [row], [row], values, {"decay": row.double()}, steps)
    (_, forward), (_, backward) = made
    for given, kernel in made:
        assert given["enable_fp_fusion"] is False  # which some releases of Triton take for true
        assert ".target sm_90" in kernel.asm["ptx"] and kernel.asm["cubin"][:4] == b"\x7fELF"
        assert "fma" not in kernel.asm["ptx"] and ".ftz" not in kernel.asm["ptx"]  # as torch computes
    assert "FMUL" in forward.asm["sass"] and "FFMA" not in forward.asm["sass"]
    assert set(re.findall(r"div\.\S+", backward.asm["ptx"])) == {"div.rn.f32"}  # which is made of them


def test_contraction_would_be_seen(compiler: None) -> None:
    text, name = both(LIF())[0]
    assert "fma.rn.f32" in compiled(text, name, LIF().rule, fusion=True).asm["ptx"]


def test_packed_spikes_and_16_bits_compile(compiler: None) -> None:
    text = printed_triton.forward_text(LIF().rule, frozenset(), "float32", 16, False, True, False)
    assert "st.global.b32" in compiled(text, "forward", LIF().rule, "bf16").asm["ptx"]
    text = printed_triton.forward_text(LI().rule, frozenset(), "float32", 1, False, False, False)
    assert "cvt.rn.bf16.f32" in compiled(text, "forward", LI().rule, "bf16").asm["ptx"]  # to the nearest


@pytest.mark.slow
@pytest.mark.parametrize("of", NEURONS, ids=IDS)
def test_every_neuron_compiles(of: Neuron, compiler: None) -> None:
    for state, storage, kind in (("float32", "bf16", "fp32"), ("float64", "fp64", "fp64")):
        for text, name in both(of, state):
            ptx = compiled(text, name, of.rule, storage, kind).asm["ptx"]
            assert ("fma." in ptx) == (of.rule.name in ("upstroke", "mpr_soft"))  # libdevice's exp and log are made of them
            assert set(re.findall(r"div\.\w+", ptx)) <= {"div.rn"}


@pytest.mark.slow
@pytest.mark.parametrize(("state", "kind"), [("float32", "fp32"), ("float64", "fp64")])
def test_the_power_of_reste_compiles(state: str, kind: str, compiler: None) -> None:
    text, name = both(LIF(), state, nn.reste().slope)[1]
    assert "libdevice.pow" in text
    assert compiled(text, name, LIF().rule, kind, kind).asm["cubin"][:4] == b"\x7fELF"


def test_without_a_card_the_benchmark_refuses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(typer.Exit):
        gpu.gpu()
    assert capsys.readouterr().err == ("refused: there is no CUDA device, and these numbers are measured on one or not "
                                       "given\n")


def test_nn_needs_triton_only_when_a_kernel_is_loaded() -> None:
    child = ("import sys, snnsim.nn, snnsim.nn.cuda_recurrent; print('triton' in sys.modules); sys.modules['triton'] = None\n"
             "try: snnsim.nn.cuda.load_triton('')\nexcept ImportError as e: print(e)")
    output = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True,
                            cwd=Path(__file__).parents[1])
    assert output.stdout.splitlines() == [
        "False", 'triton is missing, which compiles neurons for CUDA: pip install "snnsim[gpu]"']
