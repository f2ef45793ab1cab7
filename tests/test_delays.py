"""Learnable delays: the layers against their definition, the schedule, training with them. Card 4 of the methods."""

import numpy as np
import pytest
import torch

import snnsim.nn as nn
from snnsim.datasets import EventBatch
from snnsim.nn import runs, sparse, spectrum, taps
from snnsim.nn.delays import channels, delayed, kernel
from snnsim.nn.windows import dense, windows

SIZES = [(1, 1, 1, 1, 2), (2, 3, 5, 4, 25), (7, 1, 33, 31, 9), (33, 19, 17, 35, 12), (257, 2, 3, 5, 25), (40, 35, 31, 33, 70)]


def inputs(T, B, N, share, dtype=torch.float64):
    generator = torch.Generator().manual_seed(T + B)
    counts = torch.randint(1, 3, (T, B, N), generator=generator)
    return (torch.rand(T, B, N, generator=generator) < share).to(dtype) * counts


def made(J, N, L, s, dtype=torch.float64, **options):
    torch.manual_seed(J + N + L)
    layer = nn.DelayLinear(J, N, L, **options).to(dtype)
    layer.s.fill_(s)
    with torch.no_grad():
        layer.bias.uniform_(-1, 1)
        layer.delay.view(-1)[:1] = 0.0
        layer.delay.view(-1)[-1:] = L - 1.0
    return layer


def defined(layer, x):
    if not layer.learn:
        return delayed(x, torch.nn.functional.one_hot(layer.delay.long(), layer.length) * layer.weight[..., None], layer.bias)
    return delayed(x, kernel(layer.weight, layer.delay, layer.sigma, layer.length), layer.bias)


def assert_gradients_equal(layer, x, tolerance):
    x = x.clone().requires_grad_()
    tensors = (x, layer.weight, layer.bias, layer.delay)[:4 if layer.learn else 3]
    y, expected = layer(x)[0], defined(layer, x)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    assert y.shape == expected.shape and y.abs().max() > 0
    assert (y - expected).abs().max() <= tolerance * expected.abs().max()
    for name, ours, theirs in zip(("x", "weight", "bias", "delay"), torch.autograd.grad(y, tensors, g),
                                  torch.autograd.grad(expected, tensors, g), strict=False):
        assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max(), name


@pytest.mark.parametrize("share", [0.1, 0.9], ids=["sparse", "dense"])
@pytest.mark.parametrize("s", [0.23, 1.5, 12.0])
@pytest.mark.parametrize("size", SIZES)
def test_the_layer_equals_its_definition(size, s, share):
    T, B, J, N, L = size
    x = inputs(T, B, J, share)
    x[0, 0, 0] = 1.0
    assert_gradients_equal(made(J, N, L, s), x, 1e-12)
    if T * B > 100:
        assert_gradients_equal(made(J, N, L, s, torch.float32), x.float(), 1e-5)


# fewer samples than a vector, a vector and more, fewer steps than delays, one of everything, parts of time, delays of 0 alone
FIXED = [*SIZES, (37, 21, 19, 35, 12), (9, 40, 6, 7, 60), (50, 16, 1, 1, 25), (230, 9, 18, 20, 130), (20, 33, 17, 16, 1)]


@pytest.mark.parametrize("share", [0.1, 0.9], ids=["sparse", "dense"])
@pytest.mark.parametrize("size", FIXED)
def test_fixed_delays_equal_their_definition(size, share):
    T, B, J, N, L = size
    x = inputs(T, B, J, share)
    x[0, 0, 0] = 1.0
    assert_gradients_equal(made(J, N, L, 0.23, learn=False), x, 1e-12)
    assert_gradients_equal(made(J, N, L, 0.23, torch.float32, learn=False), x.float(), 1e-5)


@pytest.mark.parametrize("learn", [True, False])
def test_one_delay_for_all_and_no_spikes(learn):
    layer = made(20, 33, 25, 0.23, learn=learn)
    with torch.no_grad():
        layer.delay.fill_(7.0)
    x = inputs(30, 18, 20, 0.1)
    assert_gradients_equal(layer, x, 1e-12)
    x = torch.zeros_like(x, requires_grad=True)
    y = layer(x)[0]
    assert torch.equal(y, layer.bias.expand_as(y))
    ours = torch.autograd.grad(y.sum(), (layer.weight, x))
    expected = torch.autograd.grad(defined(layer, x).sum(), (layer.weight, x))
    assert not ours[0].any() and torch.allclose(ours[1], expected[1], rtol=1e-12, atol=1e-12)


