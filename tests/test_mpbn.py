"""Batch norm of the membrane (card 2): the fused loop is the eager one, and the fold decides the same for every number."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import snnsim.nn as nn
from snnsim import engine, lower
from snnsim.network import TimeBase
from snnsim.network_file import load_network, save_network
from snnsim.neurons import IF, LI, LIF, AdaptiveLIF, CubaLIF, leak
from snnsim.neurons.folded import fold, folded
from snnsim.neurons.normed import normed
from snnsim.nn.mpbn import eager_mpbn
from snnsim.rule import Neuron, Rule
from snnsim.train import build
from tests import oracle
from tests.poison import poison

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
TIME = TimeBase(1.0)
RESETS: list[Neuron] = [LIF(tau=4.0), LIF(tau=4.0, reset="hard"), LIF(tau=4.0, reset="none"), IF(), IF(reset="hard")]


poisoned = poison("fused_mpbn")


def made(neuron: Neuron, features: Any, dtype: torch.dtype = torch.float64, seed: int = 0, **options: Any) -> nn.MPBN:
    """A layer with a norm of random statistics; gamma has both signs, and is 0 once where there is more than one."""
    m = nn.MPBN(neuron, features, dt=1.0, **options).to(dtype)
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        m.weight.normal_(generator=g)
        m.weight[:1] *= float(len(m.weight) == 1)
        m.bias.normal_(0.0, 0.5, generator=g)
        m.running_mean.normal_(generator=g)
        m.running_var.uniform_(0.2, 2.0, generator=g)
    return m


def drive(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return (0.3 + torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype)


def differing(m: nn.MPBN, x: torch.Tensor, dtype: Any) -> int:
    """Decisions of the layer in evaluation that its folded neuron, trained neurons' loop and all, takes otherwise."""
    plain = nn.Neuron(m.fold(dtype, x.ndim - 2), dt=1.0)
    with torch.no_grad():
        return int((m.eval()(x)[0] != plain(x)[0]).sum())



# (i), (ii) the fold

@pytest.mark.parametrize(("neuron", "dtype"), [
    (RESETS[0], "float64"), (RESETS[1], "float64"), (RESETS[0], "float32"),
    *(pytest.param(n, d, marks=pytest.mark.slow) for n, d in (*((n, "float64") for n in RESETS[2:]), *(
        (n, "float32") for n in RESETS[1:])))], ids=lambda v: v if isinstance(v, str) else v.rule.name)
def test_card2_fold_is_exact(neuron: Neuron, dtype: str) -> None:
    m = made(neuron, 1000, getattr(torch, dtype))
    assert bool((m.weight < 0).any()) and bool((m.weight == 0).any()) and bool((m.weight > 0).any())
    x = drive(250, 4, 1000, dtype=getattr(torch, dtype))
    assert 0.02 < float(m.eval()(x)[0].detach().mean()) < 0.98
    assert differing(m, x, dtype) == 0  # of 10^6 decisions


def test_card2_fold_agrees_with_torchs_own_batch_norm() -> None:
    """The card's formula, with torch's batch norm as the unfolded side: none of 10^6 decisions differs in float64, and in
    float32 none farther than 1e-5 from its threshold."""
    for dtype in (torch.float64, torch.float32):
        m = made(LIF(tau=4.0), 1000, dtype).eval()
        x, v = drive(1000, 1, 1000, dtype=dtype), torch.zeros(1, 1000, dtype=dtype)
        values = {k: torch.from_numpy(np.array(p)) for k, p in m.fold(np.dtype(str(dtype)[6:])).values.items()}
        decay, theta = m.parameters_for(x)
        wrong, far = 0, 0
        for now in x:
            u = decay * v + now
            z = torch.nn.functional.batch_norm(u, m.running_mean, m.running_var, m.weight, m.bias, False, 0.0, m.eps)
            s = z >= theta
            other = (values["sign"] * (u - values["threshold"]) + values["constant"] >= 0) != s
            wrong += int(other.sum())
            far += int((other & ((u - values["threshold"]).abs() >= 1e-5)).sum())
            v = u - s.to(dtype) * theta
        assert far == 0 and wrong <= (0 if dtype == torch.float64 else 1), (dtype, wrong)


