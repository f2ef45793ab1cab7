"""Every code block of README and docs runs: Python as it stands, and every snnsim command line."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SLOW = {"README.md", "camera.md", "event-store.md", "integers.md", "sfq-junctions.md", "sfq-training.md", "streaming.md",
        *(p.name for p in (ROOT / "docs" / "methods").glob("*.md"))}  # train, or draw
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"make (demo|test|test-slow|check|venv|peers)\s*(#.*)?")


def blocks(page, language):
    return [text for tag, text in BLOCK.findall(page.read_text(encoding="utf-8")) if tag == language]


@pytest.mark.parametrize("page", [pytest.param(p, id=p.name, marks=[pytest.mark.slow] * (p.name in SLOW))
                                  for p in PAGES if p.exists()])
def test_code_blocks_run(page, tmp_path):
    """The Python blocks of a page run in order in one process; then its commands, in the same folder."""
    code = "\n".join(blocks(page, "python"))
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    if code:
        subprocess.run([sys.executable, "page.py"], cwd=tmp_path, check=True, timeout=540)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for line in [c for block in blocks(page, "sh") for c in block.replace("\\\n", " ").splitlines() if c.strip()]:
        if MAKE.fullmatch(line.strip()):
            continue  # what sets up the repository itself; .ci/run runs it
        words = shlex.split(line, comments=True)
        assert words[0] in ("snnsim", "python"), f"{page.name}: a test cannot run {line!r}"
        command = [sys.executable, "-m", "snnsim", *words[1:]] if words[0] == "snnsim" else [sys.executable, *words[1:]]
        where = ROOT if words[0] == "python" else tmp_path
        if "../shared" in line:
            if not (ROOT.parent / "shared").exists():
                pytest.skip("there is no ../shared beside the checkout")
            command = [w.replace("../shared", str(ROOT.parent / "shared")) for w in command]
        subprocess.run(command, cwd=where, check=True, timeout=600, env={**os.environ, "COLUMNS": "100"})


def test_every_block_is_of_a_kind_that_runs_or_is_output():
    for page in PAGES:
        for tag, _ in BLOCK.findall(page.read_text(encoding="utf-8")) if page.exists() else ():
            assert tag in ("python", "sh", "text", "toml"), f"{page.name} has a block of {tag!r}, which no test runs"


def test_links_of_the_pages_lead_somewhere():
    for page in [p for p in PAGES if p.exists()]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"
