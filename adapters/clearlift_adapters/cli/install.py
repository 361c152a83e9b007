"""`install`: prints the files that run the worker, for systemd, cron, Kubernetes, Docker, wrangler.

It reads no setting and writes only where --out says: what it prints is for another machine as often
as for this one. Secrets are not asked for; the files name where each is read from.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, get_args

import click
import msgspec

from clearlift_adapters.cli.options import Command, Flags, Group, SelfContained
from clearlift_adapters.cli.output import print_json, print_line
from clearlift_adapters.deployment.files import (
    CLOUDFLARE_QUEUE,
    D1,
    DATABASE,
    Extra,
    File,
    Plan,
    Relay,
    cron_files,
    docker_files,
    kubernetes_files,
    systemd_files,
    wrangler_files,
)
from clearlift_adapters.oauth.providers import SETTINGS
from clearlift_engine.errors import ConfigurationError

_PATH: Final = re.compile(r"/[A-Za-z0-9/._+-]+")
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9./:@_-]*")
_FILE_URL: Final = re.compile(r"sqlite:////[A-Za-z0-9/._+-]+")
_D1_URL: Final = re.compile(r"d1://[A-Za-z0-9_-]+/[A-Za-z0-9_-]+")
_QUEUE_URL: Final = re.compile(r"cloudflare://[A-Za-z0-9_-]+/[A-Za-z0-9_-]+")
_PRIVATE: Final = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108  only named
_HELP: Final = {
    "database": "What to use there. Default: a file in /var/lib/clearlift; of k8s, D1.",
    "queue": "What to use there. Default: a table of that file; of k8s, Cloudflare Queues.",
}


class Target(Command):
    """One kind of deployment: it takes a database and a queue, but no configuration."""

    @classmethod
    def shared(cls) -> list[click.Parameter]:
        options = [option for option in super().shared() if option.name != "config"]
        for option in options:
            if isinstance(option, click.Option) and option.name in _HELP:
                option.help = _HELP[option.name]
        return options


class Targets(Group):
    """All kinds."""

    command_class = Target

    @classmethod
    def shared(cls) -> list[click.Parameter]:
        return Target.shared()


@click.group("install", cls=Targets, short_help="Print the files that run the worker somewhere.")
@click.pass_obj
def command(flags: Flags) -> None:
    """Print the files that run the worker: units, a crontab, manifests, a Dockerfile.

    No secret is in them: each says which files with secrets it wants. --out DIR writes them.
    """
    if flags.config is not None:
        raise click.UsageError("install reads no configuration: leave --config out")


def _matching(pattern: re.Pattern[str], wanted: str) -> Callable[[str], str]:
    """Return a type for a text that is put into a file as it is: it must not end a line there."""

    def converted(text: str) -> str:
        if not pattern.fullmatch(text):
            raise click.BadParameter(f"{text[:80]!r} is not {wanted}")
        return text

    return converted


def _one_line(text: str) -> str:
    """Return a text without what would end a line; what it means is found out where it is read."""
    return " ".join(text.split())


def _here(flags: Flags) -> str:
    """Return where this program is; where nobody else could run it, the usual place, and say so."""
    python = Path(sys.executable)
    beside = str(python.parent / "clearlift-cron")
    if _PATH.fullmatch(beside) and not (_is_private(beside) or _is_private(str(python.resolve()))):
        return beside
    usual = Plan().program
    flags.log.note("warning", f"services cannot run what is in {python.parent}: install {usual}")
    return usual


def _is_private(path: str) -> bool:
    """Return whether a service is not shown what is there: homes, and files of the moment."""
    return path.startswith(_PRIVATE)


_Decorator = Callable[[Callable[..., object]], Callable[..., object]]

_OUT: Final[Sequence[_Decorator]] = (
    click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Write the files there instead.",
    ),
    click.option("--force", is_flag=True, help="With --out: overwrite what is there."),
)
_TIMES: Final[Sequence[_Decorator]] = (
    click.option(
        "--schedule",
        type=_one_line,
        default=Plan().schedule,
        show_default=True,
        metavar="CRON",
        help="When to tick, UTC.",
    ),
    click.option(
        "--relay",
        type=click.Choice(get_args(Relay)),
        help="Deliver by a service of its own, or by each tick.",
    ),
    click.option(
        "--platform",
        "platforms",
        multiple=True,
        type=click.Choice(list(SETTINGS)),
        default=list(SETTINGS),
        help="Whose tokens are refreshed; may be repeated. Default: all.",
    ),
)
_IMAGED: Final[Sequence[_Decorator]] = (
    click.option(
        "--image",
        type=_matching(_IMAGE, "the name of an image"),
        default=Plan().image,
        show_default=True,
        metavar="NAME",
        help="The image, as `install docker` builds it.",
    ),
)
_PLACED: Final[Sequence[_Decorator]] = (
    click.option(
        "--user",
        type=_matching(_USER, "the name of a user"),
        metavar="NAME",
        help="A user that exists. Default: clearlift; systemd makes it, cron does not.",
    ),
    click.option(
        "--program",
        type=_matching(_PATH, "an absolute path without odd characters"),
        metavar="PATH",
        help="Where clearlift-cron is. Default: this one, if it can be run there.",
    ),
)
_EXTRAS: Final[Sequence[_Decorator]] = (
    click.option(
        "--with",
        "extras",
        multiple=True,
        type=click.Choice(get_args(Extra)),
        help="Also units that seal the log each hour, or write metrics for node_exporter.",
    ),
)


def _with(*options: Sequence[_Decorator]) -> _Decorator:
    """Return a decorator that adds options, in their order."""

    def added(function: Callable[..., object]) -> Callable[..., object]:
        for decorate in reversed([each for group in options for each in group]):
            function = decorate(function)
        return function

    return added


@command.command("systemd", short_help="A timer, a service for each command, and their settings.")
@_with(_TIMES, _EXTRAS, _PLACED, _OUT)
@click.pass_obj
def systemd(
    flags: Flags,
    /,
    *,
    out: Path | None,
    force: bool,
    user: str | None,
    program: str | None,
    **chosen: object,
) -> None:
    """Print units for systemd 250 or newer: hardened, with a user of their own.

    Put the units into /etc/systemd/system, clearlift.env into /etc/clearlift, and each secret into
    a file in /etc/clearlift/secrets; then `systemctl enable --now` the timer and the relay.
    """
    if program is not None and _is_private(program):
        raise click.BadParameter(f"the units do not see {program}", param_hint="--program")
    chosen |= {"dynamic": user is None, "user": user, "program": program or _here(flags)}
    plan = _plan(flags, may_be_file=True, **chosen)
    if _is_private(plan.database.removeprefix("sqlite:///")):
        raise click.UsageError(
            f"the units do not see {plan.database} (ProtectHome=, PrivateTmp=): keep the database "
            f"in /var/lib/clearlift, as {DATABASE}"
        )
    _give(flags, _made(systemd_files, plan), out, force=force)


@command.command("cron", short_help="A file for /etc/cron.d, and its settings.")
@_with(_TIMES, _PLACED, _OUT)
@click.pass_obj
def cron(
    flags: Flags,
    /,
    *,
    out: Path | None,
    force: bool,
    program: str | None,
    relay: str | None,
    **chosen: object,
) -> None:
    """Print a line for cron. It has no services: unless --relay says otherwise, ticks deliver."""
    chosen |= {"relay": relay or "tick", "program": program or _here(flags)}
    plan = _plan(flags, may_be_file=True, **chosen)
    _give(flags, _made(cron_files, plan), out, force=force)


@command.command("k8s", short_help="A CronJob, the relay's Deployment, and what they need.")
@_with(_TIMES, _IMAGED, _OUT)
@click.pass_obj
def k8s(flags: Flags, /, *, out: Path | None, force: bool, **chosen: object) -> None:
    """Print manifests for Kubernetes 1.27 or newer; the database is D1.

    `kubectl apply -f -` takes them. What is not given here as --database and --queue stands there
    in capitals.
    """
    flags.values.setdefault("CLEARLIFT_DATABASE", D1)
    flags.values.setdefault("CLEARLIFT_QUEUE", CLOUDFLARE_QUEUE)
    plan = _plan(flags, may_be_file=False, **chosen)
    _give(flags, _made(kubernetes_files, plan), out, force=force)


@command.command(
    "docker", cls=SelfContained, short_help="A Dockerfile for the folder of the sources."
)
@_with(_IMAGED, _OUT)
@click.pass_obj
def docker(flags: Flags, *, out: Path | None, force: bool, image: str) -> None:
    """Print a Dockerfile: built in stages from pinned packages, run by a user without rights."""
    if flags.values:
        raise click.UsageError("an image has no database and no queue: give them where it is run")
    _give(flags, docker_files(Plan(image=image)), out, force=force)


@command.command("wrangler", short_help="What a consumer's wrangler.toml needs.")
@_with(_OUT)
@click.pass_obj
def wrangler(flags: Flags, *, out: Path | None, force: bool) -> None:
    """Print what a consumer's wrangler.toml says: migrations, queue, dead letters, retention."""
    flags.values.setdefault("CLEARLIFT_DATABASE", D1)
    flags.values.setdefault("CLEARLIFT_QUEUE", CLOUDFLARE_QUEUE)
    _give(flags, wrangler_files(_plan(flags, may_be_file=False)), out, force=force)