def test_card2_threshold_is_that_of_the_formula() -> None:
    p = {"decay": 0.9, "theta": 0.5, "mean": 0.2, "scale": np.array([2.0, -4.0]), "shift": 0.1}
    found = fold(LIF().rule, p, np.float64).values
    np.testing.assert_allclose(found["threshold"], 0.2 + 0.4 / p["scale"], rtol=1e-14)
    assert np.asarray(found["sign"]).tolist() == [1.0, -1.0] and not np.any(found["constant"])
    assert float(np.asarray(found["theta"])) == 0.5  # what a soft reset subtracts


NUMBER = st.floats(-1e3, 1e3).filter(lambda v: v == 0.0 or abs(v) > 1e-6)


@settings(deadline=None)
@given(theta=st.floats(1e-3, 10.0), mean=NUMBER, scale=NUMBER, shift=NUMBER, bits=st.sampled_from(["float32", "float64"]),
       others=st.lists(st.floats(-1e4, 1e4, width=32), max_size=10))
def test_card2_fold_decides_the_same_at_and_around_the_threshold(theta: float, mean: float, scale: float, shift: float,
                                                                 bits: str, others: list[float]) -> None:
    dtype = np.dtype(bits)
    p = {"decay": 0.5, "theta": theta, "mean": mean, "scale": scale, "shift": shift}
    rule, found = normed(LIF().rule, "raw"), fold(LIF().rule, p, dtype)
    values, folds = ([np.asarray(of[k]).astype(dtype) for k in names] for of, names in (
        (p, rule.parameters), (found.values, found.rule.parameters)))
    at = np.asarray(found.values["threshold"], dtype)
    near = [at, np.nextafter(at, dtype.type(np.inf)), np.nextafter(at, dtype.type(-np.inf)), -at, at + 1, at - 1]
    u = np.array([*near, 0.0, *others], dtype)
    assert np.array_equal(rule.margin(u, *values) >= 0, found.rule.margin(u, *folds) >= 0)  # type: ignore[misc]


def test_card2_always_and_never() -> None:
    p = {"decay": 0.5, "theta": 1.0, "mean": 0.0, "scale": np.array([0.0, 0.0, 1e-300, -1e-300]),
         "shift": np.array([1.0, 0.9, 2.0, -2.0])}
    found = fold(LIF().rule, p, np.float64).values
    assert np.asarray(found["sign"]).tolist() == [0.0, 0.0, 1.0, -1.0]
    assert np.asarray(found["constant"]).tolist() == [1.0, -1.0, 0.0, 0.0]
    assert np.asarray(fold(LIF().rule, p, np.float32).values["constant"]).tolist() == [1.0, -1.0, 1.0, -1.0]


# lowering: the engine, the oracle and the layer

def nets(dtype: torch.dtype, recursion: Any) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), made(LIF(tau=4.0, theta=0.3), 4, dtype, recursion=recursion),
        nn.Conv2d(4, 3, 3), made(LIF(tau=4.0, reset="hard"), (3, 4, 4), dtype, 1, per="element", recursion=recursion),
        nn.Flatten(), nn.Linear(48, 9, bias=False), made(LIF(tau=4.0, theta=0.3), 9, dtype, 2, recursion=recursion),
        nn.Linear(9, 3), nn.Readout())
    nn.set_dt(net, 1.0)
    return net.to(dtype).eval()


@pytest.mark.parametrize(("dtype", "recursion"), [(torch.float64, "raw"), (torch.float64, "normalised"),
                                                  pytest.param(torch.float32, "raw", marks=pytest.mark.slow)])
