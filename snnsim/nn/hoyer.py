"""One-step nets whose thresholds are set by the Hoyer extremum of the activations, and the loss that keeps these away.

Datta, Liu and Beerel, arXiv:2212.10170 (2022). Blocks are conv -> pool -> batch norm -> HoyerSpike: pooled before, so that
a pool never counts spikes. The largest of a window is not linear and cannot be lowered; sums and means can.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch

from snnsim.neurons import lif
from snnsim.nn import cuda, norm, processes
from snnsim.nn.compiling import uncompiled
from snnsim.nn.neuron import Neuron
from snnsim.rule import finite, one_of

_open: ContextVar[list[torch.Tensor] | None] = ContextVar("hoyer losses", default=None)


@contextmanager
def collected() -> Iterator[list[torch.Tensor]]:
    """A list that every HoyerSpike in training, while open, adds its weighted Hoyer loss to:

        with nn.collected() as penalties:
            out, _ = net(x)
        loss = cross_entropy(out.mean(0), label) + sum(penalties)

    One within another takes all to itself. `fit` does the same.
    """
    found: list[torch.Tensor] = []
    token = _open.set(found)
    try:
        yield found
    finally:
        _open.reset(token)


def hoyer_loss(z: torch.Tensor) -> torch.Tensor:
    """(sum zc)^2 / sum zc^2 with zc = clip(z, 0, 1): how many values share the activation; 0 where all are 0.

        d / dz_j = 2 S1 / S2 (1 - z_j S1 / S2) where 0 <= z_j <= 1, else 0;   S1 = sum zc, S2 = sum zc^2

    The derivative is 0 at the extremum S2 / S1: what lies below is pushed down, what lies above up, away from a threshold
    that stands there. Where torch.distributed has several processes, all must call it: the sums are those of the whole
    batch, and a process's gradient is such that those of all, weighted by their shares of the batch as `fit` does, add up
    to that of the whole.
    """
    loss: torch.Tensor = _Hoyer.apply(z)  # type: ignore[no-untyped-call]
    return loss


class _Hoyer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
        s1, s2 = processes.add_up(_sums(z.reshape(-1, z.shape[-1])).sum(1)).unbind()
        ctx.save_for_backward(z)
        ctx.ratio = s1 / s2 if float(s2) > 0.0 else torch.zeros_like(s1)
        ctx.share = processes.share()
        loss: torch.Tensor = (ctx.ratio * s1).to(z.dtype)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        (z,) = ctx.saved_tensors
        if ctx.share == 0.0:
            return torch.zeros_like(z)
        ratio = ctx.ratio.to(z.dtype)
        slope = 2.0 * ratio * (1.0 - z * ratio)
        pulled: torch.Tensor = torch.where((z >= 0.0) & (z <= 1.0), slope, 0.0) * (g / ctx.share)
        return pulled


def _sums(rows: torch.Tensor) -> torch.Tensor:
    """Sums of zc and of zc^2 a column of z [N, C]: float64 [2, C]. On the CPU the same bits for any number of threads."""
    clipped = rows.detach().clamp(0.0, 1.0)
    if clipped.is_cuda:
        wide = clipped.double()
        return torch.stack([wide.sum(0), wide.square().sum(0)]) * processes.counts()
    values = clipped.contiguous().numpy()
    return torch.from_numpy(norm._sums(values, values)) * processes.counts()


class _Fire(torch.autograd.Function):
    """The spikes as they are; d s / d z = 1/2 where 0 < z <= 2, else 0."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(z)
        return s.clone()

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None]:
        (z,) = ctx.saved_tensors
        return torch.where((z > 0.0) & (z <= 2.0), 0.5 * g, 0.0), None


