"""What became of an artefact in each tool."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from snnsim.hardware import MatchReport
from snnsim.hardware.loihi.check import Quantised
from snnsim.interop.lava_tools import LavaReport

Report = MatchReport | LavaReport


@dataclass(frozen=True)
class Run:
    """The artefact in one tool. report: None where it did not run, and `why`. failed: the tool is there and was to run it, and
    did not; a tool that cannot read what a NIR file holds has not failed."""

    tool: str
    report: Report | None
    why: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Proof:
    """What `prove` found. runs: of which every one that ran must be exact. quantised: for artefacts in whole numbers, which
    need not be. predictions_equal: of `samples`; before, after: accuracies of the network and of the artefact, or None where
    no labels are known."""

    artefact: str
    kind: Literal["nir", "loihi", "sfq"]
    samples: int
    runs: tuple[Run, ...]
    predictions_equal: int
    before: float | None = None
    after: float | None = None
    quantised: Quantised | None = None
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Every tool that ran it gave the same spikes, and none failed."""
        return all(r.report.exact for r in self.runs if r.report is not None) and not any(r.failed for r in self.runs)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and texts, for JSON."""
        runs = [{"tool": r.tool, "why": r.why, "failed": r.failed,
                 "report": None if r.report is None else r.report.to_dict()} for r in self.runs]
        return {**asdict(self), "exact": self.exact, "runs": runs,
                "quantised": None if self.quantised is None else self.quantised.to_dict()}
