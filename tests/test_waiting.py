"""Threads of torch sleep while they wait, if snnsim.nn is there first; what was set on purpose stays."""

import os
import re
import subprocess
import sys

import pytest

SHOW = "import os\n{}\nprint(os.environ.get('OMP_WAIT_POLICY'))"


@pytest.mark.skipif(sys.platform != "linux", reason="OpenMP says what it read on standard error on Linux")
@pytest.mark.parametrize(("given", "text", "sleeps", "left"), [
    (None, "import snnsim.nn", True, "None"), ("ACTIVE", "import snnsim.nn", False, "ACTIVE"),
    (None, "import torch, snnsim.nn", False, "None")])
def test_openmp_reads_how_to_wait(given: str | None, text: str, sleeps: bool, left: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | {"OMP_DISPLAY_ENV": "VERBOSE"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    done = subprocess.run([sys.executable, "-c", SHOW.format(text)], env=environment, text=True, capture_output=True,
                          check=True)
    assert done.stdout.strip() == left
    spins = re.search(r"GOMP_SPINCOUNT = '(\w+)'", done.stderr)
    if spins is None:
        pytest.skip("this OpenMP does not say how long it spins")
    assert (spins[1] == "0") == sleeps
