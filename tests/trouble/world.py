"""What can go wrong around the file: providers, keys, clocks, queues, consumers, signals."""

import signal
from collections.abc import Mapping
from typing import Final

from clearlift_engine.policy import DAY_MS, HOUR_MS, iso
from tests.cli.program import Ended
from tests.e2e.program import CIPHER
from tests.given import NOW_MS, plain
from tests.loopback import Behaviour, answer, answer_json, closed_port
from tests.trouble.files import Mend, Strike, by_itself
from tests.trouble.scene import EXPIRING, LATER_MS, Scene, finish

HTML: Final = {"Content-Type": "text/html"}
YEAR_MS: Final = 365 * DAY_MS


def provider_is_down(scene: Scene) -> Ended:
    return scene.run("tick", GOOGLE_TOKEN_URL=f"http://127.0.0.1:{closed_port()}/token")


def answered(scene: Scene, behaviour: Behaviour) -> Ended:
    """Have the provider answer a request like this, and go on to do so."""
    scene.authority.otherwise = {f"rt-{EXPIRING}": behaviour}
    return scene.run("tick")


def provider_answers_oddly(scene: Scene) -> Ended:
    return answered(scene, answer(200, b"<html>Sign in</html>", HTML))


def provider_throttles(scene: Scene) -> Ended:
    return answered(scene, answer_json(429, {}, {"Retry-After": "60"}))


def grant_is_dead(scene: Scene) -> Ended:
    return answered(scene, answer_json(400, {"error": "invalid_grant"}))


def client_is_wrong(scene: Scene) -> Ended:
    return answered(scene, answer_json(401, {"error": "invalid_client"}))


def well_again(scene: Scene) -> None:
    scene.authority.otherwise = {}


def reconnected(scene: Scene) -> None:
    """Connect once more, as the user does."""
    with scene.tables() as tables:
        tables.update_connection(EXPIRING, refresh_token_encrypted=CIPHER.seal("rt-reconnected"))


def key_is_missing(scene: Scene) -> Ended:
    return scene.run("tick", ENCRYPTION_KEY="")


def key_is_another(scene: Scene) -> Ended:
    return scene.run("tick", ENCRYPTION_KEY="//////////////////////////////////////////8=")


def clock_is_behind(scene: Scene) -> Ended:
    with scene.tables() as tables:
        for row in tables.rows("platform_connections"):
            tables.update_connection(row["id"], last_synced_at=plain(NOW_MS - 2 * HOUR_MS))
    return scene.run("tick", now_ms=NOW_MS - YEAR_MS)


def clock_is_ahead(scene: Scene) -> Ended:
    """Do a whole cycle in another year, the consumer included, and look at it in this one."""
    scene.done("tick", "--relay", now_ms=NOW_MS + YEAR_MS)
    with scene.tables() as tables:
        finish(tables, NOW_MS + YEAR_MS)
    return scene.run("tick")


def last_syncs_corrected(scene: Scene) -> None:
    """Correct what was written by the wrong clock."""
    with scene.tables() as tables:
        for row in tables.rows("platform_connections"):
            tables.update_connection(row["id"], last_synced_at=plain(NOW_MS))
    scene.later_ms = LATER_MS - 1000


def queue_is_away(scene: Scene) -> Ended:
    scene.done("tick")
    away = f"http://127.0.0.1:{closed_port()}"
    queue = ("--queue", "cloudflare://account/queue")
    scene.settings |= {"CLOUDFLARE_API_TOKEN": "a-token", "CLOUDFLARE_API_BASE_URL": away}
    return scene.run("relay", "--drain", *queue)


def row_is_broken(scene: Scene) -> Ended:
    with scene.tables() as tables:
        tables.update_connection("a", last_synced_at="yesterday", scopes="all of them")
    return scene.run("tick")


def consumer_dies(scene: Scene) -> Ended:
    scene.done("tick", "--relay")
    with scene.tables() as tables:
        for job in tables.rows("sync_jobs"):
            tables.update_job(job["id"], status="running", started_at=iso(NOW_MS))
    scene.later_ms = NOW_MS + 5 * DAY_MS
    return scene.run("tick", now_ms=scene.later_ms)


def asked_to_end(scene: Scene) -> Ended:
    relay = scene.program.start("relay", "--interval", "0.05", "-v", **scene.settings)
    assert relay.stderr is not None
    relay.stderr.readline()
    while "relaying" not in relay.stderr.readline():
        pass
    relay.send_signal(signal.SIGTERM)
    out, err = relay.communicate(timeout=30)
    return Ended(relay.returncode, out, err)


CASES: Final[Mapping[str, tuple[Strike, Mend]]] = {
    "a process is asked to end (SIGTERM)": (asked_to_end, by_itself),
    "a provider is down": (provider_is_down, by_itself),
    "a provider answers what nobody can read": (provider_answers_oddly, well_again),
    "a provider says not so fast": (provider_throttles, well_again),
    "a user has taken the grant back": (grant_is_dead, reconnected),
    "our client secret is wrong": (client_is_wrong, well_again),
    "the encryption key is missing": (key_is_missing, by_itself),
    "the encryption key is another one": (key_is_another, by_itself),
    "the clock is a year behind": (clock_is_behind, by_itself),
    "the clock was a year ahead": (clock_is_ahead, last_syncs_corrected),
    "the queue is away": (queue_is_away, by_itself),
    "a row is odd": (row_is_broken, by_itself),
    "the consumer dies": (consumer_dies, by_itself),
}
