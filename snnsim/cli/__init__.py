"""The command line: `snnsim COMMAND`. Each command stands in its own file and loads what it needs when it is called."""

from snnsim.cli.app import app, main

__all__ = ["app", "main"]
