"""Everything an operator can set: flag > environment > configuration file > default.

The file is TOML: the one that --config or CLEARLIFT_CONFIG names, else ./clearlift.toml if there is
one. Nothing is read here but that file and the files that hold secrets, so that every command
can afford it; whether the key is any good is found out by whoever uses it.

CLEARLIFT_FAIL_THRESHOLD is always a percentage: 10, "10" and "10%" are ten connections in a
hundred, and 0.1 is one in a thousand.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from clearlift_adapters.oauth.providers import (
    SETTINGS,
    ClientCredentials,
    OAuthProvider,
    SettingNames,
    built_in,
    declared,
)
from clearlift_adapters.oauth.wire import Endpoint
from clearlift_adapters.published import refuse_published
from clearlift_adapters.sources import (
    CONFIG,
    Found,
    Secret,
    Sources,
    Table,
    as_choice,
    as_number,
    as_text,
    as_truth,
)
from clearlift_adapters.telling.receivers import Receivers
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.policy import DAY_MS, HOUR_MS, MINUTE_MS, Schedule

DEFAULT_CONFIG: Final = Path("clearlift.toml")
DEFAULT_DATABASE: Final = "sqlite:///clearlift.db"
DEFAULT_CLOUDFLARE: Final = "https://api.cloudflare.com/client/v4"
DEFAULT_THRESHOLD: Final = 10.0
DEFAULT_CRON: Final = "*/15 * * * *"

TIMES: Final = "from 1970 to 8999"  # Days before and after can be counted, and written.

_TIMES_END_MS: Final = 221_845_392_000_000  # 9000-01-01
_DAY_S: Final = DAY_MS // 1000
_YEAR_S: Final = 365 * _DAY_S
_BATCH_MAX: Final = 10_000  # A batch is one transaction, and in memory.


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force, and where each value came from."""

    database: str = DEFAULT_DATABASE
    queue: str | None = None
    now_ms: int | None = None  # None: the machine's clock.
    encryption_key: Secret | None = None
    encryption_keys_previous: tuple[Secret, ...] = ()
    cloudflare_api_token: Secret | None = None
    audit_signing_key: Secret | None = None
    serve_token: Secret | None = None  # Whoever asks a server that is bound elsewhere needs it.
    audit_public_key: str | None = None  # Several, with commas between, where keys were changed.
    cloudflare_api_base_url: str = DEFAULT_CLOUDFLARE
    sync_interval_s: int = HOUR_MS // 1000
    refresh_margin_s: int = 5 * MINUTE_MS // 1000
    batch_size: int = 500
    job_time_limit_s: int = 4 * _DAY_S
    fail_threshold_percent: float = DEFAULT_THRESHOLD
    receivers: Receivers = Receivers()
    cron: str = DEFAULT_CRON  # When ticks are expected; whoever needs it parses it.
    providers: Mapping[str, OAuthProvider] = {}  # Built in and declared, by platform.
    config: Path | None = None
    origins: Mapping[str, str] = {}  # By name, as in the environment.
    secret_files: Mapping[str, Path] = {}  # That were read, by what names them.
    complaints: Sequence[str] = ()  # About what is not in force, though somebody has set it.

    @property
    def secrets(self) -> Collection[str]:
        """Return every secret in force, for what must never show one."""
        named = [self.encryption_key, *self.encryption_keys_previous, self.cloudflare_api_token]
        named += [self.audit_signing_key, self.serve_token]
        clients = [provider.client.client_secret for provider in self.providers.values()]
        texts = {secret.value for secret in named if secret} | {text for text in clients if text}
        return {*texts, *self.receivers.secrets}

    @property
    def schedule(self) -> Schedule:
        """Return the part of the settings that the due rule depends on."""
        return Schedule(
            interval_ms=self.sync_interval_s * 1000,
            job_limit_ms=self.job_time_limit_s * 1000,
            refresh_margin_ms=self.refresh_margin_s * 1000,
        )


def load_settings(
    flags: Mapping[str, str], environment: Mapping[str, str], config: Path | None = None
) -> Settings:
    """Return the settings in force; `flags` has the names of the environment.

    Raises:
        ConfigurationError: a value, a file or a key in one is wrong; it says what to do.
    """
    path = config or _configured(environment) or _default_config()
    table = Table(_parsed(path) if path else {}, path)
    sources = Sources(flags, environment, table)
    previous = sources.secret("ENCRYPTION_KEY_PREVIOUS")
    key = sources.secret("ENCRYPTION_KEY")
    if key is not None:
        refuse_published(key.value)
    settings = Settings(
        database=_database(sources),
        queue=sources.optional("CLEARLIFT_QUEUE"),
        now_ms=_now(sources.environment_only("CLEARLIFT_NOW")),
        encryption_key=key,
        encryption_keys_previous=_several(previous),
        cloudflare_api_token=sources.secret("CLOUDFLARE_API_TOKEN"),
        audit_signing_key=sources.secret("AUDIT_SIGNING_KEY"),
        serve_token=sources.secret("CLEARLIFT_SERVE_TOKEN"),
        audit_public_key=sources.optional("AUDIT_PUBLIC_KEY"),
        cloudflare_api_base_url=sources.text("CLOUDFLARE_API_BASE_URL", DEFAULT_CLOUDFLARE),
        sync_interval_s=sources.whole(
            "CLEARLIFT_SYNC_INTERVAL", HOUR_MS // 1000, least=1, most=_YEAR_S
        ),
        refresh_margin_s=sources.whole(
            "CLEARLIFT_REFRESH_MARGIN", 5 * MINUTE_MS // 1000, least=0, most=_YEAR_S
        ),
        batch_size=sources.whole("CLEARLIFT_BATCH_SIZE", 500, least=1, most=_BATCH_MAX),
        job_time_limit_s=sources.whole(
            "CLEARLIFT_JOB_TIME_LIMIT", 4 * _DAY_S, least=1, most=_YEAR_S
        ),
        fail_threshold_percent=sources.percent("CLEARLIFT_FAIL_THRESHOLD", DEFAULT_THRESHOLD),
        receivers=Receivers(
            ping=_receiver(sources, "CLEARLIFT_PING_URL"),
            sentry=_receiver(sources, "CLEARLIFT_SENTRY_CRON_URL"),
            slack=_receiver(sources, "CLEARLIFT_SLACK_WEBHOOK_URL"),
        ),
        cron=sources.text("CLEARLIFT_CRON", DEFAULT_CRON),
        providers={**_built_in(sources), **_declared(sources, table.table("providers"))},
        config=path,
        origins=sources.origins,
        secret_files=sources.secret_files,
    )
    table.refuse_unknown()
    return msgspec.structs.replace(settings, complaints=sources.unknown())


