"""snnTorch's nets converted: the same spikes in every layer, the same gradients, and the engine and NIR after them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim import TimeBase, engine, hardware, lower
from snnsim.nn.convert.surrogates import SNNTORCH, of_snntorch
from tests.theirs import check, dyadic_, loops  # noqa: F401

snn = pytest.importorskip("snntorch", exc_type=ImportError)
surrogate = pytest.importorskip("snntorch.surrogate", exc_type=ImportError)

FIRES = (snn.SpikingNeuron,)
RESETS = ("subtract", "zero", "none")
EACH = torch.linspace(0.6, 0.9, 33)
NEURONS = {
    "leaky": lambda n, **o: snn.Leaky(beta=0.8, **o),
    "leaky_now": lambda n, **o: snn.Leaky(beta=0.8, reset_delay=False, **o),
    "leaky_learned": lambda n, **o: snn.Leaky(beta=EACH[:n].clone(), learn_beta=True, threshold=0.9, learn_threshold=True, **o),
    "synaptic": lambda n, **o: snn.Synaptic(alpha=0.5, beta=0.7, learn_alpha=True, learn_threshold=True, **o),
    "synaptic_now": lambda n, **o: snn.Synaptic(alpha=0.5, beta=EACH[None, :n].clone(), reset_delay=False, **o),
    "lapicque": lambda n, **o: snn.Lapicque(beta=0.6, **o), "lapicque_rc": lambda n, **o: snn.Lapicque(R=2, C=2.5, **o)}


def dense(name: str, reset: str) -> torch.nn.Sequential:
    torch.manual_seed(1)
    neuron, o = NEURONS[name], {"reset_mechanism": reset, "init_hidden": True}
    net = torch.nn.Sequential(torch.nn.Linear(20, 33), neuron(33, **o), torch.nn.Linear(33, 7, bias=False),
                              neuron(7, output=True, **o))
    strength = {"synaptic": 0.6, "lapicque": 1.2}.get(name.partition("_")[0], 0.8) * (0.6 if reset == "none" else 1.0)
    with torch.no_grad():
        for m in (net[0], net[2]):
            for p in m.parameters():  # multiples of 1/32: products are exact, so that the neurons alone are compared
                p.add_(0.1 if p.ndim == 2 else 0.0).mul_(32.0 * strength).round_().div_(32.0)
    return net


def noise(*shape: int, rate: float = 0.4, seed: int = 2) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("name", NEURONS)
def test_spikes_and_gradients_are_equal_in_float32(name: str, reset: str) -> None:
    net = dense(name, reset)
    check(net, nn.from_snntorch(net), noise(40, 5, 20), FIRES, True)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("name", NEURONS)
def test_membranes_are_the_same_bits(name: str, reset: str) -> None:
    """Which a spike hardly ever tells: another order of operations. A Leaky that is late empties its membrane one step
    later than we do, which is the same thing."""
    lif = NEURONS[name](33, reset_mechanism=reset, init_hidden=True)
    x = torch.randn(30, 100, 33, generator=torch.Generator().manual_seed(0)) / 2.0 + 0.25
    ours = nn.from_snntorch([lif])[0]
    out, state = ours(x)
    assert torch.equal(out, torch.stack([lif(step) for step in x]))
    late = reset == "zero" and ours.rule.name == "leaky_hard"
    v = state[ours.rule.states.index("v")]
    assert torch.equal(v, torch.where(lif.mem > lif.threshold, 0.0, lif.mem) if late else lif.mem)
    if "i" in ours.rule.states:
        assert torch.equal(state[0], lif.syn)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("kind", ["leaky", "synaptic"])
def test_above_the_threshold_and_not_at_it(kind: str, delay: bool, reset: str) -> None:
    """Inputs that lift the membrane to its threshold, above it, and so far that it stays there after its reset."""
    net = torch.nn.Sequential({"leaky": lambda **o: snn.Leaky(beta=0.5, **o),
                               "synaptic": lambda **o: snn.Synaptic(alpha=0.5, beta=0.5, **o)}[kind](
        reset_mechanism=reset, reset_delay=delay, init_hidden=True))
    x = torch.randint(-4, 17, (40, 6, 30), generator=torch.Generator().manual_seed(3)) / 8.0
    x[0, :, :10], x[0, :, 10:20], x[0, :, 20:] = 1.0, 1.125, 4.0
    spikes = check(net, nn.from_snntorch(net), x, FIRES, True, gradients=False)["0"]
    assert not spikes[0, :, :10].any() and spikes[0, :, 10:].all()


def test_the_reset_comes_one_step_late() -> None:
    """beta = 1/2, theta = 1, inputs 2, 0, 0, ...: U = 2, then U / 2 - 1 = 0 with the late reset; (U - 1) / 2 without."""
    x = torch.zeros(4, 1, 1)
    x[0], x[1] = 2.0, 1.25
    for delay, expected, last in ((True, [1, 1, 0, 0], -0.1875), (False, [1, 1, 0, 0], 0.1875)):
        lif = snn.Leaky(beta=0.5, reset_delay=delay, init_hidden=True)
        out, state = nn.from_snntorch([lif])(x)
        assert out.flatten().tolist() == expected == [int(lif(step)) for step in x]
        assert state[0][0].item() == lif.mem.item() == last


def conv() -> torch.nn.Sequential:
    torch.manual_seed(0)
    leaky = {"beta": 0.5, "init_hidden": True, "spike_grad": surrogate.fast_sigmoid(slope=5)}
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, bias=False), torch.nn.BatchNorm2d(4), torch.nn.MaxPool2d(2), snn.Leaky(**leaky),
        torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(36, 10), snn.Leaky(reset_mechanism="zero", **leaky))


@pytest.mark.usefixtures("loops")
def test_a_convolutional_net_trains_the_same() -> None:
    """With the batch norm's statistics of each step apart, as theirs are in a loop over time."""
    net = conv()
    net[5].eval()
    with torch.no_grad():
        net[1].bias.fill_(0.5), net[6].bias.fill_(0.4)
    ours = nn.from_snntorch(net)
    check(net, ours, noise(10, 3, 2, 8, 8), FIRES, True)
    torch.testing.assert_close(ours[1].running_var, net[1].running_var)
    assert ours[1].num_batches_tracked == 10


