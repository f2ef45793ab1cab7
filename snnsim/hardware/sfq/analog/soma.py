"""A neuron of Josephson junctions: a threshold junction into which synapses push persistent currents.

    excitatory synapse   driver -> L / w in series with a resistor -> soma            a pulse stores Phi0 in the loop
    inhibitory synapse   driver -> primary / w -> ground, coupled by -k to a secondary, which hangs on the soma
    soma                 a shunted junction with a bias; its 2 pi slip is the spike, and takes Phi0 off every branch
    driver, output       cells soma_in and soma_out: a JTL whose last junction the slip does not push over, where a branch had
                         no pulse; and one whose first junction a slip at low bias does
    leak                 a branch of an inductor and a resistor to ground; all branches decay with tau = L / R

All branches have a resistor, so that the bias flows through the junction alone. A pulse raises its current by about
Phi0 / L_j / (1 + L_J sum 1 / L): every branch loads the soma, idle ones too. So what a weight is worth is fitted by the solver
(see `fit`) and not computed. The circuit is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

from snnsim.hardware.sfq.library import Process
from snnsim.neurons.loihi import whole_each
from snnsim.rule import finite

THRESHOLD, BIAS, DRIVER = "BT", "IT", "E"  # names of the threshold junction, of its bias, and of the cells before the synapses
CELLS = ("jtl", "soma_in", "soma_out")  # that neurons are made of


@dataclass(frozen=True)
class Soma:
    """excitatory: pH of a synapse of weight 1; primary, secondary: pH of an inhibitory one, weight -1; coupling: k of the two.
    leak: pH, 0 for no such branch. tau: ps. hold: ps, of an inhibitory one's branches; longer than tau, so that what it held
    back does not fire when it has gone. bias: uA. wait: cells by which excitation is held back, so that inhibition of the same
    tick is there first. output: pH. area: of the threshold junction. All for 100 uA a unit of area.

    Errors: ValueError that names the argument.
    """

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


def neuron(name: str, weights: Sequence[int], soma: Soma, process: Process) -> str:
    """The subcircuit NAME a0 a1 .. q: an input for each weight, none of which may be 0. Needs the subcircuits of CELLS."""
    inputs = [f"a{k}" for k in range(len(weights))]
    lines: list[str] = []
    s = process.scale
    for k, w in enumerate(weights):
        nodes = [f"a{k}", *(f"d{k}_{i}" for i in range(soma.wait if w > 0 else 0))]
        lines += [f"XD{k}_{i} {a} {b} JTL" for i, (a, b) in enumerate(pairwise(nodes))]
        lines.append(f"X{DRIVER}{k} {nodes[-1]} e{k} SOMA_IN")
        if w > 0:
            lines += _branch(f"S{k}", f"e{k}", "v", soma.excitatory / w / s, soma.tau)
        else:
            lines += [*_branch(f"P{k}", f"e{k}", "0", soma.primary / -w / s, soma.hold),
                      *_branch(f"H{k}", "v", "0", soma.secondary / s, soma.hold), f"K{k} LP{k} LH{k} {-soma.coupling:g}"]
    if soma.leak:
        lines += _branch("G", "v", "0", soma.leak / s, soma.tau)
    return "\n".join([f".subckt {name} {' '.join(inputs)} q", *lines, f"{THRESHOLD} v 0 jj area={soma.area:g}",
                      f"RT v 0 {process.shunt / soma.area:.6g}", f"{BIAS} 0 v pwl(0 0 5p {soma.bias * s:.6g}u)",
                      f"LO v o {soma.output / s:.6g}p", "XO o q SOMA_OUT", ".ends", ""])


def _branch(name: str, a: str, b: str, inductance: float, tau: float) -> list[str]:
    """pH and ps: the resistor is their ratio, ohm."""
    return [f"L{name} {a} m{name} {inductance:.6g}p", f"R{name} m{name} {b} {inductance / tau:.6g}"]
