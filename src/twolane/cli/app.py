"""The command's entry: finds subcommands, turns errors into a line and an exit code."""

from __future__ import annotations

import importlib
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import click

from twolane import __version__
from twolane.cli.exits import Exit, Terminated, of_error, text_of
from twolane.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

# Each is a module of this package with a click command called `command`; imported when it is used.
COMMANDS = ("load", "send", "perf", "advise", "check", "cluster", "about")


class App(click.Group):
    """The group of subcommands; whatever they raise ends here."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all subcommands."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import a subcommand."""
        if name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"twolane.cli.{name}").command
        return found

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **options: Any
    ) -> NoReturn:
        """Run a subcommand and exit with its code."""
        options.pop("standalone_mode", None)
        try:
            code = super().main(args, prog_name or self.name, standalone_mode=False, **options)
        except click.ClickException as error:
            error.show()
            code = Exit.USAGE
        except click.Abort as error:  # click's word for Ctrl-C
            code = of_error(error.__cause__ or KeyboardInterrupt())
        except Exception as error:  # noqa: BLE001 - the end of the line
            code = of_error(error)
            if code is Exit.FAULT:
                traceback.print_exc()
                say("this is a fault of twolane: please report it, with `twolane about`")
            else:
                say(text_of(error))
        sys.exit(code or Exit.OK)


@click.group(
    "twolane",
    cls=App,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.version_option(__version__)
def app() -> None:
    """Send to Kafka from a shell, and see what a cluster can do."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def main() -> None:
    """Run the command."""
    signal.signal(signal.SIGTERM, _terminate)
    app()
