"""The key, the clients, and whether tokens last until their jobs are done."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from clearlift_adapters.credentials import StoredCredentials
from clearlift_adapters.doctor.findings import Finding, Findings
from clearlift_adapters.oauth.providers import NEVER_REFRESHED, OAuthProvider
from clearlift_engine.alerts import spoken
from clearlift_engine.overview import Crowd

if TYPE_CHECKING:  # It loads cryptography.
    from clearlift_adapters.cipher import FieldCipher

SAMPLE: Final = 50  # Connections whose tokens are decrypted.


def key(cipher: "FieldCipher", sample: Sequence[StoredCredentials]) -> Findings:
    """Yield which key opens a sample of the stored tokens."""
    from clearlift_adapters.rekeying import examined  # noqa: PLC0415  it loads cryptography

    standings = Counter[str](
        each.standing for stored in sample for each in examined(cipher, stored)
    )
    opened = standings["current"] + standings["previous"]
    closed = standings["none"] + standings["malformed"]
    values = {"connections": len(sample), **standings}
    looked_at = f"the tokens of {len(sample)} connections"
    if closed and not opened:
        found = f"ENCRYPTION_KEY opens none of {closed} stored tokens"
        remedy = (
            "set ENCRYPTION_KEY to the key of the API worker, and after a change of keys the old "
            "one as ENCRYPTION_KEY_PREVIOUS"
        )
        yield Finding("key", "error", looked_at, found, values, remedy)
    elif closed:
        found = f"{closed} of {opened + closed} stored tokens open with none of the keys"
        remedy = "clearlift-cron keys verify names them; their users must reconnect"
        yield Finding("key", "warning", looked_at, found, values, remedy)
    elif standings["previous"]:
        found = f"{standings['previous']} of {opened} stored tokens open with a previous key only"
        yield Finding("key", "warning", looked_at, found, values, "clearlift-cron keys rotate")
    else:
        found = f"ENCRYPTION_KEY opens all {opened} stored tokens" if opened else "nothing to open"
        yield Finding("key", "ok", looked_at, found, values)


def no_key_yet() -> Findings:
    """Yield that there is neither a key nor anything to open with it."""
    found = "ENCRYPTION_KEY is not set, and no token is stored yet"
    remedy = "set it, or ENCRYPTION_KEY_FILE, to the key that the API worker encrypts tokens with"
    yield Finding("key", "warning", "ENCRYPTION_KEY", found, remedy=remedy)


def clients(providers: Mapping[str, OAuthProvider], crowds: Sequence[Crowd]) -> Findings:
    """Yield which platforms in use lack what it takes to refresh their tokens."""
    for platform, number in sorted(in_use(crowds).items()):
        provider = providers.get(platform)
        values = {"platform": platform, "connections": number}
        looked_at = f"{number} active connections of {platform}"
        if platform in NEVER_REFRESHED:
            yield Finding("client", "ok", looked_at, f"{platform} needs no client", values)
        elif provider is None:
            yield Finding(
                "client",
                "warning",
                looked_at,
                f"the platform {platform!r} is neither built in nor declared: its tokens cannot be "
                "refreshed",
                values,
                f"declare it in the configuration file, as [providers.{platform}]",
            )
        elif provider.problem is not None:
            names = f"{provider.settings.client_id} and {provider.settings.client_secret}"
            remedy = f"set {names}, or {provider.settings.client_secret}_FILE"
            found = f"{platform}: {provider.problem}, so that no token of it can be refreshed"
            yield Finding("client", "error", looked_at, found, values, remedy)
        else:
            found = f"{platform} has its client id and secret"
            yield Finding("client", "ok", looked_at, found, values)


def in_use(crowds: Sequence[Crowd]) -> Mapping[str, int]:
    """Return the platforms that have active connections, and how many."""
    counts = Counter[str]()
    for crowd in crowds:
        if crowd.active:
            counts[crowd.platform] += crowd.connections
    return counts


def refreshable(crowds: Sequence[Crowd]) -> Collection[str]:
    """Return the platforms in use whose tokens may have to be refreshed."""
    return {platform for platform in in_use(crowds) if platform not in NEVER_REFRESHED}


def margin(margin_ms: int, tick_ms: int, wait_ms: int) -> Findings:
    """Yield whether a token that was not refreshed at one tick lasts until its job is worked on."""
    needed_ms = tick_ms + wait_ms
    values = {
        "refresh_margin_s": margin_ms // 1000,
        "tick_interval_s": tick_ms // 1000,
        "queue_wait_s": wait_ms // 1000,
    }
    enough = margin_ms > needed_ms
    yield Finding(
        "refresh_margin",
        "ok" if enough else "warning",
        "CLEARLIFT_REFRESH_MARGIN, CLEARLIFT_CRON, the wait in the queue",
        f"tokens are refreshed {spoken(margin_ms)} before their end; ticks are {spoken(tick_ms)} "
        f"apart and jobs wait for {spoken(wait_ms)}"
        + ("" if enough else ": some tokens end before their job is worked on"),
        values,
        None if enough else f"CLEARLIFT_REFRESH_MARGIN={_round_up(needed_ms)}",
    )


def _round_up(ms: int) -> int:
    """Return the seconds that are safely more, in whole minutes."""
    return (ms // 60_000 + 5) * 60
