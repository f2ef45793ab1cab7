"""SpikingJelly's `activation_based` nets as snnsim modules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from snnsim.neurons import integrate, leak
from snnsim.nn.convert import surrogates
from snnsim.nn.convert.each_step import DropoutEachStep
from snnsim.nn.convert.walk import TORCH, Framework, Leaf, Module, Seen, Walk, named, neuron, numbers
from snnsim.nn.layers import Dropout
from snnsim.nn.neuron import Neuron
from snnsim.nn.sequential import Sequential

RECURRENT = "nets whose spikes come back to their own layer are not converted"


def from_spikingjelly(net: Any) -> Sequential:
    """A SpikingJelly net as an snnsim net with equal spikes: the same operations in the same order, on copies of its weights.

    net: a torch.nn.Sequential of layers of `spikingjelly.activation_based` and of torch, nested if need be, in step mode
    's' or 'm'; or, for a net with a forward of its own, a list or dict of its layers in the order in which they are
    applied. The result takes all steps at once, [T, B, ...], whatever the step mode was, and starts at rest: state that the
    net holds is not taken over. A net in mode 's' that normalises or drops does so at each step apart, here as there.

    LIFNode, IFNode, ParametricLIFNode (its w is learned here, too), Linear, Conv2d, BatchNorm1d, BatchNorm2d, AvgPool2d,
    MaxPool2d, Flatten, Dropout, SeqToANNContainer, MultiStepContainer. A membrane with v_reset is held as its distance
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
        torch.nn.Sequential: lambda m, seen: seen, layer.SeqToANNContainer: lambda m, seen: _inside(seen, "folded"),
        layer.MultiStepContainer: lambda m, seen: _inside(seen, "each")},
        {layer.LinearRecurrentContainer: RECURRENT, layer.ElementWiseRecurrentContainer: RECURRENT})


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


def _node(m: Any, seen: Seen, rule: Any, values: dict[str, Any], learned: dict[str, Any]) -> Neuron:
    if seen == "folded":
        raise ValueError("cannot be converted: in a SeqToANNContainer it would take steps for samples")
    _held(m, seen)
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
