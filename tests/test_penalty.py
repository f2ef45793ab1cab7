"""Penalties of the membrane: the fused loops equal the eager rule, nothing is left of a call, and the loss is Guo et al.'s."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

import snnsim.nn as nn
from snnsim.neurons import AMLIF, LI, LIF, MPRLIF, AdaptiveLIF, PscExp
from snnsim.nn import printed, printed_recurrent, rmp
from snnsim.nn.eager import eager_recurrent
from snnsim.nn.fused import Loop
from snnsim.nn.penalty import cost_of
from snnsim.nn.recurrent import Recurrence
from snnsim.rule import Neuron, exp, where
from tests.poison import poison
from tests.test_gradients import TOLERANCE, tensors
from tests.test_torch_around import quiet

ATAN = nn.SURROGATES["atan"].slope
SIZES = [(1, 1), (2, 31), (257, 33), (2, 1025)]  # steps, neurons


def of_everything(v: Any, a: Any, s: Any, decay: Any, rho: Any, theta: Any, beta: Any) -> Any:
    return v * v * (theta - 0.2 * s) + beta * a * exp(where(v < 1.0, v, 1.0)) + s * rho * decay


CASES = [(LIF(theta=0.5), nn.RMP(2)), (AdaptiveLIF(), of_everything)]
LEARNED: dict[str, Any] = {"learn": ("decay", "theta"), "dt": 1.0}  # every gradient everywhere: tests share their kernels


poisoned = poison("fused", "recurrent", "sparse")


def same(leaves: Sequence[torch.Tensor], tolerance: float, got: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor],
         names: Sequence[str], mask: torch.Tensor | None = None) -> None:
    """Results, and gradients of random seeds of them all."""
    assert torch.equal(got[0], wanted[0]) and got[-1].dtype == wanted[-1].dtype == torch.float64
    torch.testing.assert_close(list(got), list(wanted), rtol=tolerance, atol=tolerance)
    g = torch.Generator().manual_seed(1)
    seeds = [torch.randn(t.shape, generator=g, dtype=torch.float64).to(t.dtype) + 0.5 for t in got]
    ours = torch.autograd.grad(list(got), leaves, seeds, materialize_grads=True)
    theirs = torch.autograd.grad(list(wanted), leaves, seeds, allow_unused=True, materialize_grads=True)
    for name, a, b in zip(names, ours, theirs, strict=True):
        b = b * mask if name == "weight" and mask is not None else b
        assert float((a - b).abs().max()) <= tolerance * float(b.abs().max()), name


def compare(neuron: Neuron, penalty: Any, steps: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float64,
            parameter_shape: tuple[int, ...] = (), detach: bool = False) -> None:
    inputs, states, parameters = tensors(neuron, steps, shape, parameter_shape, dtype)
    cost = cost_of(penalty, neuron.rule)
    out, end = Loop(neuron.rule, ATAN, 1.0, detach, cost)(inputs, states, parameters)
    expected, expected_end = nn.eager(neuron.rule, ATAN, inputs, states, parameters, detach_reset=detach, cost=cost)
    same([*inputs, *states, *parameters], TOLERANCE[dtype], [out, *end], [expected, *expected_end],
         [*neuron.rule.inputs, *neuron.rule.states, *neuron.rule.parameters])


@pytest.mark.parametrize(("neuron", "penalty"), CASES, ids=["lif, square", "adaptive, all it may take"])
def test_sums_and_gradients_equal_autograd(neuron: Neuron, penalty: Any) -> None:
    for steps, n in SIZES:
        compare(neuron, penalty, steps, (1, n))


def test_float32() -> None:
    compare(LIF(theta=0.5), nn.RMP(2), 33, (3, 31), torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize(("neuron", "penalty", "dtype", "detach", "each"), [
    (LIF(reset="hard"), nn.RMP(1), torch.float32, True, False), (MPRLIF(), nn.RMP(1), torch.float64, False, True),
    (MPRLIF(reset="hard"), nn.RMP(2), torch.float32, False, False), (AdaptiveLIF(), of_everything, torch.float64, True, True)])
def test_other_resets_and_parameters_of_each_neuron(neuron: Neuron, penalty: Any, dtype: torch.dtype, detach: bool,
                                                    each: bool) -> None:
    for steps, n in ((1, 1), (2, 1023), (100, 33)):
        compare(neuron, penalty, steps, (2, n), dtype, (n,) if each else (), detach)


def test_spikes_and_other_gradients_are_those_without_a_penalty_bit_for_bit() -> None:
    inputs, states, parameters = tensors(LIF(theta=0.5), 40, (3, 33), (), torch.float64)
    leaves, results = [*inputs, *states, *parameters], []
    for cost in (None, rmp.square):
        out, (v, *_) = Loop(LIF().rule, ATAN, 1.0, False, cost)(inputs, states, parameters)
        results.append([out, v, *torch.autograd.grad(out.square().sum() + v.sum(), leaves)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True)) and results[0][0].any()


def test_kernels_without_a_penalty_are_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    rule, none, some = AdaptiveLIF().rule, frozenset[str](), frozenset({"theta"})
    texts = [(printed.forward_text(rule, some), printed.forward_text(rule, some, of_everything)),
             (printed.backward_text(rule, ATAN, False, some, none), printed.backward_text(rule, ATAN, False, some, none,
                                                                                          of_everything))]
    for plain, paid in texts:
        assert "cost" not in plain and "cost" in paid
    loaded: list[str] = []
    monkeypatch.setattr(printed_recurrent, "load_printed", lambda text, dtype: (loaded.append(text), printed)[1])
    monkeypatch.setattr(printed, "forward", None, raising=False)
    printed_recurrent.forward_kernel.__wrapped__(rule, "x", "dense", some, "float32")
    printed_recurrent.forward_kernel.__wrapped__(rule, "x", "dense", some, "float32", of_everything)
    # what a cost adds are lines of its own and arguments at the end: without them the text is the plain one
    for plain, paid in (texts[0], loaded):
        assert "cost" not in plain
        kept = [re.sub(r", _cost(\[[^\]]*\])?", "", line) for line in paid.splitlines()
                if not re.match(r" *(clear\(_cost|_cost\[_i\])", line)]
        operations = {re.sub(r"_\d+", "_", line) for line in kept}
        assert operations >= {re.sub(r"_\d+", "_", line) for line in plain.splitlines()}


def test_sums_are_the_same_bits_on_any_number_of_threads() -> None:
    torch.manual_seed(0)
    x = torch.randn(20, 31, 600).double()
    for layer in (nn.Neuron(LIF(theta=0.5), penalty=nn.RMP(), **LEARNED),
                  nn.Recurrent(LIF(theta=0.5), 600, penalty=nn.RMP(), **LEARNED).double()):
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            given = x.clone().requires_grad_()
            with nn.penalties() as found:
                out, _ = layer(given)
            total = found.total()
            results.append([out, total, *torch.autograd.grad(out.sum() + total, [given, layer.raw_decay, layer.raw_theta])])
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("masked", [False, True])
def test_a_recurrent_layer_equals_the_eager_loop(masked: bool) -> None:
    rule, cost = LIF().rule, rmp.square
    for steps, samples, n in ((1, 1, 1), (40, 9, 33)):
        g = torch.Generator().manual_seed(steps)
        normal = lambda *size: torch.randn(size, generator=g, dtype=torch.float64)  # noqa: E731, B023
        x, v, first = 0.3 + 0.5 * normal(steps, samples, n), 0.2 + 0.3 * normal(samples, n), torch.zeros(samples, n).double()
        mask = torch.rand(n, n, generator=g) < 0.5 if masked else None
        weight = 0.3 * normal(n, n) / n ** 0.5 * (1.0 if mask is None else mask)
        parameters = [torch.tensor(p, dtype=torch.float64) for p in (0.9, 0.5)]
        leaves = [t.requires_grad_() for t in (x, v, weight, *parameters)]
        out, end = Recurrence(Loop(rule, ATAN, cost=cost), "x", mask)([x], first, [v], weight, parameters)
        expected, wanted = eager_recurrent(rule, ATAN, [x], first, [v], weight, parameters, cost=cost)
        same(leaves, 1e-12, [out, *end], [expected, *wanted], ["x", "v", "weight", *rule.parameters], mask)


def test_territories_equal_the_eager_loop() -> None:
    torch.manual_seed(3)
    layer = nn.Astrocytes(AMLIF(territory=True, theta=0.5), np.arange(9) // 4, penalty=nn.RMP(2), dt=1.0)
    x, g, found = torch.rand(17, 2, 9, dtype=torch.float64), [], []
    for run in (layer.run, layer.eager):
        leaf = x.clone().requires_grad_()
        inputs, state = layer.started(leaf, None)
        out, after = run(inputs, state, layer.parameters_for(leaf), cost=layer._cost)
        found.append([out, *after])
        g.append(*torch.autograd.grad(out.sum() + 0.3 * after[-1].sum(), leaf))
    assert all(float((a - b).detach().abs().max()) < 1e-12 for a, b in zip(*found, strict=True)) and found[0][0].any()
    assert float((g[0] - g[1]).abs().max()) < 1e-12 * float(g[1].abs().max())


@pytest.mark.parametrize("recurrent", [False, True])
def test_what_runs_on_cuda_equals_the_fused_loop(recurrent: bool) -> None:
    """There a layer that pays is eager; here the same method on the CPU."""
    torch.manual_seed(0)
    mask = torch.rand(33, 33) < 0.5
    options: dict[str, Any] = {**LEARNED, "penalty": nn.RMP(2)}
    layer = nn.Recurrent(LIF(theta=0.5), 33, mask=mask, **options) if recurrent else nn.Neuron(LIF(theta=0.5), **options)
    layer.double()
    inputs, state = layer.started((0.3 + torch.randn(20, 3, 33)).double().requires_grad_(), None)
    leaves = [inputs[0], *layer.parameters()]
    results = [run(inputs, state, layer.parameters_for(inputs[0]), cost=rmp.square) for run in (layer.run, layer.eager)]
    (out, end), (expected, wanted) = results
    same(leaves, 1e-12, [out, *end], [expected, *wanted], ["x", *(n for n, _ in layer.named_parameters())])


def test_no_potential_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A penalty takes one row a layer forward, its sums, and one row backward, their gradient."""
    taken: list[tuple[int, ...]] = []

    def take(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        taken.append(tuple(shape))
        return torch.empty(tuple(shape), dtype=dtype)

    monkeypatch.setattr("snnsim.nn.fused.take", take)
    x = torch.randn(40, 3, 31).double().requires_grad_()
    layer, rows = nn.Neuron(LIF(theta=0.5), penalty=nn.RMP(2), **LEARNED), []
    for paying in (False, True):
        taken.clear()
        with nn.penalties() as found:
            if not paying:
                layer.set_penalty(None)
            out, _ = layer(x)
            layer.set_penalty(nn.RMP(2))
        (out.sum() + (found.total() if paying else 0.0)).backward()
        rows.append(sorted(taken))
    for shape in rows[0]:
        rows[1].remove(shape)
    assert rows[1] == [(3, 31), (3, 31)]


def net_of(**options: Any) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(24, 20), nn.Neuron(LIF(theta=0.5), **LEARNED, **options),
                        nn.Recurrent(LIF(theta=0.5), 20, **LEARNED, **options), nn.Linear(20, 5), nn.Readout()).double()
    net[4].set_dt(1.0)
    return net


