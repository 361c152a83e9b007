"""What each target needs: which templates, under which names, filled in with what."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from clearlift_adapters.deployment import timetable
from clearlift_adapters.oauth.providers import SETTINGS

Relay = Literal["service", "tick"]
Extra = Literal["seal", "metrics"]

DATABASE: Final = "sqlite:////var/lib/clearlift/clearlift.db"
D1: Final = "d1://ACCOUNT_ID/DATABASE_ID"
CLOUDFLARE_QUEUE: Final = "cloudflare://ACCOUNT_ID/QUEUE_ID"

_TEXTFILES: Final = "/var/lib/prometheus/node-exporter"  # Debian's node_exporter reads there.


class SecretFile(NamedTuple):
    """A secret: the setting, and the file that it is read from."""

    setting: str
    file: str


class Client(NamedTuple):
    """What a platform knows us by; the secret that goes with it is among the SecretFiles."""

    platform: str
    setting: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run, and how."""

    schedule: str = "*/15 * * * *"
    relay: Relay = "service"
    extras: Sequence[Extra] = ()  # What is done beside ticks and relays, each by its own timer.
    platforms: Sequence[str] = ("google", "facebook", "tiktok")
    database: str = DATABASE
    queue: str | None = None
    program: str = "/opt/clearlift/bin/clearlift-cron"
    user: str = "clearlift"
    dynamic: bool = True  # Whether systemd makes the user as long as something runs.
    image: str = "clearlift-cron"

    @property
    def secrets(self) -> Sequence[SecretFile]:
        """Return every secret that this needs."""
        names = ["ENCRYPTION_KEY"]
        names += [SETTINGS[platform].client_secret for platform in self.platforms]
        if self.on_cloudflare:
            names.append("CLOUDFLARE_API_TOKEN")
        return [SecretFile(name, name.lower().replace("_", "-")) for name in names]

    @property
    def relay_secrets(self) -> Sequence[SecretFile]:
        """Return those that the relay needs, which opens no token."""
        return [each for each in self.secrets if each.setting == "CLOUDFLARE_API_TOKEN"]

    @property
    def seal_secrets(self) -> Sequence[SecretFile]:
        """Return those that sealing needs; nothing else gets its key."""
        return [SecretFile("AUDIT_SIGNING_KEY", "audit-signing-key"), *self.relay_secrets]

    @property
    def clients(self) -> Sequence[Client]:
        """Return the settings that belong to those secrets without being one."""
        return [Client(platform, SETTINGS[platform].client_id) for platform in self.platforms]

    @property
    def on_cloudflare(self) -> bool:
        """Return whether the database or the queue is Cloudflare's."""
        return self.database.startswith("d1:") or (self.queue or "").startswith("cloudflare:")


class File(msgspec.Struct, frozen=True):
    """A file that is ready: what `install --json` prints a line of."""

    name: str
    text: str


def systemd_files(plan: Plan) -> Sequence[File]:
    """Return a timer and its service, the relay's service, the extras, and the settings of all.

    Raises:
        ValueError: the schedule cannot be read.
    """
    names = ["clearlift-tick.timer", "clearlift-tick.service"]
    if plan.relay == "service":
        names.append("clearlift-relay.service")
    for extra in dict.fromkeys(plan.extras):
        names += [f"clearlift-{extra}.timer", f"clearlift-{extra}.service"]
    calendar = timetable.on_calendar(plan.schedule)
    return _filled([*names, "clearlift.env"], plan, calendar=calendar, textfiles=_TEXTFILES)


def cron_files(plan: Plan) -> Sequence[File]:
    """Return a file for /etc/cron.d and the settings.

    Raises:
        ValueError: the schedule cannot be read.
    """
    any_zone = timetable.any_time_zone(plan.schedule)
    return _filled(["clearlift", "clearlift.toml"], plan, any_zone=any_zone)


def kubernetes_files(plan: Plan) -> Sequence[File]:
    """Return the manifests, in one file.

    Raises:
        ValueError: the schedule cannot be read, or a CronJob cannot say it.
    """
    return _filled(["clearlift.yaml"], plan, cron=timetable.kubernetes(plan.schedule))


def docker_files(plan: Plan) -> Sequence[File]:
    """Return a Dockerfile."""
    return _filled(["Dockerfile"], plan)


def wrangler_files(plan: Plan) -> Sequence[File]:
    """Return what a consumer's wrangler.toml says of the database and the queue."""
    return _filled(["wrangler.toml"], plan, database_id=plan.database.rpartition("/")[2])


def _filled(names: Sequence[str], plan: Plan, **more: object) -> Sequence[File]:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  it takes long

    templates = Environment(
        loader=PackageLoader(__package__ or ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  none of these is HTML; values are checked where they come in
    )
    values: Mapping[str, object] = {"plan": plan, **more}
    return [File(name, templates.get_template(f"{name}.j2").render(values)) for name in names]
