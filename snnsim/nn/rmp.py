"""RMP-Loss: potentials are drawn to the two values that a spike stands for, so that the decision loses less.

    cost[t] = |u[t] / (2 theta) - o[t]|^p,   p = 1 or 2,   o[t] = 1 where the neuron fires, else 0

u is the potential before the decision, o a constant. At theta = 1/2 this is |u - o|^p = min(|u|, |1 - u|)^p, as in the
paper; another theta measures u in units of 2 theta, so that the threshold stays in the middle of the two values, 0 and
2 theta, and a net whose weights and thresholds are scaled by one factor has the same loss.

Guo et al., ICCV (2023). The form of the cost, its mean over samples, neurons and steps and then over layers, the schedules
of `snnsim.train.schedule`, and the unit of 2 theta are our reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snnsim.neurons import mpr
from snnsim.nn.penalty import Function, Penalty
from snnsim.rule import Rule, one_of, where


def linear(v: Any, s: Any, theta: Any) -> Any:
    d = v / (2.0 * theta) - s
    return where(d < 0.0, -d, where(d > 0.0, d, 0.0))


def square(v: Any, s: Any, theta: Any) -> Any:
    d = v / (2.0 * theta) - s
    return d * d


def linear_at_half(v: Any, s: Any) -> Any:
    d = v - s
    return where(d < 0.0, -d, where(d > 0.0, d, 0.0))


def square_at_half(v: Any, s: Any) -> Any:
    d = v - s
    return d * d


@dataclass(frozen=True)
class RMP(Penalty):
    """|u / (2 theta) - o|^p of the state `v`, with the rule's parameter `theta`, which is 1/2 for MPRLIF.

    p: 1 or 2. theta is that at rest where a threshold moves, as in AdaptiveLIF; where theta is learned it has a gradient.
    Errors: ValueError for another p, and for a rule without a state `v` or a parameter `theta`.
    """

    p: int = 2

    def __post_init__(self) -> None:
        one_of("p", self.p, (1, 2))

    def cost(self, rule: Rule) -> Function:
        if rule in mpr.PLAIN:
            return linear_at_half if self.p == 1 else square_at_half
        if "v" not in rule.states or "theta" not in rule.parameters:
            raise ValueError(f"RMP needs a state v and a parameter theta, and rule {rule.name!r} has the states "
                             f"{', '.join(rule.states)} and the parameters {', '.join(rule.parameters)}: give a function of "
                             "them as the penalty")
        return linear if self.p == 1 else square