def input_of(steps: int = 23, samples: int = 3) -> torch.Tensor:
    return torch.randn(steps, samples, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def gradients(net: torch.nn.Module, run: Any) -> dict[str, torch.Tensor]:
    """Of the mean output and the penalty, by name, and the total."""
    net.zero_grad()
    with nn.penalties() as found:
        out = run(input_of())[0]
    total = found.total()
    (out.mean(0).square().sum() + total).backward()
    return {"total": total.detach(), **{k: p.grad.clone() for k, p in net.named_parameters() if p.grad is not None}}


def close(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], tolerance: float = 1e-12) -> None:
    assert one.keys() == two.keys() and len(one) == 10
    for k in one:
        torch.testing.assert_close(one[k], two[k], rtol=0.0, atol=tolerance * float(two[k].abs().max()))


def test_total_is_the_mean_over_samples_neurons_and_steps_and_then_layers() -> None:
    net, x = net_of(penalty=nn.RMP(2)), input_of()
    with nn.penalties() as found:
        net(x)
    of_layer = [torch.minimum(u, 1.0 - u).where((u > 0.0) & (u < 1.0), torch.minimum(u.abs(), (1.0 - u).abs())).square().mean()
                for u in nn.membranes(net, x).values()]
    assert [layer for layer, _ in found.layers()] == [net[1], net[2]]
    torch.testing.assert_close(found.total(), torch.stack(of_layer).mean(), rtol=1e-12, atol=0.0)
    with nn.penalties() as empty:
        net[0](x)
    with pytest.raises(ValueError, match=re.escape("no layer with a penalty ran within nn.penalties()")):
        empty.total()