def _plan(flags: Flags, *, may_be_file: bool, **chosen: object) -> Plan:
    """Return what was asked for; `may_be_file`: whether an SQLite file will do as a database."""
    database = flags.values.get("CLEARLIFT_DATABASE", DATABASE)
    queue = flags.values.get("CLEARLIFT_QUEUE")
    if not _D1_URL.fullmatch(database) and not (may_be_file and _FILE_URL.fullmatch(database)):
        wanted = f"{DATABASE} or {D1}" if may_be_file else D1
        raise click.UsageError(f"--database must be such as {wanted}")
    if queue is not None and not _QUEUE_URL.fullmatch(queue):
        raise click.UsageError(f"--queue must be such as {CLOUDFLARE_QUEUE}")
    if database.startswith("d1:") and queue is None:
        raise click.UsageError(f"with D1, --queue is needed too: {CLOUDFLARE_QUEUE}")
    given = {name: value for name, value in chosen.items() if value is not None}
    return msgspec.convert({"database": database, "queue": queue, **given}, Plan)


def _made(make: Callable[[Plan], Sequence[File]], plan: Plan) -> Sequence[File]:
    try:
        return make(plan)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--schedule") from None


def _give(flags: Flags, made: Sequence[File], out: Path | None, *, force: bool) -> None:
    if out is not None:
        _write(made, out, force=force)
    for number, file in enumerate(made):
        if flags.json:
            print_json(file)
        elif out is not None:
            print_line(str(out / file.name))
        else:
            _print(file, first=number == 0)


def _print(file: File, *, first: bool) -> None:
    if not first:
        print_line("")
    for line in file.text.splitlines():
        print_line(line)


def _write(made: Sequence[File], out: Path, *, force: bool) -> None:
    """Write all files, or none if one of them is there already."""
    # A link is there too, whether or not it leads anywhere.
    there = [out / file.name for file in made if os.path.lexists(out / file.name)]
    if there and not force:
        names = ", ".join(map(str, there))
        verb = "is" if len(there) == 1 else "are"
        raise click.UsageError(f"{names} {verb} there already; --force overwrites")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file in made:
            with (out / file.name).open("w" if force else "x", encoding="utf-8") as opened:
                opened.write(file.text)
    except OSError as exc:
        wanted = "name a directory that this user may write to"
        raise ConfigurationError(f"cannot write to {out}: {exc.strerror}; {wanted}") from exc
