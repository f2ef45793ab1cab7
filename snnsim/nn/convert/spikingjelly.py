"""SpikingJelly's `activation_based` nets as snnsim modules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.fx

from snnsim.neurons import integrate, leak
from snnsim.nn.convert import surrogates
from snnsim.nn.convert.each_step import DropoutEachStep
from snnsim.nn.convert.walk import (
    TORCH,
    Framework,
    Leaf,
    Module,
    Seen,
    Walk,
    diagonal,
    made,
    named,
    neuron,
    numbers,
    part,
    recurrent,
)
from snnsim.nn.layers import Dropout, Linear
from snnsim.nn.neuron import Neuron
from snnsim.nn.recurrent import Recurrent
from snnsim.nn.sequential import Sequential

ADDITIONS = (operator.add, torch.add, torch.Tensor.add, torch.Tensor.__add__)


def from_spikingjelly(net: Any) -> Sequential:
    """A SpikingJelly net as an snnsim net with equal spikes: the same operations in the same order, on copies of its weights.

    net: a torch.nn.Sequential of layers of `spikingjelly.activation_based` and of torch, nested if need be, in step mode
    's' or 'm'; or, for a net with a forward of its own, a list or dict of its layers in the order in which they are
    applied. The result takes all steps at once, [T, B, ...], whatever the step mode was, and starts at rest: state that the
    net holds is not taken over. A net in mode 's' that normalises or drops does so at each step apart, here as there.

    LIFNode, IFNode, ParametricLIFNode (its w is learned here, too), Linear, Conv2d, BatchNorm1d, BatchNorm2d, AvgPool2d,
    MaxPool2d, Flatten, Dropout, SeqToANNContainer, MultiStepContainer; neurons in a LinearRecurrentContainer, or in an
    ElementWiseRecurrentContainer that adds. A membrane with v_reset is held as its distance
    from there. Their time constants are in steps, so that dt changes nothing.

    Errors: ValueError that names the layer and what is allowed; TypeError for a net that is neither; ImportError.
    """
    framework = _framework()
    layers = named(net, framework.name)
    seen = _mode([net] if isinstance(net, torch.nn.Module) else [m for _, m in layers])
    return Walk(framework).sequence(layers, framework.inside(net, seen))


def _framework() -> Framework:
    try:
        from spikingjelly.activation_based import layer, neuron
    except ImportError as e:
        raise ImportError(f'spikingjelly cannot be imported ({e}): pip install "snnsim[interop]"') from e
    leaves: dict[type, Leaf] = {
        neuron.LIFNode: _lif, neuron.IFNode: _integrate, neuron.ParametricLIFNode: _plif,
        layer.Linear: TORCH[torch.nn.Linear], layer.Dropout: _dropout,
        **{kind: _folding(TORCH[base]) for kind, base in (
            (layer.Conv2d, torch.nn.Conv2d), (layer.BatchNorm1d, torch.nn.BatchNorm1d),
            (layer.BatchNorm2d, torch.nn.BatchNorm2d), (layer.AvgPool2d, torch.nn.AvgPool2d),
            (layer.MaxPool2d, torch.nn.MaxPool2d), (layer.Flatten, torch.nn.Flatten))}, **TORCH}
    return Framework("spikingjelly", leaves, {
        layer.LinearRecurrentContainer: _linear_recurrent, layer.ElementWiseRecurrentContainer: _element_wise}, {
        torch.nn.Sequential: lambda m, seen: seen, layer.SeqToANNContainer: lambda m, seen: _inside(seen, "folded"),
        layer.MultiStepContainer: lambda m, seen: _inside(seen, "each")})


def _mode(layers: Iterable[Any]) -> Seen:
    """How the first layer that tells is given its steps: the others are then held to it."""
    from spikingjelly.activation_based import base

    for m in layers:
        if isinstance(m, base.MultiStepModule):
            return "all"
        if isinstance(m, base.StepModule) and not isinstance(m, torch.nn.Linear):
            return "each" if m.step_mode == "s" else "all"
        if isinstance(m, torch.nn.Sequential):
            return _mode(m)
    return "each"


def _inside(seen: Seen, inner: Seen) -> Seen:
    if seen != "all":
        raise ValueError("takes all steps at once, but stands in a net that takes one step after the other")
    return inner


def _held(m: Any, seen: Seen) -> None:
    wanted = "m" if seen == "all" else "s"
    if m.step_mode != wanted:
        raise ValueError(f"has step_mode {m.step_mode!r}, and must have {wanted!r} where it stands: "
                         "functional.set_step_mode(net, ...) sets it for all layers")


def _folding(leaf: Leaf) -> Leaf:
    """A layer that folds time into the samples on its own in step mode 'm'."""
    def convert(m: Any, seen: Seen) -> Module:
        _held(m, seen)
        return leaf(m, "folded" if seen == "all" else seen)
    return convert


def _dropout(m: Any, seen: Seen) -> Module:
    _held(m, seen)  # one mask until the net is reset; where time is folded, that is one at each step
    return DropoutEachStep(m.p) if seen == "folded" else Dropout(m.p)


def _over_time(m: Any, seen: Seen) -> None:
    if seen == "folded":
        raise ValueError("cannot be converted: in a SeqToANNContainer it would take steps for samples")
    _held(m, seen)


def _node(m: Any, seen: Seen, rule: Any, values: dict[str, Any], learned: dict[str, Any]) -> Neuron:
    _over_time(m, seen)
    if m._neuron_precision is not None:
        raise ValueError(f"cannot be converted: its precision {m._neuron_precision} must be left as it is")
    theta = numbers(m.v_threshold) - (0.0 if m.v_reset is None else m.v_reset)
    return neuron(rule, {**values, "theta": theta}, surrogates.of_spikingjelly(m.surrogate_function), m.detach_reset, learned)


def _form(m: Any) -> tuple[str, str]:
    return "shared" if m.decay_input else "kept", "soft" if m.v_reset is None else "hard"


def _lif(m: Any, seen: Seen) -> Neuron:
    return _node(m, seen, leak.BY_TAU[_form(m)], {"tau": numbers(m.tau)}, {})


def _plif(m: Any, seen: Seen) -> Neuron:
    # in float64, so that the logit of the rate is w again, to the last bit
    rate = numbers(torch.sigmoid(m.w.detach().double()))
    return _node(m, seen, leak.BY_RATE[_form(m)], {"rate": rate}, {"rate": ("unit", m.w)})


def _integrate(m: Any, seen: Seen) -> Neuron:
    return _node(m, seen, integrate.RULES["soft" if m.v_reset is None else "hard"], {}, {})


def _linear_recurrent(walk: Walk, path: str, m: Any, seen: Seen) -> Sequential:
    """Neurons that are given rc(x[t], y[t - 1]): as the map of x, with the bias, which acts at every step, before a
    recurrent layer with that of y."""
    plain = _contained(walk, path, m, seen)
    if walk.kind(f"{path}.rc", m.rc) is not torch.nn.Linear:
        raise ValueError(f"cannot be converted: its rc must be a torch.nn.Linear, got {type(m.rc).__name__}")
    weight, bias, n = m.rc.weight, m.rc.bias, m.rc.out_features
    if m.rc.in_features != 2 * n:
        raise ValueError(f"cannot be converted: neurons give as many values as they take, so in_features and out_features must "
                         f"be equal, got {n} and {m.rc.in_features - n}")
    first = made(Linear, n, n, bias is not None, dtype=weight.dtype, device=weight.device)
    first.weight = part(weight, slice(None), slice(n))
    if bias is not None:
        first.bias = part(bias)
    out = Sequential()
    out.add_module("rc", first)
    out.add_module("sub_module", recurrent(plain, part(weight, slice(None), slice(n, None))))
    return out


def _element_wise(walk: Walk, path: str, m: Any, seen: Seen) -> Recurrent:
    """Neurons that are given x[t] + y[t - 1]: with synapses of weight 1 to themselves, which do not learn."""
    plain = _contained(walk, path, m, seen)
    if not _adds(m.element_wise_function):
        raise ValueError("cannot be converted: its element_wise_function must add the two and do nothing else, as "
                         "operator.add does")
    return recurrent(plain, diagonal(1.0, walk.width, "the weight"), one_to_one=True)


def _contained(walk: Walk, path: str, m: Any, seen: Seen) -> Neuron:
    """The neurons in a recurrent container."""
    _over_time(m, seen)
    kind = walk.kind(f"{path}.sub_module", m.sub_module)
    inner = walk.framework.leaves[kind](m.sub_module, "each") if kind in walk.framework.leaves else None
    if not isinstance(inner, Neuron):
        raise ValueError(f"cannot be converted: its sub_module must be neurons alone, got {kind.__name__}; put other layers "
                         "before or after the container")
    return inner


def _adds(function: Callable[..., Any]) -> bool:
    if any(function is f for f in ADDITIONS):
        return True
    try:
        *given, sum_, out = torch.fx.symbolic_trace(function).graph.nodes
    except Exception:  # whatever a function of the user's does with what is no tensor
        return False
    return (len(given) == 2 and all(n.op == "placeholder" for n in given) and sum_.target in (*ADDITIONS, "add")
            and set(sum_.args) == set(given) and not sum_.kwargs and out.args == (sum_,))
