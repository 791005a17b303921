"""Entry point: lazy commands, one line for every error, and the exit codes.

0  done                1  some row failed
2  bad usage or configuration      3  device unreachable or refused

``ab`` and ``compare``: 0 the same or faster, 1 slower, 4 cannot tell.
"""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

import click

from edgewright import __version__
from edgewright.errors import EdgewrightError

#: command name -> (module, attribute, one line of help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "ab": ("edgewright.cli.ab", "ab", "Measure two models by turns: is B slower?"),
    "bench": ("edgewright.cli.bench", "bench", "Measure one model on one device."),
    "build": ("edgewright.cli.build", "build", "Compress and export a model for a device profile."),
    "compare": ("edgewright.cli.compare", "compare", "Compare two runs, reports or rows: is B slower?"),
    "device": ("edgewright.cli.device", "device", "List, probe and trust devices."),
    "history": ("edgewright.cli.history", "history", "Show the series of the store and where they changed."),
    "keys": ("edgewright.cli.keys", "keys", "Make keys that sign models, and show them."),
    "explain": ("edgewright.cli.explain", "explain", "Say what a recipe does and can save on a device."),
    "farm": ("edgewright.cli.farm", "farm", "Measure on many devices every night, and see how they are."),
    "models": ("edgewright.cli.models", "models", "List the light networks that can be students."),
    "profile-ops": (
        "edgewright.cli.profile_ops",
        "profile_ops",
        "Time every node of a model on a device, and explain a difference.",
    ),
    "profiles": ("edgewright.cli.profiles", "profiles", "List, show and check device profiles."),
    "prune": ("edgewright.cli.prune", "prune", "Prune a model down to a latency measured on a device."),
    "regressions": (
        "edgewright.cli.history",
        "regressions",
        "Say what of a run got worse, and what is missing.",
    ),
    "report": ("edgewright.cli.report", "report", "Render a stored run."),
    "run": ("edgewright.cli.run", "run", "Measure a plan: workloads x recipes x runtimes x devices."),
    "sensitivity": (
        "edgewright.cli.sensitivity",
        "sensitivity",
        "Find the layers that compression harms most.",
    ),
    "serve": ("edgewright.cli.site", "serve", "Show the results live in a browser."),
    "site": ("edgewright.cli.site", "site", "Write the results as a site that opens from a disk."),
    "store": ("edgewright.cli.store", "store", "Check, prune, export and import results."),
    "techniques": ("edgewright.cli.techniques", "techniques", "List and show compression techniques."),
    "transfer": (
        "edgewright.cli.transfer",
        "transfer",
        "Try a study's best settings on another device.",
    ),
    "tune": ("edgewright.cli.tune", "tune", "Find the setting to ship on a device."),
    "verify": ("edgewright.cli.verify", "verify", "Check built models against their manifests."),
}


class LazyCommands(click.Group):
    """A group whose commands are imported when they are called, so that ``--help`` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.command(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgewright")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Compress a model for a device, measure it there, and choose."""


def main() -> NoReturn:
    """Run the command line; every error the user can cause ends in one line and a non-zero exit."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort as abort:
        if isinstance(abort.__cause__, EOFError):
            raise  # click takes one for an interrupt wherever it comes from; from us it is a bug
        _fail("interrupted", 130)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except EdgewrightError as error:
        if "--debug" in sys.argv[1:]:
            raise
        _fail(str(error), error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    line = " ".join(message.split())
    click.echo(f"error: {line}", err=True)
    sys.exit(code)