def test_a_net_with_a_forward_of_its_own_is_given_as_a_list() -> None:
    torch.manual_seed(0)
    fc1, lif1, fc2, lif2 = torch.nn.Linear(6, 9), snn.Leaky(beta=0.5), torch.nn.Linear(9, 4), snn.Leaky(beta=0.9)
    with torch.no_grad():
        fc1.bias.fill_(0.5), fc2.bias.fill_(0.3)
    x, expected = noise(20, 3, 6), []
    m1 = m2 = None
    for step in x:
        s1, m1 = lif1(fc1(step), m1)
        s2, m2 = lif2(fc2(s1), m2)
        expected.append(s2)
    for layers in ([fc1, lif1, fc2, lif2], {"fc1": fc1, "lif1": lif1, "fc2": fc2, "lif2": lif2}):
        out, state = nn.from_snntorch(layers)(x)
        assert torch.equal(out, torch.stack(expected)) and 0 < out.sum() < out.numel()
        torch.testing.assert_close(state[1][0], m2)  # a late reset leaves their membrane as it is


def test_a_decay_that_is_learned_beyond_its_range_is_clipped_as_theirs() -> None:
    net = torch.nn.Sequential(snn.Leaky(beta=0.9, learn_beta=True, init_hidden=True))
    ours = nn.from_snntorch(net)
    with torch.no_grad():
        net[0].beta += 0.3
        ours[0].raw_decay += 0.3
    assert ours[0].step_parameters()["decay"].item() == 1.0
    x = noise(20, 3, 30) / 4.0
    out, expected = ours(x)[0], torch.stack([net(step) for step in x])
    assert torch.equal(out, expected) and 0 < out.sum() < out.numel()
    out.sum().backward()
    assert ours[0].raw_decay.grad.item() == 0.0


@pytest.mark.parametrize("name", SNNTORCH)
def test_every_surrogate_has_their_slope(name: str) -> None:
    options: list[dict[str, float]] = {
        "atan": [{"alpha": a} for a in (0.7, 2.0, 5.0)], "triangular": [{"threshold": 0.5}], "SFS": [{"slope": 3}],
        "straight_through_estimator": [{}], "heaviside": [{}], "spike_rate_escape": [{"slope": 3}],
    }.get(name, [{"slope": s} for s in (1.0, 5.0, 25.0)])
    x = torch.linspace(-1.5, 1.5, 4002, requires_grad=True)  # theirs overflows further out
    for given in options:
        function = getattr(surrogate, name)(**given)
        (expected,) = torch.autograd.grad(function(x).sum(), x)
        ours = of_snntorch(function)
        torch.testing.assert_close(ours.slope(x.detach(), ours.width), expected, rtol=2e-5, atol=1e-30)


