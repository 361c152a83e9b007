"""Defects 5, 6 and 22, over HTTP: what each platform wants to be asked, and what is said if not."""

from base64 import b64encode

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.ids import new_id
from clearlift_adapters.oauth.providers import SETTINGS, ClientCredentials, built_in
from clearlift_adapters.oauth.refresher import HttpTokenRefresher
from clearlift_engine.policy import DAY_MS, iso
from clearlift_engine.run import TickPorts, TickReport
from clearlift_engine.tick import tick
from tests.given import NOW_MS
from tests.loopback import Behaviour, Visit, answer, answer_json, loopback
from tests.worker import Worker, never

CIPHER = FieldCipher(b64encode(bytes(32)).decode())
CLIENT = ClientCredentials("client-id", "client-secret")
GRANTED = {"access_token": "at-new", "expires_in": 86_400}
EXPIRED = iso(NOW_MS - DAY_MS)


def connect(worker: Worker, connection_id: str, platform: str, refresh: str | None) -> None:
    """Add a connection whose token has expired, encrypted as the API worker does it."""
    worker.seed.add_connection(
        connection_id,
        platform=platform,
        credentials_encrypted=CIPHER.seal(f"access of {connection_id}"),
        refresh_token_encrypted=None if refresh is None else CIPHER.seal(refresh),
        expires_at=EXPIRED,
    )


async def asked(worker: Worker, behaviour: Behaviour) -> tuple[TickReport, list[Visit]]:
    """Tick against a token endpoint that behaves so; return what was sent to it."""
    async with loopback(behaviour) as server:
        clients = dict.fromkeys(SETTINGS, CLIENT)
        providers = built_in(clients, dict.fromkeys(SETTINGS, server.url))
        async with HttpTokenRefresher(
            cipher=lambda: CIPHER, providers=providers, clock=worker.clock
        ) as refresher:
            world = worker.world
            ports = TickPorts(
                world.store, world.vault, refresher, worker.rescue, worker.clock, new_id
            )
            report, *_ = await tick(
                ports,
                worker.settings,
                run_id="run",
                now_ms=worker.clock.now(),
                should_stop=never,
                note=worker.note,
            )
        return report, server.visits


async def test_05_tiktok_is_refreshed_and_stripe_with_an_expiry_just_gets_its_job(
    worker: Worker,
) -> None:
    connect(worker, "t", "tiktok", "rt-tiktok")
    connect(worker, "s", "stripe", None)

    report, visits = await asked(worker, answer_json(200, {**GRANTED, "refresh_token": "rt-new"}))

    [visit] = visits
    assert visit.form == {
        "client_key": "client-id",
        "client_secret": "client-secret",
        "grant_type": "refresh_token",
        "refresh_token": "rt-tiktok",
    }
    assert (report.failed, sorted(worker.jobs())) == (0, ["s", "t"])
    stored = str(worker.connection("t")["refresh_token_encrypted"])
    assert CIPHER.open(stored, connection_id="t", column="refresh_token_encrypted") == "rt-new"
    assert worker.connection("s")["expires_at"] == EXPIRED


async def test_06_facebook_exchanges_its_access_token_for_it_has_no_other(worker: Worker) -> None:
    connect(worker, "f", "facebook", None)

    report, visits = await asked(worker, answer_json(200, GRANTED))

    [visit] = visits
    assert (visit.method, visit.target) == ("POST", "/token")
    assert visit.form["grant_type"] == "fb_exchange_token"
    assert visit.form["fb_exchange_token"] == "access of f"
    assert (report.failed, worker.jobs()) == (0, ["f"])
    stored = str(worker.connection("f")["credentials_encrypted"])
    assert CIPHER.open(stored, connection_id="f", column="credentials_encrypted") == "at-new"


async def test_22_text_of_a_failure_is_the_one_that_was_promised(worker: Worker) -> None:
    connect(worker, "refused", "google", "rt-google")
    connect(worker, "corrupted", "google", "rt-google")
    worker.seed.update_connection("corrupted", refresh_token_encrypted="!!! no base64 !!!")
    connect(worker, "none", "google", None)

    await asked(worker, answer(502, b"<html>rt-google: Bad Gateway</html>"))

    errors = {name: worker.connection(name)["sync_error"] for name in worker.marked()}
    assert errors == {
        "refused": "Token refresh failed: Google is failing (http_502); it will be tried again",
        "corrupted": "Token refresh failed: the stored refresh token is malformed; "
        "the user must reconnect",
        "none": "Token refresh failed: no refresh token stored; the user must reconnect",
    }
