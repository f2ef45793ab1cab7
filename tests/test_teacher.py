"""Distillation: the aim is what the network says of the events that the net sees, the gradient that of the divergence."""

import numpy as np
import pytest
import torch

from snnsim import engine
from snnsim.lowering import lower
from snnsim.maps import Dense
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import LI, LIF
from snnsim.train import evaluate, fit, prepare
from snnsim.train.evaluation import bin_batch, scores
from snnsim.train.gradients import backpropagate
from snnsim.train.recipe import TrainRecipe
from snnsim.train.teacher import Teacher
from tests.test_train import OPTIONS, assert_equal, sides, small_net, weights


def teacher_of(train, epochs=2, seed=3):
    net = small_net(seed)
    fit(net, train, **{**OPTIONS, "epochs": epochs})
    return net, lower(net)


def batch_of(train, chosen=slice(0, 7)):
    return bin_batch([r.events for r in train[chosen]], train, TimeBase(2.0))


def test_targets_are_the_probabilities_that_the_net_itself_gives():
    train = sides(20)
    net, network = teacher_of(train)
    batch = batch_of(train)
    with torch.no_grad():
        expected = torch.softmax(scores(net, batch), 1)
    found = Teacher(network, train)(batch)
    assert found.dtype == torch.float32 and found.shape == (7, 2)
    assert torch.allclose(found, expected, atol=1e-5) and found.std() > 0.01


def test_targets_of_counted_spikes_are_those_of_their_mean():
    train = sides(9)
    rng = np.random.default_rng(0)
    network = Network((Population("input", (2, 8, 8)), Population.of("out", 2, LIF(tau=10.0), dt=2.0)),
                      (Projection("input", "out", (Dense(rng.normal(0.5, 0.5, (2, 128))),)),), time=TimeBase(2.0),
                      readout="count")
    batch = batch_of(train)
    mean = engine.run(network, batch).spikes["out"].dense().mean(0)
    assert mean.max() > 0
    assert np.allclose(Teacher(network, train)(batch), torch.softmax(torch.as_tensor(mean), 1), atol=1e-6)


def test_the_gradient_is_that_of_the_divergence_to_the_teacher():
    train = sides(20)
    _, network = teacher_of(train)
    batch, net = batch_of(train), small_net(5, dropout=0.0).eval()
    prepare(net, train, TimeBase(2.0))
    target = Teacher(network, train)(batch)
    backpropagate(net, batch, target, TrainRecipe())
    found = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    divergence = torch.nn.functional.kl_div(torch.log_softmax(scores(net, batch), 1), target, reduction="batchmean")
    divergence.backward()
    for one, p in zip(found, net.parameters(), strict=True):
        assert torch.allclose(one, p.grad, rtol=1e-4, atol=1e-7)
    assert max(float(g.abs().max()) for g in found) > 1e-3


def test_a_net_learns_from_a_teacher_alone():
    """Labels that are all wrong do not matter."""
    train = sides(60)
    _, network = teacher_of(train, 4, 0)
    wrong = type(train)(train.name, train.sensor, train.classes, 1 - train.labels, train.store)
    net = small_net(3)
    fit(net, wrong, teacher=network, **{**OPTIONS, "epochs": 8})
    assert evaluate(net, train, net.time).accuracy > 0.9


def test_a_stopped_run_with_a_teacher_continues_and_another_teacher_is_refused(tmp_path):
    train = sides(20)
    _, one = teacher_of(train, 1)
    _, other = teacher_of(train, 2)
    whole, net = small_net(), small_net(9)
    path = tmp_path / "c.safetensors"
    fit(whole, train, teacher=one, checkpoint=path, **OPTIONS)
    fit(net, train, teacher=one, checkpoint=path, **OPTIONS)
    assert_equal(weights(net), weights(whole))
    with pytest.raises(ValueError, match="belongs to a run with another teacher: delete it"):
        fit(small_net(), train, teacher=other, checkpoint=path, **OPTIONS)


@pytest.mark.parametrize(("network", "sentence"), [
    (Network((Population("input", (3,)), Population.of("out", 2, LI(), dt=2.0)),
             (Projection("input", "out", (Dense(np.ones((2, 3))),)),)),
     r"teacher has an input of shape \(3,\), the data set \(2, 8, 8\)"),
    (Network((Population("input", (2, 8, 8)), Population.of("out", 5, LI(), dt=2.0)),
             (Projection("input", "out", (Dense(np.ones((5, 128))),)),)),
     r"teacher has an output of shape \(5,\), the data set 2 classes")])
def test_a_teacher_of_other_data_is_refused(network, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit(small_net(), sides(4), teacher=network, **OPTIONS)