def test_card2_lowered_net_spikes_as_the_layer(dtype: torch.dtype, recursion: str, tmp_path: Any) -> None:
    net = nets(dtype, recursion)
    network = lower(net, time=TIME, input_shape=(2, 8, 8))
    save_network(network, tmp_path / "net.h5")
    x = (torch.rand(20, 3, 2, 8, 8, generator=torch.Generator().manual_seed(3)) < 0.2).to(dtype)
    x[:5] = 0.0  # silence, in which some fire
    runs = [engine.run(n, x.numpy(), mode=mode) for n in (network, load_network(tmp_path / "net.h5"))
            for mode in ("event", "clock")]
    plain, h = oracle.run(network, x[:, 1].numpy()), x
    names = iter([p.name for p in network.populations[1:]])
    for m in net:
        h = m(h)[0] if isinstance(m, nn.Neuron) else m(h)
        if isinstance(m, nn.MPBN):
            name, spikes = next(names), h.detach().numpy()
            assert 0.005 < spikes.mean() < 0.9
            assert all(np.array_equal(r.spikes[name].dense(), spikes) for r in runs)
            assert np.array_equal(plain.spikes[name], spikes[:, 1])
    assert all(np.array_equal(r.prediction, h.mean(0).argmax(-1).numpy()) for r in runs)


def test_card2_spontaneous_neurons_are_found_ticked_and_reported() -> None:
    p = {"decay": 0.5, "theta": 1.0, "mean": np.array([0.0, 2.0, -2.0, 2.0, 0.0, 0.0]),
         "scale": np.array([1.0, -1.0, 1.0, 1.0, 0.0, 0.0]), "shift": np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.5])}
    silent = [False, True, True, False, True, False]  # th = 1, <= 1, -1, 3, always, never
    net = nn.Sequential(nn.Linear(2, 6, bias=False), nn.MPBN(LIF(tau=2.0, theta=1.0), 6, eps=1e-30),
                        nn.Linear(6, 2, bias=False), nn.Neuron(IF())).double().eval()
    nn.set_dt(net, 1.0)
    with torch.no_grad():
        net[1].weight.copy_(torch.from_numpy(p["scale"]))
        net[1].bias.copy_(torch.from_numpy(p["shift"]))
        net[1].running_mean.copy_(torch.from_numpy(p["mean"]))
    network = lower(net, time=TIME, input_shape=(2,))
    assert network.populations[1].spontaneous.tolist() == silent and not network.populations[2].spontaneous.any()
    assert network.notes == (
        "layer 1 (MPBN): the norm of its membrane folded into 6 thresholds, with the same decisions in float64; 1 fire below "
        "theirs, 1 always, 1 never",
        "layer 1 (MPBN): 3 of 6 neurons fire at rest, without any input, and are updated at every step")
    counts = np.zeros((6, 1, 2))
    result = engine.run(network, counts)
    fired = result.spikes[network.populations[1].name].dense()
    assert np.array_equal(fired, net[1](net[0](torch.from_numpy(counts)))[0].detach().numpy())
    assert fired[0, 0].astype(bool).tolist() == silent
    assert result.ticked > 0.0 and result.updates > 0.0
    with torch.no_grad():  # those of no such neuron sleep in silence
        net[1].weight.fill_(1.0)
        net[1].bias.fill_(0.0)
        net[1].running_mean.fill_(0.5)
    asleep = engine.run(lower(net, time=TIME, input_shape=(2,)), counts)
    assert asleep.ticked == 0.0 and asleep.updates == 0.0


def test_card2_normalised_is_not_a_threshold() -> None:
    m = made(LIF(), 5, recursion="normalised")
    with pytest.raises(ValueError, match="recursion='normalised' does not fold into a threshold: its norm is carried"):
        m.fold(np.float64)
    rule = normed(LIF().rule, "normalised")
    assert rule.bound is None and rule.leap is None  # so the engine never lets it sleep


@pytest.mark.parametrize("neuron", [CubaLIF(), AdaptiveLIF(), LI()], ids=lambda n: n.rule.name)
def test_card2_rules_of_other_forms_are_refused(neuron: Neuron) -> None:
    with pytest.raises(ValueError, match=f"rule '{neuron.rule.name}' cannot take a batch norm of its membrane: that needs one "
                                         "membrane v and one input, and a neuron that fires at v >= a parameter"):
        nn.MPBN(neuron, 5)


def _sloped(v: float, x: float, decay: float, scale: float, theta: float) -> float:
    return decay * v + scale * x


def _over(v: float, decay: float, scale: float, theta: float) -> float:
    return v - theta


def _taken(v: float, s: float, decay: float, scale: float, theta: float) -> float:
    return v - s * theta


