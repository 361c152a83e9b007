"""`metrics`: what Prometheus is told, the rules for it, and a dashboard for Grafana."""

from importlib.resources import files
from pathlib import Path
from typing import Final

import click
from prometheus_client import write_to_textfile

from clearlift_adapters.cli import stopping
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import print_bytes, print_json
from clearlift_adapters.cli.overview import look
from clearlift_adapters.cli.world import World, open_world
from clearlift_adapters.metrics import Facts, exposition, registry_of, views
from clearlift_adapters.stores.seals import SqliteSeals
from clearlift_engine.errors import ConfigurationError

RULES: Final = "prometheus-rules.yml"
DASHBOARD: Final = "grafana-dashboard.json"


@click.command("metrics", cls=Command, short_help="Print the worker's state for Prometheus.")
@click.option(
    "--textfile",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Write to this file, at once or not at all: for node_exporter's textfile collector.",
)
@click.option("--rules", is_flag=True, help="Print the alert rules for Prometheus instead.")
@click.option("--dashboard", is_flag=True, help="Print a dashboard for Grafana instead.")
@click.pass_obj
def command(flags: Flags, *, file: Path | None, rules: bool, dashboard: bool) -> None:
    """Print metrics in Prometheus' text format, as the database and the queue are at this moment.

    --rules and --dashboard print files that come with the program, and open no database.
    """
    if sum((file is not None, rules, dashboard)) > 1:
        raise click.UsageError("--textfile, --rules and --dashboard exclude each other")
    if rules or dashboard:
        print_bytes(asset(RULES if rules else DASHBOARD))
        return
    facts = stopping.run(_facts(flags))
    if file is not None:
        _write(file, facts)
    if flags.json:
        print_json({"metrics": views(facts)})
    elif file is None:
        print_bytes(exposition(facts))


def asset(name: str) -> bytes:
    """Return a file that comes with the program."""
    return files("clearlift_adapters").joinpath("assets", name).read_bytes()


async def metrics_of(world: World) -> bytes:
    """Return the metrics of this moment, for whoever serves them: text, version 0.0.4.

    Raises:
        ConfigurationError: CLEARLIFT_CRON is no schedule.
        UnavailableError: the database does not answer.
    """
    return exposition(await facts_of(world))


async def facts_of(world: World) -> Facts:
    """Return what metrics are made of; nothing reads the log but its end."""
    return Facts(await look(world), await SqliteSeals(world.backend.db).last_position())


async def _facts(flags: Flags) -> Facts:
    async with open_world(flags, "ro") as world:
        return await facts_of(world)


def _write(file: Path, facts: Facts) -> None:
    """Put the metrics into a file; whoever reads it sees the old ones or the new ones."""
    if file.suffix != ".prom":
        raise ConfigurationError(
            f"--textfile is {str(file)!r}: node_exporter reads files whose names end in .prom"
        )
    try:
        write_to_textfile(str(file), registry_of(facts))
    except OSError as exc:
        raise ConfigurationError(
            f"cannot write {file}: {exc.strerror}; correct --textfile, or make its directory "
            "writable for this user"
        ) from exc
