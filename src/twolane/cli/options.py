"""Options that several subcommands have, and the producers that they describe."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from twolane import SafeProducer, ThroughputProducer
from twolane.cli.output import log_to_stderr
from twolane.cli.properties import read_properties
from twolane.config.known import ALIASES
from twolane.config.masking import Native
from twolane.config.policy import SAFE, THROUGHPUT, settings_for
from twolane.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twolane.config.policy import Settings

Lane = Literal["safe", "throughput"]


@dataclass(frozen=True)
class Connection:
    """What the common options say: settings by librdkafka's names, and ``allow_insecure``.

    Attributes
    ----------
    settings : Native
        Of -F, under those of -X, under -b. Its repr hides secrets.
    allow_insecure : bool
    quiet : bool
        Print errors only.
    """

    settings: Native
    allow_insecure: bool
    quiet: bool = False

    def checked(self, lane: Lane) -> Settings:
        """Return the settings in force on a lane.

        Raises
        ------
        ConfigError
        """
        policy = SAFE if lane == "safe" else THROUGHPUT
        return settings_for(policy, self.settings, {}, allow_insecure=self.allow_insecure)

    def producer(
        self, lane: Lane, defaults: Mapping[str, Any] | None = None, **options: Any
    ) -> SafeProducer | ThroughputProducer:
        """Make a producer of a lane.

        Parameters
        ----------
        lane : {"safe", "throughput"}
        defaults : mapping, optional
            Settings that the user's own replace.
        **options
            More keyword arguments of the class.

        Raises
        ------
        ConfigError
        """
        kind = SafeProducer if lane == "safe" else ThroughputProducer
        settings = {**(defaults or {}), **self.settings}
        with warnings.catch_warnings():
            # --allow-insecure was typed: there is nothing to warn of.
            warnings.filterwarnings("ignore", "allow_insecure=True", UserWarning)
            return kind(settings, allow_insecure=self.allow_insecure, **options)


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add -b, -X, -F, --allow-insecure, -q and -v; the command gets ``connection``, a Connection."""

    @click.option(
        "-b", "--bootstrap-servers", metavar="HOST:PORT,...", help="Brokers; $KAFKA_BOOTSTRAP_SERVERS by default."
    )
    @click.option(
        "-X", "settings", metavar="NAME=VALUE", multiple=True, callback=_pairs, help="A setting, by librdkafka's name."
    )
    @click.option(
        "-F",
        "config_file",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Settings, a line each: librdkafka's or a Java client's .properties. Passwords belong here.",
    )
    @click.option("--allow-insecure", is_flag=True, help="Let passwords and unchecked certificates pass: development.")
    @click.option("-q", "--quiet", is_flag=True, help="Only errors.")
    @click.option("-v", "--verbose", count=True, help="More of the log; -vv all of it.")
    @click.pass_context
    @functools.wraps(command)
    def with_connection(
        context: click.Context,
        /,
        *,
        bootstrap_servers: str | None,
        settings: dict[str, str],
        config_file: Path | None,
        allow_insecure: bool,
        quiet: bool,
        verbose: int,
        **others: Any,
    ) -> Any:
        log_to_stderr(context, -1 if quiet else verbose)
        merged = {**(read_properties(config_file) if config_file else {}), **settings}
        if bootstrap_servers is not None:
            merged["bootstrap.servers"] = bootstrap_servers
        return command(connection=Connection(Native(merged), allow_insecure, quiet), **others)

    return with_connection


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --json; the command gets ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="The result as one line of JSON.")(command)


def lane_option(default: Lane) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --lane; the command gets ``lane``."""
    return click.option(
        "--lane",
        type=click.Choice(["safe", "throughput"]),
        default=default,
        show_default=True,
        help="safe: waits, keeps order, says what is in the log. throughput: pipelined.",
    )


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return -X's settings by librdkafka's own names; errors show no value, which may be a password."""
    found: dict[str, str] = {}
    for number, text in enumerate(values, 1):
        name, mark, value = text.partition("=")
        if not mark or not name.strip():
            raise click.BadParameter(f"expected NAME=VALUE (number {number} of {len(values)})", context, parameter)
        name = ALIASES.get(name.strip(), name.strip())
        if name in found:
            raise ConfigError(f"{name} is set twice", key=name)
        found[name] = value
    return found
