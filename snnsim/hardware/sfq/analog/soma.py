"""A neuron of Josephson junctions: a threshold junction into which synapses push persistent currents.

    excitatory synapse   driver -> L / w in series with a resistor -> soma            a pulse stores Phi0 in the loop
    inhibitory synapse   driver -> primary / w -> ground, coupled by -k to a secondary, which hangs on the soma
    soma                 junction of area 1, shunted, with a bias; its 2 pi slip is the spike, and takes Phi0 off every branch
    leak                 a branch of an inductor and a resistor to ground; all branches decay with tau = L / R

All branches have a resistor, so that the bias flows through the junction alone. A pulse raises its current by about
Phi0 / L_j / (1 + L_J sum 1 / L): every branch loads the soma, idle ones too. So what a weight is worth is fitted by the solver
(see `fit`) and not computed. The circuit is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from snnsim.hardware.sfq.library import Process
from snnsim.neurons.loihi import whole_each
from snnsim.rule import finite


@dataclass(frozen=True)
class Soma:
    """excitatory: pH of a synapse of weight 1; primary, secondary: pH of an inhibitory one, weight -1, and coupling k of the
    two; leak: pH, 0 for no such branch; tau: ps, hold: ps, of an inhibitory one's branches,
    longer than tau, so that what it held back does not fire when it has gone; bias: uA; wait: cells by which excitation is held back, so that inhibition of
    the same tick is there first; output: pH; area: of the threshold junction. Errors: ValueError that names the argument."""

    excitatory: float = 8.0
    primary: float = 5.0
    secondary: float = 10.0
    coupling: float = 0.8
    leak: float = 60.0
    tau: float = 60.0
    hold: float = 150.0
    bias: float = 70.0
    wait: int = 3
    output: float = 3.0
    area: float = 1.0

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.name == "wait":
                object.__setattr__(self, "wait", int(whole_each("wait", self.wait, 0, 50)))
            elif f.name == "leak":
                finite("leak", self.leak, at_least=0.0)
            else:
                finite(f.name, getattr(self, f.name), above=0.0)
        if self.coupling >= 1:
            raise ValueError(f"coupling must lie between 0 and 1, got {self.coupling}")


def neuron(name: str, weights: Sequence[int], sources: Sequence[str], out: str, soma: Soma, process: Process) -> list[str]:
    """Lines of a deck: a neuron whose synapses take pulses from the nodes `sources` and that sends its own to `out`. A weight
    of 0 has no synapse. Its threshold junction is B<name>, its bias I<name>."""
    lines: list[str] = []
    scale, v = process.scale, f"{name}_v"
    for k, (source, w) in enumerate(zip(sources, weights, strict=True)):
        if w == 0:
            continue
        at = source
        for i in range(1 + (soma.wait if w > 0 else 0)):
            lines.append(f"X{name}_{k}_{i} {at} {name}_{k}_{i} JTL")
            at = f"{name}_{k}_{i}"
        if w > 0:
            lines += _branch(f"{name}_s{k}", at, v, soma.excitatory / w / scale, soma.tau)
        else:
            lines += [*_branch(f"{name}_p{k}", at, "0", soma.primary / -w / scale, soma.hold),
                      *_branch(f"{name}_t{k}", v, "0", soma.secondary / scale, soma.hold),
                      f"K{name}_{k} L{name}_p{k} L{name}_t{k} {-soma.coupling:g}"]
    if soma.leak:
        lines += _branch(f"{name}_g", v, "0", soma.leak / scale, soma.tau)
    return [*lines, f"B{name} {v} 0 jj area={soma.area:g}", f"R{name} {v} 0 {process.shunt / soma.area:g}", f"I{name} 0 {v} pwl(0 0 5p {soma.bias * scale:g}u)",
            f"L{name}_o {v} {name}_o {soma.output / scale:g}p", f"X{name}_o {name}_o {out} JTL"]


def _branch(name: str, a: str, b: str, inductance: float, tau: float) -> list[str]:
    return [f"L{name} {a} {name}_m {inductance:.6g}p", f"R{name} {name}_m {b} {inductance / tau:.6g}"]