class HoyerSpike(Neuron):
    """Neurons that fire at the Hoyer extremum of their activations: forward(x, state=None) -> (spikes, state).

        z = x / |th|;  zc = clip(z, 0, 1);  E = sum zc^2 / sum zc, or 1 where no zc is above 0;  s = 1 if x >= |th| E else 0
        d s / d z = 1/2 where 0 < z <= 2, else 0, and through z to x and to th; E is a constant to the gradient

    x: [T, B, C, ...]: T = 1 in the paper, and more steps are independent of each other; state is taken and given as in
    `Neuron`, and changes nothing. features: C. per: "channel", one E for each of the C, over all else, or "layer", one E.
    threshold: where th starts, in the unit of x; it is the Parameter `threshold`, one number, and may not become 0.
    In training E is the batch's, over all processes of torch.distributed, which must all call it; in evaluation it is
    `extremum`, the running mean of training, moved by `momentum` a batch. That starts at 1, the plain threshold th, and the
    first batch replaces it: our choice, as the authors' starts at 0, with which all that is not negative fires. So a net can be
    evaluated before it is trained, but its thresholds tell nothing yet.

    weight: what the layer's loss, `hoyer_loss(z)` over all of it, is multiplied by before it is `collected`; 1e-8 in the paper.

    leak: None, or neurons with a membrane over the steps, h = leak v + x in place of x, v = h - |th| E s, with an E of each
    step in training. It is the Parameter `leak`, clipped to 0 .. 1, that starts at the number given, 1 in the paper. That v
    loses the threshold that was crossed, and that one E serves all steps in evaluation, is our reading of it.

    In evaluation it is the rule lif_hard with decay 0 and theta = |th| E, or lif_soft with the leak: it is lowered to that.

    Errors: ValueError that names the argument; those of `Neuron` for x and state.
    """

    extremum: torch.Tensor
    batches: torch.Tensor
    leak: torch.nn.Parameter | None

    def __init__(self, features: int, *, per: Literal["channel", "layer"] = "channel", weight: float = 1e-8,
                 leak: float | None = None, threshold: float = 1.0, momentum: float = 0.1) -> None:
        if isinstance(features, bool) or not isinstance(features, int) or features < 1:
            raise ValueError(f"features must be a positive whole number, got {features!r}")
        one_of("per", per, ("channel", "layer"))
        finite("weight", weight, at_least=0.0)
        finite("threshold", threshold, above=0.0)
        for name, value in (("leak", 0.0 if leak is None else leak), ("momentum", momentum)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie from 0 to 1, got {value!r}")
        super().__init__(lif.RULES["hard" if leak is None else "soft"](decay=leak or 0.0, theta=threshold))
        self.features, self.per, self.weight, self.momentum = features, per, float(weight), float(momentum)
        self.threshold = torch.nn.Parameter(torch.tensor(float(threshold)))
        self.register_parameter("leak", None if leak is None else torch.nn.Parameter(torch.tensor(float(leak))))
        self.register_buffer("extremum", torch.ones(features if per == "channel" else ()))
        self.register_buffer("batches", torch.tensor(0))

    def step_parameters(self, dimensions: int = 1) -> dict[str, torch.Tensor]:
        """The parameters of the rule in evaluation, for neurons of shape (C,), or with 3 dimensions (C, H, W)."""
        return {"decay": self._decay(), "theta": self._theta(self.extremum, dimensions)}

    def _decay(self) -> torch.Tensor:
        return torch.zeros_like(self.threshold) if self.leak is None else self.leak.clamp(0.0, 1.0)

    def _theta(self, extremum: torch.Tensor, dimensions: int) -> torch.Tensor:
        theta = self.threshold.detach().abs() * extremum
        return theta.reshape(-1, *[1] * (dimensions - 1)) if self.per == "channel" else theta

    @uncompiled
    def forward(self, x: Any, state: Sequence[torch.Tensor] | None = None) -> tuple[
            torch.Tensor, tuple[torch.Tensor, ...]]:
        given = self.tensors(x)[0]
        self.check_state(state, given, self.rule.states)
        if given.shape[2] != self.features:
            raise ValueError(f"x must be [T, B, {self.features}, ...], got {tuple(given.shape)}")
        if not bool(torch.isfinite(given).all()):
            raise ValueError("the input holds NaN or infinity")
        if not self.threshold.detach().any():
            raise ValueError("threshold has become 0: lower the learning rate")
        x = given.to(cuda.STATE[given.dtype])
        out, z, extrema, v = self._steps(x, torch.zeros_like(x[0]) if state is None else state[0])
        if self.training:
            self._track(torch.stack(extrema).mean(0))
            if self.weight and (found := _open.get()) is not None:
                found.append(self.weight * hoyer_loss(torch.cat(z)))
        return torch.cat(out).to(given.dtype), (v,)

    def _steps(self, x: torch.Tensor, v: torch.Tensor, see: Any = None) -> tuple[
            list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        """Spikes, z and E of the steps, and the last v. see: called at each step with (h,) and the spike."""
        out, z, extrema = [], [], []
        for step in [x] if self.leak is None else x.split(1):
            h = step if self.leak is None else self._decay().to(x.dtype) * v + step
            z.append(h / self.threshold.abs().to(x.dtype))
            extrema.append(self._extremum(z[-1]) if self.training else self.extremum)
            theta = self._theta(extrema[-1], x.ndim - 2).to(x.dtype)
            s = _Fire.apply(z[-1], (h >= theta).to(x.dtype))  # type: ignore[no-untyped-call]
            v = (h * (1.0 - s) if self.leak is None else h - s * theta)[-1]
            out.append(s)
            for held, fired in zip(h, s, strict=True) if see is not None else ():
                see((held,), fired)
        return out, z, extrema, v

    def eager(self, inputs: Sequence[torch.Tensor], state: Any, parameters: Sequence[torch.Tensor], see: Any = None,
              **options: Any) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """What `forward` computes, which moves nothing."""
        x = inputs[0].to(cuda.STATE[inputs[0].dtype])
        out, *_, v = self._steps(x, torch.zeros_like(x[0]) if state is None else state[0], see)
        return torch.cat(out).to(inputs[0].dtype), (v,)

    def parameters_for(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [p.to(x.device, cuda.STATE[x.dtype]) for p in self.step_parameters(x.ndim - 2).values()]

    def set_penalty(self, penalty: Any) -> None:
        if penalty is not None:
            raise ValueError("HoyerSpike takes no penalty of its potentials: its own loss, with its weight, is the one that "
                             "draws them from the threshold")
        super().set_penalty(None)

    def _extremum(self, z: torch.Tensor) -> torch.Tensor:
        """E of these values [T, B, C, ...], over all processes: [C], or one number."""
        sums = processes.add_up(_sums(z.movedim(2, -1).reshape(-1, self.features)))
        s1, s2 = sums if self.per == "channel" else sums.sum(1)
        return torch.where(s1 > 0.0, s2 / s1, 1.0).to(self.extremum.dtype)

    @torch.no_grad()
    def _track(self, extremum: torch.Tensor) -> None:
        self.extremum.lerp_(extremum, self.momentum if int(self.batches) else 1.0)
        self.batches += 1

    def extra_repr(self) -> str:
        return f"{self.features}, per={self.per!r}, weight={self.weight:g}" + ("" if self.leak is None else ", leak")