def lowered(*neurons: Any) -> tuple[torch.nn.Sequential, nn.Sequential, torch.Tensor]:
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, bias=False), neurons[0], torch.nn.AvgPool2d(2), torch.nn.Flatten(),
                              torch.nn.Linear(36, 9, bias=False), neurons[1], torch.nn.Linear(9, 4), neurons[2]).eval()
    dyadic_(net, low=-10, high=12)
    return net, nn.from_snntorch(net), noise(8, 3, 2, 8, 8, rate=0.3)


def test_it_runs_event_by_event() -> None:
    """Multiples of 1/8 and shares of 1/2: exact in float32, too, over a few steps."""
    o = {"init_hidden": True}
    net, ours, x = lowered(snn.Leaky(beta=0.5, **o), snn.Leaky(beta=0.5, reset_mechanism="zero", **o),
                           snn.Synaptic(alpha=0.5, beta=0.5, **o))
    spikes = check(net, ours, x, FIRES, True, gradients=False)
    network = lower(ours, time=TimeBase(1.0), input_shape=(2, 8, 8))
    assert [p.rule.name for p in network.populations[1:] if p.rule] == ["leaky_late_soft", "lif_hard", "synaptic_late_soft"]
    for exact in (False, True):
        result = engine.run(network, x.numpy(), exact=exact)
        for p, theirs in zip(network.populations[1:], spikes.values(), strict=True):
            np.testing.assert_array_equal(result.spikes[p.name].dense(), theirs.numpy())
    assert result.ticked < 1.0  # neurons without a bias sleep


def test_it_is_written_to_nir_with_the_threshold_it_had(tmp_path: Any) -> None:
    """Above a threshold is at the next number; NIR holds the threshold that those who compare by > compare with."""
    o = {"init_hidden": True, "reset_mechanism": "zero"}
    net, ours, x = lowered(snn.Leaky(beta=0.5, **o), snn.Leaky(beta=0.25, **o), snn.Leaky(beta=0.5, threshold=0.7, **o))
    spikes = check(net, ours, x, FIRES, True, gradients=False)
    network = lower(ours, time=TimeBase(1.0), input_shape=(2, 8, 8))
    hardware.nir.export(network, tmp_path / "net.nir")
    assert hardware.verify(tmp_path / "net.nir", network, x.numpy()).exact
    again = hardware.nir.read(tmp_path / "net.nir")
    assert again.populations[-1].parameters["theta"] == np.nextafter(np.float32(0.7), np.float32(1.0))
    np.testing.assert_array_equal(engine.run(again, x.numpy()).spikes["lif_hard_7"].dense(), spikes["7"].numpy())


LINEAR = torch.nn.Linear(3, 3)


def leaky(**options: Any) -> torch.nn.Module:
    return snn.Leaky(beta=0.5, **options)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("made", "sentence"), [
    (lambda: [snn.Alpha(alpha=0.9, beta=0.5)], r"layer 0 \(Alpha\): cannot be converted: from_snntorch takes Leaky, Syn"),
    (lambda: [LINEAR, torch.nn.Sequential(torch.nn.ReLU())], r"layer 1\.0 \(ReLU\): cannot be converted"),
    (lambda: [leaky(graded_spikes_factor=2.0)], "graded_spikes_factor must be 1 and not learned"),
    (lambda: [leaky(state_quant=lambda v: v)], "inhibition, state_quant and surrogate_disable must be False"),
    (lambda: [leaky(surrogate_disable=True)], "inhibition, state_quant and surrogate_disable must be False"),
    (lambda: [leaky(threshold=0.0)], "threshold must be above 0, got 0.0"),
    (lambda: [snn.Leaky(beta=1.5, learn_beta=True)], "beta is learned and must lie from 0 to 1, got 1.5"),
    (lambda: [snn.Lapicque(beta=0.5, learn_beta=True)], "the beta of a Lapicque is not used while it runs"),
    (lambda: [leaky(spike_grad=surrogate.SSO())], r"layer 0 \(Leaky\): its surrogate SSO has no equal here: give it one"),
    (lambda: [leaky(spike_grad=surrogate.SFS(B=2))], "its surrogate SFS with B=2, slope=25 has no equal here: only B=1"),
    (lambda: [leaky(spike_grad=surrogate.custom_surrogate(lambda x, g, s: g))], "its surrogate custom_surrogate has no equal"),
    (lambda: [leaky(spike_grad=torch.sigmoid)], r"its surrogate \S*sigmoid has no equal here: give it one of atan, sigm")])
def test_what_cannot_be_converted_is_refused_by_name(made: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        nn.from_snntorch(made())


def test_a_framework_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "snntorch", None)
    with pytest.raises(ImportError, match=r'snntorch cannot be imported \(.*\): pip install "snnsim\[interop\]"'):
        nn.from_snntorch([LINEAR])