def test_nothing_is_left_of_a_call() -> None:
    net = net_of(penalty=nn.RMP(2))
    plain = net_of()
    want, before = gradients(net, net), {k: v.clone() for k, v in net.state_dict().items()}
    assert set(net.state_dict()) == set(plain.state_dict())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(net(input_of())[0], plain(input_of())[0])  # nobody asks: no cost is computed
    with nn.penalties() as outer:
        with nn.penalties() as inner:
            net(input_of())
        assert float(inner.total().detach()) == float(want["total"])
    with pytest.raises(ValueError, match="no layer with a penalty ran"):
        outer.total()
    close(gradients(net, net), want, 0.0)
    twin = copy.deepcopy(net)
    close(gradients(twin, twin), want, 0.0)
    nn.set_penalty(plain, nn.RMP(2))
    close(gradients(plain, plain), want, 0.0)
    nn.set_penalty(plain, None)
    with nn.penalties() as found:
        plain(input_of())
    with pytest.raises(ValueError, match="no layer"):
        found.total()


@pytest.mark.parametrize("inside", [False, True])
def test_a_checkpointed_region_is_counted_once(inside: bool) -> None:
    """Its forward runs again in backward, where nothing is added, be the context open or not."""
    net = net_of(penalty=nn.RMP(2))
    want = gradients(net, net)
    for run in (lambda x: checkpoint(net, x, use_reentrant=False), lambda x: nn.checkpointed(net, x, 5)):
        close(gradients(net, run), want)
        if inside:
            net.zero_grad()
            with nn.penalties() as found:
                out = run(input_of())[0]
                (out.mean(0).square().sum() + found.total()).backward()
                assert float(found.total().detach()) == pytest.approx(float(want["total"]), rel=1e-12)
            close({"total": want["total"], **{k: p.grad for k, p in net.named_parameters() if p.grad is not None}}, want)


