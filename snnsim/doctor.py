"""What is installed, what is missing and the command that adds it; and what a neuron's rule was derived into."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from snnsim.version import __version__

# The packages of each extra in pyproject.toml, with the name to import where it is another; a test keeps them equal.
EXTRAS = {
    "core": ("numpy", "numba", "h5py", "typer", "rich"),
    "train": ("torch", "safetensors"),
    "gpu": ("triton",),
    "data": ("tonic", "scikit-learn", "aedat", "hdf5plugin"),
    "interop": ("spikingjelly", "snntorch", "nir", "nirtorch"),
    "plot": ("matplotlib", "jinja2"),
    "sfq": ("scipy",),
}
MODULES = {"scikit-learn": "sklearn"}
SERVES = {"core": "simulate, read and write networks", "train": "train, and lower what was trained",
          "gpu": "train on a CUDA card", "data": "the embedded digits, other event formats",
          "interop": "nets of other tools, and our exports in them", "plot": "pictures and reports",
          "sfq": "superconducting circuits"}
SHORT = {"lif": "lif_soft", "if": "if_soft", "cuba": "cuba_soft", "adaptive": "adaptive_lif", "mpr": "mpr_soft",
         "readout": "li"}


@dataclass(frozen=True)
class Package:
    """One package: its version, or None where it is missing, and the extra of snnsim that brings it."""

    name: str
    extra: str
    version: str | None

    @property
    def command(self) -> str:
        """What to type to have it; empty when it is there."""
        if self.version is not None:
            return ""
        return "pip install snnsim" if self.extra == "core" else f'pip install "snnsim[{self.extra}]"'


@dataclass(frozen=True)
class Examination:
    """What `examine` found. cores: that this process may use; threads: of Numba; cache: where compiled kernels are kept.

    cuda: the GPU that torch sees, or why there is none. problems: sentences that say what to do.
    """

    snnsim: str
    python: str
    system: str
    packages: tuple[Package, ...]
    cores: int
    threads: int | None
    cache: str
    cache_kept: bool
    cuda: str
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        packages = [{**asdict(p), "command": p.command} for p in self.packages]
        return {**asdict(self), "packages": packages, "problems": list(self.problems)}


def examine() -> Examination:
    """Look at the installation; nothing is changed and nothing downloaded."""
    packages = tuple(Package(name, extra, _version(name)) for extra, names in EXTRAS.items() for name in names)
    missing = [p for p in packages if p.version is None]
    problems = [f"{p.name} is missing, snnsim cannot work without it: {p.command}" for p in missing if p.extra == "core"]
    threads, cache, kept = None, "", False
    if find_spec("numba") is not None:
        threads, cache, kept = _kernels()
        if not kept:
            problems.append(f"the folder for compiled kernels cannot be written, so every start compiles them again: {cache} "
                            "is used now; set XDG_CACHE_HOME to a folder that can be written")
    cuda, problem = _cuda()
    return Examination(__version__, platform.python_version(), f"{platform.system()} {platform.machine()}", packages,
                       cores(), threads, cache, kept, cuda, tuple(problems + ([problem] if problem else [])))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions(*extras: str) -> dict[str, str]:
    """The versions of Python, snnsim and what is installed of these extras, for a report."""
    found = {"snnsim": __version__, "Python": platform.python_version()}
    names = [name for extra in extras for name in EXTRAS[extra]]
    return found | {name: v for name in names if (v := _version(name)) is not None}


def remedy(error: ImportError) -> str:
    """A sentence for a failed import: what is missing, and the command that adds it where it is one of ours."""
    missing = (error.name or "").partition(".")[0]
    for extra, names in EXTRAS.items():
        for name in names:
            if missing == MODULES.get(name, name) and find_spec(missing) is None:
                return f"{name} is missing: {Package(name, extra, None).command}"
    return str(error)


def explain(name: str, surrogate: str = "atan", detach_reset: bool = False) -> str:
    """The equation and the source of a neuron that comes with snnsim, and its derived forward and backward steps.

    name: a rule's, such as "lif_soft", or short, such as "lif". Errors: ValueError that lists the names; ImportError
    without torch, as surrogates stand in snnsim.nn.
    """
    from snnsim.rule import derive

    rules = {n.rule.name: n.rule for n in _neurons()}
    rule = rules.get(SHORT.get(name.lower(), name.lower()))
    if rule is None:
        raise ValueError(f"there is no rule {name!r}: give one of {', '.join(rules)}, or short {', '.join(SHORT)}")
    from snnsim.nn.surrogate import SURROGATES, surrogate_of

    if surrogate not in SURROGATES:
        raise ValueError(f"there is no surrogate {surrogate!r}: give one of {', '.join(SURROGATES)}")
    steps = derive(rule, surrogate_of(surrogate).slope, detach_reset)
    slope = f"; ds/dmargin is the surrogate {surrogate}, {surrogate_of(surrogate).width:g} wide" if rule.fires else ""
    parts = [f"{rule.name}: {rule.equation}", f"source: {rule.source}",
             f"states: {', '.join(rule.states)}; inputs: {', '.join(rule.inputs)}; parameters: {', '.join(rule.parameters)}",
             "", "forward, one step:", _indented(steps.forward.text()), "",
             f"backward, one step (g_ is the gradient of the loss{slope}):", _indented(steps.backward.text()),
             "", "F is the kernel's float type; Numba and Triton compile these lines as they stand."]
    return "\n".join(parts)


def rule_names() -> list[str]:
    """The rules that `explain` knows."""
    return [n.rule.name for n in _neurons()]


def _neurons() -> list[Any]:
    from snnsim.neurons import (
        IF,
        LI,
        LIF,
        MPRLIF,
        AdaptiveLIF,
        AdEx,
        CondExp,
        CubaLIF,
        Izhikevich,
        PscAlpha,
        PscDelta,
        PscExp,
    )

    return [LIF(), LIF(reset="hard"), LIF(reset="none"), IF(), IF(reset="hard"), CubaLIF(), CubaLIF(reset="hard"),
            AdaptiveLIF(), MPRLIF(), MPRLIF(reset="hard"), LI(), PscDelta(), PscExp(),
            PscExp(tau_syn=(0.5, 0.5)), PscAlpha(), PscAlpha(tau_syn=(0.5, 0.5)),
            CondExp(), CondExp(integrator="euler"), Izhikevich(), AdEx()]


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())


def _version(name: str) -> str | None:
    """The version, or None where the package cannot be imported."""
    if find_spec(MODULES.get(name, name)) is None:
        return None
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def _kernels() -> tuple[int, str, bool]:
    import numba

    from snnsim.kernel import cache_directory

    folder = cache_directory()
    kept = folder.parent.name == "snnsim"  # else a temporary folder that dies with this process
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
    return int(numba.get_num_threads()), str(Path(folder)), kept


def _cuda() -> tuple[str, str]:
    """What torch says of a GPU, and what is wrong with torch if it does not even load."""
    if find_spec("torch") is None:
        return "not looked for: torch is missing", ""
    try:
        import torch
    except Exception as e:  # a broken build fails in many ways, and the doctor is asked about just that
        return "not looked for: torch does not load", f"torch is installed but does not load ({e}): install it again"
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0), ""
    why = "this build of torch has no CUDA" if torch.version.cuda is None else f"CUDA {torch.version.cuda} finds no GPU"
    return f"none: {why}", ""
