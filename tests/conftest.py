"""What holds for every test."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported: see snnsim.cli.app.main