def test_threads_do_not_change_a_bit_where_delays_are_fixed():
    layer = made(40, 70, 25, 0.23, torch.float32, learn=False)
    g = torch.randn(130, 40, 70, generator=torch.Generator().manual_seed(1))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for share in (0.05, 0.9):
                x = inputs(130, 40, 40, share, torch.float32).requires_grad_()
                y = layer(x)[0]
                found.append((y, *torch.autograd.grad(y, (x, layer.weight, layer.bias), g)))
    finally:
        torch.set_num_threads(before)
    for k in (2, 3, 4, 5):
        assert all(torch.equal(a, b) for a, b in zip(found[k % 2], found[k], strict=True))


def test_both_ways_forward_are_tried():
    few, many = (windows(torch.ones(3, 3), torch.rand(3, 3) * 24, s + 0.27, 25, taps.WIDTH) for s in (0.23, 12.0))
    assert few[1].shape[2] == taps.WIDTH and many[1].shape[2] == 32 and int(many[0].max()) == 0
    assert taps.WIDTH <= taps.WIDTH * -(-25 // runs.SPAN) < 32  # the first is scattered, the second swept


def test_windows_hold_all_that_counts():
    generator = torch.Generator().manual_seed(0)
    delay = torch.rand(50, generator=generator, dtype=torch.float64) * 24
    delay[:4] = torch.tensor([0.0, 24.0, 0.5, 23.5])
    for s in (0.0, 0.23, 0.7, 3.0, 12.0):
        whole = kernel(torch.ones_like(delay), delay, s + 0.27, 25)
        first, values = windows(torch.ones_like(delay), delay, s + 0.27, 25, taps.WIDTH)
        assert (dense(first, values)[:25].T - whole).abs().max() < 1e-14
        assert dense(first, values)[25:].abs().sum() == 0
        assert (whole.sum(1) - 1).abs().max() < 1e-6  # the scale of the weights does not change with the width


def test_threads_do_not_change_a_bit():
    layer, x = made(64, 70, 25, 0.23, torch.float32), inputs(60, 40, 64, 0.05, torch.float32)
    g = torch.randn(60, 40, 70, generator=torch.Generator().manual_seed(1))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for s in (0.23, 12.0):
                layer.s.fill_(s)
                y = layer(x)[0]
                found.append((y, *torch.autograd.grad(y, (layer.weight, layer.delay, layer.bias), g)))
    finally:
        torch.set_num_threads(before)
    for k in (2, 4):
        for i in (0, 1):
            assert all(torch.equal(a, b) for a, b in zip(found[i], found[k + i], strict=True))


@pytest.mark.parametrize("share", [0.05, 0.9])
def test_length_1_is_a_linear_layer(share):
    layer = nn.DelayLinear(40, 33, 1)
    linear = nn.Linear(40, 33)
    linear.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    x = inputs(9, 30, 40, share, torch.float32)
    assert torch.equal(layer(x)[0], linear(x)) and "delay" not in dict(layer.named_parameters())


def test_card4_one_tap_is_left_in_evaluation():
    layer = made(5, 4, 25, 3.0).eval()
    one = dense(*layer.runs())[:25]
    assert torch.equal((one != 0).sum(0), torch.ones(4, 5, dtype=torch.int64))
    assert torch.equal(one.sum(0), layer.weight) and torch.equal(one.abs().argmax(0), layer.delay.round().long())


def test_card4_an_impulse_arrives_when_its_delay_is_over():
    layer = nn.DelayLinear(1, 25, 25, bias=False).double().eval()
    position = torch.arange(-12, 13).double()
    with torch.no_grad():
        layer.delay.copy_(((25 - 1) / 2 - position)[:, None])  # d = (L - 1) / 2 - P
    x = torch.zeros(60, 1, 1, dtype=torch.float64)
    x[7] = 1.0
    y = layer(x)[0][:, 0]
    assert len(y) == 60  # ours does not lengthen
    assert torch.equal(y.abs().argmax(0), 7 + 12 - torch.arange(-12, 13)) and torch.equal((y != 0).sum(0), torch.ones(25))
    assert torch.equal(y.sum(0), layer.weight[:, 0])


@pytest.mark.parametrize("s", [0.23, 4.0])
def test_card4_gradient_of_a_delay_by_finite_differences(s):
    layer, x = made(3, 2, 25, s), inputs(40, 5, 3, 0.1)
    g = torch.randn(40, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad((layer(x)[0] * g).sum(), layer.delay)
    h = 1e-6
    with torch.no_grad():
        layer.delay.clamp_(1.0, 23.0)
    (found,) = torch.autograd.grad((layer(x)[0] * g).sum(), layer.delay)
    for i in range(2):
        for j in range(3):
            sums = []
            for sign in (1, -1):
                with torch.no_grad():
                    layer.delay[i, j] += sign * h
                    sums.append(float((layer(x)[0] * g).sum()))
                    layer.delay[i, j] -= sign * h
            assert abs((sums[0] - sums[1]) / (2 * h) - float(found[i, j])) < 1e-7 * max(1.0, float(found.abs().max()))


def test_card4_the_width_shrinks_in_the_first_quarter():
    layer = nn.DelayLinear(2, 3, 25)
    assert layer.sigma == pytest.approx(12.27) and "s" in dict(layer.named_buffers())
    ratio = (0.23 / 12) ** (1 / (150 // 4))
    assert ratio == pytest.approx(0.8986, abs=1e-4)
    for epoch, s in ((0, 12.0), (1, 12.0 * ratio), (36, 12.0 * ratio**36), (37, 0.23), (149, 0.23)):
        layer.anneal(epoch, 150)
        assert float(layer.s) == pytest.approx(s, rel=1e-5)


def test_delays_stay_in_their_range():
    layer = nn.DelayLinear(2, 3, 9)
    with torch.no_grad():
        layer.delay.copy_(torch.tensor([[-1.0, 9.0], [0.5, 8.0], [20.0, -0.1]]))
    layer.after_step()
    assert torch.equal(layer.delay, torch.tensor([[0.0, 8.0], [0.5, 8.0], [8.0, 0.0]]))


def test_fixed_delays_are_whole_and_not_trained():
    layer = nn.DelayLinear(30, 20, 25, learn=False).double()
    assert {n for n, _ in layer.named_parameters()} == {"weight", "bias"} and layer.rate_factors == {}
    assert torch.equal(layer.delay, layer.delay.round()) and len(layer.delay.unique()) == 25
    x = inputs(30, 4, 30, 0.1)
    expected = delayed(x, torch.nn.functional.one_hot(layer.delay.long(), 25) * layer.weight[..., None], layer.bias)
    assert torch.allclose(layer(x)[0], expected, atol=1e-13) and torch.equal(layer(x)[0], layer.eval()(x)[0])


@pytest.mark.parametrize("training", [True, False])
def test_chunks_of_time_give_what_the_whole_gives(training):
    torch.manual_seed(3)
    net = nn.Sequential(nn.Delay(6, 4), nn.DelayLinear(6, 5, 9), nn.Delay(5, 3, learn=False)).double().train(training)
    x = inputs(23, 3, 6, 0.3)
    whole, end = net(x)
    for sizes in ((23,), (1,) * 23, (5, 11, 2, 5)):
        parts, state = [], None
        for chunk in x.split(sizes):
            y, state = net(chunk, state)
            parts.append(y)
        assert (torch.cat(parts) - whole).abs().max() < 1e-13
        assert all(torch.allclose(a[0], b[0]) for a, b in zip(state, end, strict=True))
    g = torch.autograd.grad(nn.checkpointed(net, x, 5)[0].square().sum(), net.parameters(), allow_unused=True)
    expected = torch.autograd.grad(whole.square().sum(), net.parameters(), allow_unused=True)
    for a, b in zip(g, expected, strict=True):
        assert (a is None and b is None) or (a - b).abs().max() < 1e-12 * b.abs().max()


def batch_of(x):
    T, B, N = x.shape
    rows = sparse.found(x.flatten(0, 1))
    return EventBatch(rows.indptr.copy(), rows.indices.copy(), rows.values.astype(np.float32), (T, B, N, 1, 1))


@pytest.mark.parametrize("layer", [nn.DelayLinear(6, 5, 7), nn.Delay(6, 7), nn.DelayLinear(6, 5, 1)])
def test_a_batch_of_events_is_the_tensor_it_stands_for(layer):
    x = inputs(11, 3, 6, 0.1, torch.float32)
    y, state = layer(x)
    of_events, after = layer(batch_of(x))
    assert torch.allclose(of_events, y, atol=1e-6) and torch.equal(after[0], state[0])
    assert torch.allclose(layer(batch_of(x), state)[0], layer(x, state)[0], atol=1e-6)


@pytest.mark.parametrize("size", [(1, 2, 3, 4, 5), (9, 3, 4, 5, 6), (128, 2, 3, 2, 25), (300, 2, 3, 4, 25),
                                  (700, 1, 2, 2, 150)])
def test_convolution_through_frequencies_is_the_convolution(size):
    T, B, C, A, L = size
    generator = torch.Generator().manual_seed(T)
    x, k = torch.randn(T, B, C, generator=generator).double(), torch.randn(L, C, A, generator=generator).double()
    expected = delayed(x, k.permute(2, 1, 0))
    assert (spectrum.convolve(x, k) - expected).abs().max() < 1e-12 * expected.abs().max()
    back = delayed(x.flip(0), k.permute(2, 1, 0)).flip(0)
    assert (spectrum.convolve(x, k, back=True) - back).abs().max() < 1e-12 * back.abs().max()


@pytest.mark.parametrize("s", [0.23, 12.0])
def test_what_cuda_takes_equals_the_definition(s):
    layer, x = made(7, 5, 25, s), inputs(31, 3, 7, 0.2).requires_grad_()
    y = layer.by_frequencies(x)
    expected = defined(layer, x)
    tensors = (x, layer.weight, layer.delay, layer.bias)
    g = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert (y - expected).abs().max() < 1e-12 * expected.abs().max()
    for a, b in zip(torch.autograd.grad(y, tensors, g), torch.autograd.grad(expected, tensors, g), strict=True):
        assert (a - b).abs().max() < 1e-12 * b.abs().max()


def test_axonal_delays_are_one_a_channel():
    torch.manual_seed(0)
    layer = nn.Delay(5, 9).double()
    x = inputs(20, 3, 5, 0.4)
    k = kernel(torch.ones(5).double(), layer.delay, layer.sigma, 9)
    expected = delayed(x, torch.diag_embed(k.T).permute(1, 2, 0))
    assert (layer(x)[0] - expected).abs().max() < 1e-13
    rounded = layer.eval()(x)[0]
    for j, d in enumerate(layer.steps().tolist()):
        assert torch.equal(rounded[d:, :, j], x[:20 - d, :, j]) and not rounded[:d, :, j].any()
    assert channels(x, k).is_contiguous()


@pytest.mark.parametrize(("make", "message"), [
    (lambda: nn.DelayLinear(3, 2, 0), "length must be a positive whole number of steps, got 0"),
    (lambda: nn.DelayLinear(3, 0, 5), "out_features must be a positive whole number, got 0"),
    (lambda: nn.Delay(2.5, 5), "features must be a positive whole number, got 2.5"),
    (lambda: nn.Delay(2, 5, rate=0.0), "rate must be above 0"),
    (lambda: nn.DelayLinear(3, 2, 5)(torch.zeros(4, 1, 2)), r"DelayLinear takes 3 inputs, got \(4, 1, 2\)"),
    (lambda: nn.DelayLinear(3, 2, 5)(torch.zeros(4, 3)), r"DelayLinear takes a tensor \[T, B, 3\], got \(4, 3\)"),
    (lambda: nn.Delay(3, 5)(torch.zeros(0, 1, 3)), r"x must have at least one step, got \(0, 1, 3\)"),
    (lambda: nn.Delay(3, 5)(torch.zeros(4, 1, 3), (torch.zeros(3, 1, 3),)),
     r"state must be a tuple with one tensor \[4, 1, 3\], the inputs of the last steps, got \[\(3, 1, 3\)\]")])
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Oracle(torch.nn.Module):
    """The layer of DCLS-Delays by the package that its authors wrote, cut to as many steps as it is given."""

    def __init__(self, layer):
        super().__init__()
        module = pytest.importorskip("DCLS.construct.modules", reason="dcls is not installed, whose layer is the oracle here")
        outputs, inputs = layer.weight.shape
        self.conv = module.Dcls1d(inputs, outputs, kernel_count=1, stride=1, padding=0, dilated_kernel_size=layer.length,
                                  bias=False, version="gauss").to(layer.weight.dtype)
        with torch.no_grad():
            self.conv.weight.copy_(layer.weight[..., None])
            self.conv.P.copy_(((layer.length - 1) / 2 - layer.delay)[None, ..., None])
            self.conv.SIG.fill_(float(layer.s))

    def forward(self, x):
        padded = torch.nn.functional.pad(x.permute(1, 2, 0), (self.conv.dilated_kernel_size[0] - 1, 0))
        return self.conv(padded).permute(2, 0, 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("s", [0.23, 2.0, 12.0])
def test_card4_kernel_and_gradients_equal_those_of_dcls(s):
    layer, x = made(7, 5, 25, s), inputs(60, 4, 7, 0.2)
    layer.bias.requires_grad_(False).zero_()
    dcls = Oracle(layer)
    y, expected = layer(x)[0], dcls(x)
    g = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(5))
    assert (y - expected).abs().max() < 1e-12 * expected.abs().max()
    ours = torch.autograd.grad(y, (layer.weight, layer.delay), g)
    theirs = torch.autograd.grad(expected, (dcls.conv.weight, dcls.conv.P), g)
    assert (ours[0] - theirs[0][..., 0]).abs().max() < 1e-12 * theirs[0].abs().max()
    assert (ours[1] + theirs[1][0, ..., 0]).abs().max() < 1e-12 * theirs[1].abs().max()  # d = (L - 1) / 2 - P
