"""snnTorch's nets as snnsim modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from snnsim.neurons import late
from snnsim.nn.convert import surrogates
from snnsim.nn.convert.walk import (
    TORCH,
    Framework,
    Seen,
    Walk,
    diagonal,
    named,
    neuron,
    numbers,
    part,
    recurrent,
    unhooked,
)
from snnsim.nn.neuron import Neuron
from snnsim.nn.recurrent import Recurrent
from snnsim.nn.sequential import Sequential
from snnsim.rule import Rule


def from_snntorch(net: Any) -> Sequential:
    """A snnTorch net as an snnsim net with equal spikes: the same operations in the same order, on copies of its weights.

    net: a torch.nn.Sequential whose neurons have init_hidden=True; or, for a net with a forward of its own, a list or dict
    of its layers in the order in which they are applied, such as [fc1, lif1, fc2, lif2]. The result takes all steps at
    once, [T, B, ...], gives the last layer's spikes, and starts at rest: state that the net holds is not taken over. Batch
    norm and dropout look at each step apart, here as there.

    Leaky, Synaptic and Lapicque with their learned parameters; RLeaky and RSynaptic with linear_features, or with a V of one
    value a neuron (or one value for all that is not learned); torch's Linear, Conv2d, BatchNorm1d, BatchNorm2d, AvgPool2d,
    MaxPool2d, Flatten, Dropout. The neurons fire above their threshold, not at it, and reset one step late unless
    reset_delay=False, as snnTorch's do (`snnsim.neurons.late`). Their decays are those of a step, so that dt changes nothing.

    Errors: ValueError that names the layer and what is allowed; TypeError for a net that is neither; ImportError.
    """
    framework = _framework()
    layers = named(net, framework.name)
    return Walk(framework).sequence(layers, framework.inside(net, "each"))


def _framework() -> Framework:
    try:
        import snntorch
    except ImportError as e:
        raise ImportError(f'snntorch cannot be imported ({e}): pip install "snnsim[interop]"') from e
    return Framework("snntorch", {snntorch.Leaky: _leaky, snntorch.Synaptic: _synaptic, snntorch.Lapicque: _lapicque, **TORCH},
                     {snntorch.RLeaky: _rleaky, snntorch.RSynaptic: _rsynaptic},
                     {torch.nn.Sequential: lambda m, seen: seen})


def _form(m: Any, delay: bool) -> str:
    """The rule's reset. One that empties the membrane before its leak is the same one step late or not."""
    reset = {"subtract": "soft", "zero": "hard", "none": "none"}[m.reset_mechanism]
    return f"late_{reset}" if delay and reset != "none" else reset


def _node(m: Any, rule: Rule, values: dict[str, Any], detach_reset: bool, learned: dict[str, Any]) -> Neuron:
    if m.inhibition or m.state_quant or m.surrogate_disable:
        raise ValueError("cannot be converted: inhibition, state_quant and surrogate_disable must be False")
    factor = m.graded_spikes_factor
    if isinstance(factor, torch.nn.Parameter) or not bool((factor == 1).all()):
        raise ValueError("cannot be converted: graded_spikes_factor must be 1 and not learned")
    values = {**values, "theta": numbers(m.threshold)}
    if not (values["theta"] > 0).all():
        raise ValueError(f"cannot be converted: threshold must be above 0, got {values['theta'].tolist()}")
    theirs = {**learned, "theta": ("free", m.threshold)}
    return neuron(rule, values, surrogates.of_snntorch(m.spike_grad), detach_reset,
                  {k: v for k, v in theirs.items() if isinstance(v[1], torch.nn.Parameter)})


def _share(name: str, value: torch.Tensor) -> Any:
    array = numbers(value)
    if isinstance(value, torch.nn.Parameter) and not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"cannot be converted: {name} is learned and must lie from 0 to 1, got {array.tolist()}")
    return np.clip(array, 0.0, 1.0)


def _leaky(m: Any, seen: Seen) -> Neuron:
    form = _form(m, m.reset_delay)
    return _leak(m, "hard" if form == "late_hard" else form)


def _leak(m: Any, form: str) -> Neuron:
    return _node(m, late.LEAKY[form], {"decay": _share("beta", m.beta)}, m.reset_delay, {"decay": ("clipped", m.beta)})


def _rleaky(walk: Walk, path: str, m: Any, seen: Seen) -> Recurrent:
    return _fed_back(walk, path, m, _leak(m, _form(m, m.reset_delay)))


def _rsynaptic(walk: Walk, path: str, m: Any, seen: Seen) -> Recurrent:
    if not m.reset_delay:
        raise ValueError("cannot be converted: the reset_delay=False of an RSynaptic is not what its code does (snnTorch 1.0): "
                         "use reset_delay=True")
    return _fed_back(walk, path, m, _synaptic(m, seen))


def _fed_back(walk: Walk, path: str, m: Any, plain: Neuron) -> Recurrent:
    """The neurons with m's recurrent synapses, whose bias acts at every step, the first too."""
    if not m.all_to_all:
        unhooked(m.recurrent)
        return recurrent(plain, diagonal(m.recurrent.V, walk.width, "V"), one_to_one=True)
    if walk.kind(f"{path}.recurrent", m.recurrent) is not torch.nn.Linear:
        raise ValueError("cannot be converted: its recurrent synapses are a convolution; give linear_features=... and none of "
                         "conv2d_channels and kernel_size")
    return recurrent(plain, part(m.recurrent.weight), None if m.recurrent.bias is None else part(m.recurrent.bias))


def _synaptic(m: Any, seen: Seen) -> Neuron:
    return _node(m, late.SYNAPTIC[_form(m, m.reset_delay)], {"keep": _share("alpha", m.alpha), "decay": _share("beta", m.beta)},
                 m.reset_delay, {"keep": ("clipped", m.alpha), "decay": ("clipped", m.beta)})


def _lapicque(m: Any, seen: Seen) -> Neuron:
    if isinstance(m.beta, torch.nn.Parameter):
        raise ValueError("cannot be converted: the beta of a Lapicque is not used while it runs, so it cannot be learned; use "
                         "Leaky")
    leak = 1 - m.time_step / (m.R * m.C)
    gain = m.R * (1 / (m.R * m.C)) * m.time_step
    return _node(m, late.LAPICQUE[_form(m, True)], {"gain": numbers(gain), "decay": numbers(leak)}, True, {})