@quiet
def test_around_a_compiled_net() -> None:
    torch.compiler.reset()
    net = net_of(penalty=nn.RMP(2))
    try:
        close(gradients(net, torch.compile(net, backend="eager")), gradients(net, net))
    finally:
        torch.compiler.reset()


def test_images_and_channels_last() -> None:
    torch.manual_seed(0)
    layer = nn.Neuron(AdaptiveLIF(), learn=("decay", "rho", "theta", "beta"), shape=(4, 1, 1), dt=1.0, penalty=of_everything)
    x, results = torch.randn(6, 2, 4, 5, 3).double(), []
    for given in (x.clone(), x.movedim(2, 4).contiguous().movedim(4, 2)):
        given.requires_grad_()
        with nn.penalties() as found:
            layer(given)
        results.append([found.total(), *torch.autograd.grad(found.total(), [given, layer.raw_theta])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def test_what_cannot_be_a_penalty_is_refused() -> None:
    def unknown(v: Any, q: Any) -> Any:
        return v * q

    def two(v: Any, s: Any) -> Any:
        return v, s

    def power(v: Any) -> Any:
        return v ** 2.0

    def constant(v: Any) -> Any:
        return 1.0

    for penalty, said in ((unknown, "the penalty unknown takes 'q'; of rule 'lif_soft' it may take v, s, decay, theta"),
                          (two, "the penalty two must return one float"), (constant, "the penalty constant must return one"),
                          (power, "the penalty power uses **, which has no derivative here: multiply, or use exp and log"),
                          (lambda v: abs(v), "uses the name 'abs'"),
                          (lambda v: v + TOLERANCE, "uses the name 'TOLERANCE'")):
        with pytest.raises(ValueError, match=re.escape(said)):
            nn.Neuron(LIF(), penalty=penalty)
    with pytest.raises(TypeError, match="penalty must be a plain Python function"):
        nn.Neuron(LIF(), penalty=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a penalty is for neurons that fire, and rule 'li' never does"):
        nn.Readout(penalty=nn.RMP())
    with pytest.raises(ValueError, match=re.escape("RMP needs a state v and a parameter theta, and rule 'psc_exp")):
        nn.Neuron(PscExp(), penalty=nn.RMP())
    net = nn.Sequential(nn.Neuron(LIF()), nn.Neuron(PscExp()))
    with pytest.raises(ValueError, match="layer 1 .Neuron.: RMP needs a state v"):
        nn.set_penalty(net, nn.RMP())
    assert net.get_submodule("0").penalty is None  # one that takes it, before the one that does not
    with pytest.raises(ValueError, match="p must be one of 1, 2, got 3"):
        nn.RMP(3)
    nn.set_penalty(nn.Sequential(nn.Neuron(LI())), nn.RMP())  # what never fires is passed over


def test_membranes_are_the_potentials_before_the_decision() -> None:
    net, x = net_of(), input_of()
    found = nn.membranes(net, x)
    assert list(found) == ["1", "2"] and all(u.shape == (23, 3, 20) for u in found.values())
    out, _ = net[1](net[0](x))
    assert torch.equal((found["1"] >= 0.5).double(), out) and out.any()
    assert torch.equal((found["2"] >= 0.5).double(), net[2](out)[0])
    state = net(x[:9])[1]
    np.testing.assert_allclose(nn.membranes(net, x[9:], state)["2"], found["2"][9:], rtol=0.0, atol=1e-12)
    (alone,) = nn.membranes(net[1], net[0](x)).values()
    assert torch.equal(alone, found["1"])


def test_card3_gradient_is_the_analytic_one() -> None:
    """d L / d u = p sign(u - o) |u - o|^(p - 1) / numel, through a step that charges alone."""
    u = torch.tensor([[-0.7, -0.0, 0.1, 0.4999, 0.5, 0.9, 1.0, 1.4, 0.0]], dtype=torch.float64)
    o = (u >= 0.5).double()
    for p, layer in ((1, nn.Neuron(MPRLIF(), dt=1.0, penalty=nn.RMP(1))),
                     (2, nn.Neuron(LIF(theta=0.5), penalty=nn.RMP(2), **LEARNED))):
        x = u[None].clone().requires_grad_()
        with nn.penalties() as found:
            layer(x)
        (g, *_) = torch.autograd.grad(found.total(), [x, *layer.parameters()])
        assert float(found.total().detach()) == pytest.approx(float((u - o).abs().pow(p).mean()), rel=1e-15)
        wanted = p * torch.sign(u - o) * (u - o).abs() ** (p - 1) / u.numel()
        torch.testing.assert_close(g[0], wanted, rtol=1e-15, atol=0.0)


def test_card3_another_threshold_is_another_unit() -> None:
    """Weights and threshold times one factor: the same loss."""
    x = torch.randn(9, 3, 31, dtype=torch.float64)
    totals = []
    for scale in (0.5, 1.0, 2.0):
        layer = nn.Neuron(LIF(theta=scale), dt=1.0, penalty=nn.RMP(2))
        with nn.penalties() as found:
            layer(scale * x)
        totals.append(float(found.total()))
    assert totals[0] == totals[1] == totals[2] > 0.0


def test_card3_falls_monotonically_on_free_potentials() -> None:
    layer = nn.Neuron(LIF(theta=0.5), penalty=nn.RMP(2), **LEARNED)
    torch.manual_seed(0)
    u, losses = torch.randn(1, 4, 200, dtype=torch.float64).requires_grad_(), []
    for _ in range(60):
        with nn.penalties() as found:
            layer(u)
        losses.append(float(found.total().detach()))
        g, *_ = torch.autograd.grad(found.total(), [u, *layer.parameters()])
        u = (u - 0.1 * u.numel() * g).detach().requires_grad_()
    assert all(b < a for a, b in pairwise(losses)) and losses[-1] < 1e-8 * losses[0]
