"""python -m snnsim is the `snnsim` command."""

from snnsim.cli import main

main()