def test_card2_a_name_that_the_norm_needs_is_refused() -> None:
    rule = Rule("scaled", _sloped, _over, _taken)
    with pytest.raises(ValueError, match="rule 'scaled' has a value 'scale' of its own, a name that is needed for its norm"):
        made(rule(decay=0.9, scale=1.0, theta=1.0), 3).eval()(drive(2, 2, 3))


def test_card2_a_rule_that_does_not_rest_at_zero_never_sleeps() -> None:
    assert folded(LIF().rule).bound is not None and folded(LIF().rule).leap is not None and folded(IF().rule).bound is not None
    assert folded(leak.BY_TAU["kept", "soft"]).bound is None


# training: the fused loop is the eager one

def compare(neuron: Neuron, size: tuple[int, ...], features: Any, dtype: torch.dtype = torch.float64, last: bool = False,
            **options: Any) -> None:
    m = made(neuron, features, dtype, **options)
    if m.recursion == "normalised":  # a strong norm that is carried makes rounding grow from step to step
        m.weight.data.clamp_(-0.5, 0.5)
    x, v = drive(*size, dtype=dtype), drive(*size[1:], dtype=dtype, seed=2).requires_grad_()
    x = (x.movedim(2, -1).contiguous().movedim(-1, 2) if last else x).requires_grad_()
    leaves = [x, v, *m.parameters()]
    before = [b.clone() for b in m.buffers()]
    out, (end,) = m(x, (v,))
    wanted_out, wanted_end, mean, var, count = eager_mpbn(
        m.rule, m.surrogate.slope, x, v, m.parameters_for(x), m.weight, m.bias, per=m.per, recursion=m.recursion, eps=m.eps,
        width=m.surrogate.width, detach_reset=m.detach_reset)
    assert torch.equal(out, wanted_out)
    torch.testing.assert_close(end, wanted_end, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    g = torch.Generator().manual_seed(4)
    seeds = [torch.randn(t.shape, generator=g, dtype=torch.float64).to(dtype) + 0.5 for t in (out, end)]
    got, wanted = (torch.autograd.grad(outs, leaves, seeds) for outs in ([out, end], [wanted_out, wanted_end]))
    for name, a, b in zip(["x", "v", *dict(m.named_parameters())], got, wanted, strict=True):
        assert float((a - b).detach().abs().max()) <= TOLERANCE[dtype] * float(b.detach().abs().max()), name
    for mu, s2 in zip(mean, var * (count / (count - 1)), strict=True):  # once for each step
        before[0].lerp_(mu.to(dtype), 0.1)
        before[1].lerp_(s2.to(dtype), 0.1)
    torch.testing.assert_close([*m.buffers()][:2], before[:2], rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert int(m.num_batches_tracked) == size[0]


# At least three values a statistic: two are normed to -1 and 1 whatever they were, and the gradient is but rounding.
SIZES = [(1, 3, 1), (2, 5, 31), (257, 3, 3), (3, 4, 33), (2, 33, 1023)]


@pytest.mark.parametrize("recursion", ["raw", "normalised"])
def test_card2_gradients_equal_autograd(recursion: Any) -> None:
    for shape in SIZES:
        compare(LIF(), shape, shape[2], recursion=recursion)
    compare(LIF(), (3, 3, 5, 4, 7), 5, recursion=recursion)
    compare(LIF(), (3, 3, 5, 4, 7), 5, recursion=recursion, last=True)
    compare(LIF(), (3, 3, 5, 4, 7), (5, 4, 7), recursion=recursion, per="element")
    compare(LIF(), (4, 5, 31), 31, recursion=recursion, per="element")


@pytest.mark.slow
@pytest.mark.parametrize(("neuron", "recursion", "dtype", "detach", "shape"), [
    (LIF(tau=4.0), "raw", torch.float32, True, ()), (LIF(tau=4.0, reset="hard"), "raw", torch.float64, False, (5, 1, 1)),
    (LIF(tau=4.0, reset="none"), "normalised", torch.float64, False, ()), (IF(), "normalised", torch.float32, False, (5, 1, 1)),
    (IF(reset="hard"), "raw", torch.float64, True, ()), (LIF(tau=4.0, reset="hard"), "raw", torch.float64, False, (5, 4, 7))],
    ids=str)
def test_card2_gradients_of_every_reset_and_parameter(neuron: Neuron, recursion: Any, dtype: torch.dtype, detach: bool,
                                                      shape: tuple[int, ...]) -> None:
    # the gradient of one decay for all is a sum that cancels, which float32 cannot hold to the tolerance
    learn = neuron.rule.parameters if dtype == torch.float64 else ("theta",)
    options: dict[str, Any] = {"recursion": recursion, "detach_reset": detach, "learn": learn, "shape": shape}
    for size in SIZES if not shape else []:
        compare(neuron, size, size[2], dtype, **options)
    compare(neuron, (3, 3, 5, 4, 7), 5, dtype, **options)  # (5, 4, 7) differ within a channel: that goes step by step
    compare(neuron, (3, 3, 5, 4, 7), (5, 4, 7), dtype, per="element", **options)


@pytest.mark.parametrize("shape", [(20, 16, 33), (9, 8, 11, 16, 15)], ids=str)
def test_card2_same_bits_for_any_number_of_threads(shape: tuple[int, ...]) -> None:
    results = []
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        m = made(LIF(), shape[2])
        x = drive(*shape).requires_grad_()
        out, (end,) = m(x)
        gradients = torch.autograd.grad([out, end], [x, *m.parameters()], [torch.ones_like(t) for t in (out, end)])
        results.append([out, end, *gradients, *m.buffers()])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("reset", ["hard", pytest.param("soft", marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", [(6, 5, 7), (4, 3, 5, 4, 3)], ids=str)
def test_card2_normalised_is_spikingjellys(shape: tuple[int, ...], reset: str) -> None:
    theirs_of = pytest.importorskip("spikingjelly.activation_based.neuron").MPBNLIFNode
    from spikingjelly.activation_based import functional, surrogate

    torch.manual_seed(0)
    node = theirs_of(tau=2.0, v_reset=0.0 if reset == "hard" else None, surrogate_function=surrogate.Sigmoid(4.0),
                     step_mode="m", **{"out_features" if len(shape) == 3 else "out_channels": shape[2]}).double()
    rule = leak.BY_TAU["kept", reset]
    m = made(rule(tau=2.0, theta=1.0), shape[2], recursion="normalised", surrogate="sigmoid")
    with torch.no_grad():
        node.vbn.weight.copy_(m.weight)
        node.vbn.bias.copy_(m.bias)
        node.vbn.running_mean.copy_(m.running_mean)
        node.vbn.running_var.copy_(m.running_var)
    for training in (True, True, False):
        x = drive(*shape, seed=5)
        xs = [x.clone().requires_grad_() for _ in range(2)]
        node.train(training), m.train(training)
        functional.reset_net(node)
        outs = [m(xs[0])[0], node(xs[1])]
        assert torch.equal(*outs) and 0.0 < float(outs[0].detach().mean()) < 1.0
        g = drive(*shape, seed=6)
        got, want = (torch.autograd.grad(o, [i, *p], g) for o, i, p in zip(
            outs, xs, ((m.weight, m.bias), (node.vbn.weight, node.vbn.bias)), strict=True))
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close([*m.buffers()], [*node.vbn.buffers()], rtol=1e-12, atol=1e-12)


def test_card2_evaluation_has_the_gradients_of_a_fixed_norm() -> None:
    m = made(LIF(), 7).eval()
    x = drive(9, 3, 7).requires_grad_()
    leaves = [x, m.weight, m.bias]
    norm = [*m.parameters_for(x), m.running_mean, m.weight / torch.sqrt(m.running_var + m.eps), m.bias]
    wanted, _ = nn.eager(normed(m.rule, "raw"), m.surrogate.slope, [x], None, norm)
    got = m(x)[0]
    assert torch.equal(got, wanted)
    seeds = drive(9, 3, 7, seed=8)
    for a, b in zip(torch.autograd.grad(got, leaves, seeds), torch.autograd.grad(wanted, leaves, seeds), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


# (iv) and the rest of what is refused

def test_card2_element_wise_with_a_batch_of_one_is_refused() -> None:
    m = nn.MPBN(LIF(), (3, 2, 2), per="element", dt=1.0)
    with pytest.raises(ValueError, match="MPBN with per='element' needs at least 2 values for each statistic in training, "
                                         "got 1: give a larger batch, or put the layer into evaluation mode"):
        m(drive(4, 1, 3, 2, 2, dtype=torch.float32))
    assert m.eval()(drive(4, 1, 3, 2, 2, dtype=torch.float32))[0].shape == (4, 1, 3, 2, 2)
    m = nn.MPBN(LIF(), 3, learn=["theta"], shape=(3, 1, 2), dt=1.0)  # step by step, as theta differs within a channel
    assert m(drive(4, 1, 3, 1, 2, dtype=torch.float32))[0].shape == (4, 1, 3, 1, 2)
    with pytest.raises(ValueError, match="MPBN with per='channel' needs at least 2 values"):
        nn.MPBN(LIF(), 3, dt=1.0)(drive(4, 1, 3, dtype=torch.float32))


@pytest.mark.parametrize(("options", "message"), [
    ({"features": 0}, "features must be a number of channels, positive, got 0"),
    ({"features": (3, 2, 2)}, "features must be a number of channels, positive, got (3, 2, 2)"),
    ({"features": (3, 2), "per": "element"}, "features must be a number of channels or (channels, height, width), positive"),
    ({"features": 3, "per": "layer"}, "per must be one of 'channel', 'element', got 'layer'"),
    ({"features": 3, "recursion": "none"}, "recursion must be one of 'raw', 'normalised', got 'none'"),
    ({"features": 3, "eps": 0.0}, "eps must be above 0")])
def test_card2_arguments(options: dict[str, Any], message: str) -> None:
    import re
    with pytest.raises(ValueError, match=re.escape(message)):
        nn.MPBN(LIF(), **options)


def test_card2_inputs_that_do_not_fit_are_refused() -> None:
    m = nn.MPBN(LIF(), 3, dt=1.0)
    with pytest.raises(ValueError, match=r"MPBN of \(3,\) channels takes \[T, B, 3, ...\], got \(2, 2, 4\)"):
        m(torch.zeros(2, 2, 4))
    with pytest.raises(ValueError, match="the input holds NaN or infinity"):
        m(torch.full((2, 2, 3), torch.nan))
    with pytest.raises(ValueError, match="moves its running statistics at every step, and chunks of steps are computed twice"):
        nn.checkpointed(nn.Sequential(m), torch.zeros(4, 2, 3), 2)


def test_card2_state_is_explicit_and_copies_are_equal(tmp_path: Any) -> None:
    m, x = made(LIF(), 7), drive(9, 3, 7)
    other = copy.deepcopy(m)
    again = nn.MPBN(LIF(), 7, dt=1.0).double()
    again.load_state_dict(m.state_dict())
    whole, end = m(x)
    first, state = other(x[:4])
    second, last = other(x[4:], state)
    assert torch.equal(whole, torch.cat([first, second])) and torch.equal(end[0], last[0])
    assert all(torch.equal(a, b) for a, b in zip(m.buffers(), other.buffers(), strict=True))
    assert torch.equal(again(x)[0], whole)
    assert sorted(m.state_dict()) == ["bias", "num_batches_tracked", "running_mean", "running_var", "weight"]
    plain = made(LIF(), 7, momentum=None)
    plain(x)
    assert int(plain.num_batches_tracked) == 9


def test_card2_recipe() -> None:
    net = build([{"kind": "linear", "inputs": 4, "outputs": 3}, {"kind": "mpbn", "features": 3, "per": "element", "tau": 5.0},
                 {"kind": "linear", "inputs": 3, "outputs": 2}, {"kind": "readout"}])
    assert isinstance(net[1], nn.MPBN) and net[1].per == "element" and net[1].neuron == LIF(tau=5.0)
    with pytest.raises(ValueError, match="layer 0 \\(mpbn\\): per must be one of"):
        build([{"kind": "mpbn", "features": 3, "per": "pixel"}])


# (iii), (v) a trained net

@pytest.mark.slow
def test_card2_accuracy_before_and_after_the_fold() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, labels = datasets.load_digits(return_X_y=True)
    steps = 8
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.binomial(pixels.astype(np.int64), 0.25, (steps, *pixels.shape)).astype(np.float64))  # counts
    y = torch.from_numpy(labels)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64, bias=False), nn.MPBN(LIF(tau=4.0, theta=0.5, reset="hard"), 64),
                        nn.Linear(64, 32, bias=False), nn.MPBN(LIF(tau=4.0, theta=0.5), 32, per="element"),
                        nn.Linear(32, 10), nn.Readout()).double()
    nn.set_dt(net, 1.0)
    with torch.no_grad():
        net[1].weight[:4].neg_()
        net[3].weight[:4].neg_()
    optimizer = torch.optim.Adam(net.parameters())
    train = np.arange(1200)
    for epoch in range(12):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1.0 - epoch / 12.0)  # in the end the running statistics catch up
        for part in np.array_split(rng.permutation(train), 12):
            loss = torch.nn.functional.cross_entropy(net(x[:, part])[0].mean(0), y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert bool((net[1].weight < 0).any()) and bool((net[3].weight < 0).any())
    with torch.no_grad():
        with_batch = copy.deepcopy(net)(x)[0].mean(0).argmax(-1)  # statistics of the batch, as in training
        before = net.eval()(x)[0].mean(0).argmax(-1)
        after_net = nn.Sequential(*[nn.Neuron(m.fold(np.float64)) if isinstance(m, nn.MPBN) else m for m in net])
        nn.set_dt(after_net, 1.0)
        after = after_net(x)[0].mean(0).argmax(-1)
    result = engine.run(lower(net, time=TIME, input_shape=(64,)), x.numpy())
    accuracy = float((before == y).double().mean())
    assert accuracy > 0.9
    assert torch.equal(before, after)  # all 1797
    assert np.array_equal(result.prediction, before.numpy())
    assert abs(float((with_batch == y).double().mean()) - accuracy) < 0.01  # (v)


@pytest.mark.slow
def test_card2_fit_trains_and_the_engine_agrees() -> None:
    from snnsim.train import evaluate, fit
    from tests.test_train import sides

    data = sides(40)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.MPBN(LIF(tau=10.0, theta=0.5, reset="hard"), 4), nn.Flatten(),
                        nn.Linear(4 * (data.sensor.height - 2) * (data.sensor.width - 2), 8, bias=False),
                        nn.MPBN(LIF(tau=10.0, theta=0.5), 8, per="element"), nn.Linear(8, 2), nn.Readout())
    before = net[1].running_var.clone()
    fit(net, data, dt=2.0, epochs=6, batch_size=10, learning_rate=1e-2)
    assert not torch.equal(net[1].running_var, before)
    found = evaluate(net, data, net.time)
    assert found.accuracy > 0.9
    network = lower(net)
    for i in range(len(data)):
        assert engine.run(network, data[i].events).prediction == int(found.predictions[i])


def test_once_it_is_settled_training_computes_what_evaluation_does() -> None:
    torch.manual_seed(0)
    layer = nn.MPBN(LIF(tau=5.0), 7, dt=1.0, settle_at=0.5)
    x = torch.randn(20, 9, 7) + 0.5
    for epoch in range(2):
        layer.train().anneal(epoch, 4)
        layer(x)
        assert not layer.settled
    kept = layer.running_mean.clone()
    layer.anneal(2, 4)
    x.requires_grad_()
    out, (v,) = layer(x)
    wanted, (end,) = layer.eval()(x)
    assert torch.equal(out, wanted) and torch.equal(v, end) and torch.equal(kept, layer.running_mean) and bool(out.any())
    found = torch.autograd.grad(out.sum() + v.sum(), [x, layer.weight, layer.bias])
    same = torch.autograd.grad(wanted.sum() + end.sum(), [x, layer.weight, layer.bias])
    assert all(torch.equal(a, b) and bool(a.any()) for a, b in zip(found, same, strict=True))
    with pytest.raises(ValueError, match="settle_at must"):
        nn.MPBN(LIF(), 7, settle_at=-1.0)
