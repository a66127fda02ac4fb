"""``twolane about``."""

from __future__ import annotations

import click

from twolane._about import about
from twolane.cli.options import json_option
from twolane.cli.output import print_json


@click.command("about")
@json_option
def command(as_json: bool) -> None:
    """Show what is installed: twolane and its build, librdkafka, Python. Send it along with a question."""
    found = about()
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name:16} {value}")
