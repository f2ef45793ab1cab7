"""A proof as one HTML page."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from snnsim import doctor
from snnsim.files import replacing
from snnsim.report.writing import needs, template

if TYPE_CHECKING:
    from snnsim.interop import Proof


def write_proof(path: str | os.PathLike[str], proof: Proof, inputs: str) -> None:
    """Write what `snnsim.interop.prove` found as a page; an existing file is replaced when the new one is complete. inputs:
    what the samples are. ImportError that says what to install when jinja2 is missing."""
    page = template(needs(), "proof.html").render(proof=proof, inputs=inputs, artefact=os.path.basename(proof.artefact),
                                                  version=doctor.versions()["snnsim"])
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