def iso_time(text: str) -> int:
    """Return an ISO 8601 time as milliseconds since 1970; without a zone it is UTC.

    Raises:
        ValueError: it is no such time, or one that cannot be counted from: see `TIMES`.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if not 0 <= ms < _TIMES_END_MS:
        raise ValueError(text)
    return ms


def _configured(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(CONFIG)
    return Path(named) if named else None


def _default_config() -> Path | None:
    return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None


def _parsed(path: Path) -> Mapping[str, object]:
    import tomllib  # noqa: PLC0415  most installations have no file

    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as exc:
        raise ConfigurationError(
            f"cannot read the configuration file {path}: {exc.strerror}; correct --config or "
            "CLEARLIFT_CONFIG, or make the file readable for this user"
        ) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        why = str(exc) if isinstance(exc, tomllib.TOMLDecodeError) else "it is not UTF-8"
        raise ConfigurationError(f"the configuration file {path} is not TOML: {why}") from None


def _database(sources: Sources) -> str:
    """Return the database's URL; a plain path is the usual mistake."""
    url = sources.text("CLEARLIFT_DATABASE", DEFAULT_DATABASE)
    if "://" in url:
        return url
    path = url.removeprefix("sqlite:")
    # Whatever else it is, it may hold a password.
    example = DEFAULT_DATABASE if {"@", ":"} & set(path) else f"sqlite:///{quote(path)}"
    raise ConfigurationError(
        "CLEARLIFT_DATABASE (or --database) is not a URL: a file is written with three slashes and "
        f"its path, as in {example}"
    )


def _now(found: Found | None) -> int | None:
    if found is None:
        return None
    try:
        return iso_time(str(found.raw))
    except ValueError:
        raise ConfigurationError(
            f"CLEARLIFT_NOW is {str(found.raw)[:80]!r}: it must be an ISO 8601 time {TIMES}, "
            "such as 2026-10-10T12:00:00Z"
        ) from None


def _several(secret: Secret | None) -> tuple[Secret, ...]:
    parts = () if secret is None else secret.value.split(",")
    return tuple(Secret(part.strip()) for part in parts if part.strip())


def _receiver(sources: Sources, name: str) -> Endpoint | None:
    url = sources.secret(name)
    return None if url is None else Endpoint(url.value, name)


def _built_in(sources: Sources) -> Mapping[str, OAuthProvider]:
    clients: dict[str, ClientCredentials] = {}
    urls: dict[str, str] = {}
    for platform, names in SETTINGS.items():
        secret = sources.secret(names.client_secret)
        clients[platform] = ClientCredentials(
            sources.credential(names.client_id), None if secret is None else secret.value
        )
        url = sources.optional(names.token_url)
        if url is not None:
            urls[platform] = url
    return built_in(clients, urls)


def _declared(sources: Sources, providers: Table) -> Mapping[str, OAuthProvider]:
    names = list(providers.values)
    return {name: _provider(sources, name, providers.table(name)) for name in names}


def _provider(sources: Sources, name: str, table: Table) -> OAuthProvider:
    table.refuse_unknown(_PROVIDER)
    url = table.get("token_url")
    if url is None:
        raise ConfigurationError(f"{table.place} needs token_url")
    client_id = sources.referred(table, "client_id", in_clear=True)
    secret = sources.referred(table, "client_secret", in_clear=False)
    rate, rotates = table.get("requests_per_second"), table.get("rotates")
    auth, expiry = table.get("auth"), table.get("without_expiry")
    return declared(
        name,
        token_url=as_text(url.origin, url),
        client=ClientCredentials(client_id.value, secret.value),
        settings=SettingNames(client_id.setting, secret.setting, url.origin),
        requests_per_second=(
            1.0 if rate is None else as_number(rate.origin, rate, least=0.001, most=10_000)
        ),
        auth="body" if auth is None else as_choice(auth, _AUTH),
        rotates=True if rotates is None else as_truth(rotates),
        without_expiry="lasts" if expiry is None else as_choice(expiry, _EXPIRY),
        extra=table.texts("extra"),
    )


# fmt: off
_PROVIDER: Final = (
    "token_url", "client_id", "client_id_env", "client_id_file",
    "client_secret", "client_secret_env", "client_secret_file",
    "requests_per_second", "rotates", "auth", "without_expiry", "extra",
)
# fmt: on
_AUTH: Final[tuple[Literal["body", "basic"], ...]] = ("body", "basic")
_EXPIRY: Final[tuple[Literal["lasts", "refresh"], ...]] = ("lasts", "refresh")
