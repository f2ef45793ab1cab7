"""The commands together, and what they share: errors as sentences, exit codes, --debug."""

from __future__ import annotations

import errno
import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from snnsim.cli import data, demo, diagnose, export, mapping, picture, run, sfq, train, verify
from snnsim.cli.output import complain
from snnsim.version import __version__

HELP = """
Spiking networks: define one once, and get the same spikes everywhere. Trained, simulated, exported.

Start with the whole job on embedded data (about three minutes):  snnsim demo

Exit codes: 0 it worked; 1 it failed, or what was compared differs; 2 the command was not understood; 130 interrupted.
"""


class Sentences(TyperGroup):
    """Runs a command; what a user can set right becomes one sentence on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("interrupted; what was finished is kept")
            raise typer.Exit(130) from None
        except (ValueError, OSError, ImportError, MemoryError) as e:
            if ctx.params.get("debug") or (isinstance(e, OSError) and e.errno == errno.EPIPE):
                raise
            complain(_sentence(e))
            raise typer.Exit(1) from None


def _sentence(error: Exception) -> str:
    if isinstance(error, ImportError):
        from snnsim.doctor import remedy

        return remedy(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    return str(error) or type(error).__name__


app = typer.Typer(cls=Sentences, help=HELP, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False,
                  context_settings={"help_option_names": ["-h", "--help"]}, rich_markup_mode="markdown")
app.command("demo")(demo.demo)
app.command("doctor")(diagnose.doctor)
app.command("train")(train.train)
app.command("run")(run.run)
app.command("export")(export.export)
app.command("verify")(verify.verify)
app.command("map")(mapping.map_)
app.add_typer(data.app, name="data")
app.add_typer(picture.app, name="plot")
app.add_typer(sfq.app, name="sfq")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"snnsim {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from: snnsim --debug run ...")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


def main() -> None:
    """The entry point of the `snnsim` command."""
    # torch's idle threads spin by default: where another program uses a core, training then takes several times as long
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    app(prog_name="snnsim")
