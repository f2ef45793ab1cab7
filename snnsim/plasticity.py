"""How synapses change with the spikes that pass them: plain data, with the equations that the engine follows."""

from __future__ import annotations

from dataclasses import dataclass

from snnsim.rule import finite


class Plasticity:
    """One of STDP and TsodyksMarkram."""


@dataclass(frozen=True)
class STDP(Plasticity):
    """Pair-based spike-timing-dependent plasticity, all pairs.

    Each synapse sees its source's spikes at their own step, and its target's a delay later (the delay is dendritic). Of
    its traces x (source) and y (target), which decay with tau_plus and tau_minus, at each step

        target's spike arrives:  w <- w + a_plus x        (times w_max - w when multiplicative)
        source's spike:          w <- w - a_minus y       (times w - w_min when multiplicative);  w is sent
        then x <- x + 1, y <- y + 1 for the spikes of this step

    so that a pair which coincides changes nothing. w stays in w_min .. w_max. a_plus, a_minus: in the weight's unit, or
    shares of the distance to the bound when multiplicative. tau_plus, tau_minus: ms.
    Source: Song, Miller and Abbott, Nat. Neurosci. 3 (2000); dendritic delay: Morrison, Aertsen and Diesmann, Neural
    Comput. 19 (2007). Errors: ValueError that names the argument.
    """

    a_plus: float
    a_minus: float
    w_max: float
    w_min: float = 0.0
    tau_plus: float = 20.0
    tau_minus: float = 20.0
    multiplicative: bool = False

    def __post_init__(self) -> None:
        for name in ("a_plus", "a_minus"):
            finite(f"{name} of STDP", getattr(self, name))
        finite("tau_plus of STDP", self.tau_plus, above=0.0)
        finite("tau_minus of STDP", self.tau_minus, above=0.0)
        finite("w_min of STDP", self.w_min)
        finite("w_max of STDP", self.w_max, above=self.w_min)


@dataclass(frozen=True)
class TsodyksMarkram(Plasticity):
    """Short-term depression and facilitation: a spike sends w u r, from resources r of which it takes the share u.

        r = 1 - (1 - r (1 - u)) exp(-T / tau_rec);  u = U + u (1 - U) exp(-T / tau_facil)     T: since the last spike
        the first spike finds r = 1, u = U; tau_facil = 0 keeps u = U (depression alone)

    U: above 0, at most 1; tau_rec, tau_facil: ms. Source: Tsodyks and Markram, PNAS 94 (1997); Markram, Wang and Tsodyks,
    PNAS 95 (1998). Errors: ValueError that names the argument.
    """

    U: float = 0.5
    tau_rec: float = 800.0
    tau_facil: float = 0.0

    def __post_init__(self) -> None:
        u = finite("U of TsodyksMarkram", self.U, above=0.0)
        if u > 1.0:
            raise ValueError(f"U of TsodyksMarkram must be at most 1, got {self.U!r}")
        finite("tau_rec of TsodyksMarkram", self.tau_rec, above=0.0)
        finite("tau_facil of TsodyksMarkram", self.tau_facil, at_least=0.0)
