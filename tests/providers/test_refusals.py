"""What a real authorization server refuses, and whose fault it is found to be."""

from base64 import b64encode

from clearlift_engine.events import SyncFailed
from tests.e2e.program import CIPHER, Program
from tests.given import NOW_MS, plain
from tests.providers.authorization import AuthorizationServer
from tests.providers.steps import HOUR, MINUTE, connect_all, events, states, sync_statuses

FIVE = [f"org-acme-{number}" for number in range(5)]


async def test_a_wrong_client_secret_stops_the_provider_and_marks_nobody(
    program: Program, server: AuthorizationServer
) -> None:
    await connect_all(program, server, FIVE)
    wrong = "the secret of another client"

    first = await program.run("tick", ACME_CLIENT_SECRET=wrong)
    asked = len(server.requests())
    later_ms = NOW_MS + 15 * MINUTE
    second = await program.run("tick", now_ms=later_ms, ACME_CLIENT_SECRET=wrong)

    assert (first.code, second.code) == (4, 4)
    assert "ACME_CLIENT_SECRET" in first.err.decode()
    assert {each.error for each in server.requests()} == {"invalid_client"}
    assert len(server.requests()) - asked == 1  # A probe.
    assert not events(program, SyncFailed)
    assert sync_statuses(program) == {"pending"}

    repaired = await program.done("tick", "--json", now_ms=NOW_MS + 30 * MINUTE)
    assert repaired.report["refreshed"] == 5


async def test_a_wrong_encryption_key_asks_nobody_and_marks_nobody(
    program: Program, server: AuthorizationServer
) -> None:
    await connect_all(program, server, FIVE)
    wrong = b64encode(bytes(32)).decode()

    done = await program.run("tick", "--json", ENCRYPTION_KEY=wrong)

    assert done.code == 4
    assert "ENCRYPTION_KEY decrypts none of the stored tokens" in done.err.decode()
    assert not server.requests()
    assert not events(program, SyncFailed)
    assert sync_statuses(program) == {"pending"}

    repaired = await program.done("tick", "--json", now_ms=NOW_MS + 15 * MINUTE)
    assert repaired.report["refreshed"] == 5


async def test_a_revoked_grant_is_asked_for_once_and_again_when_the_user_has_reconnected(
    program: Program, server: AuthorizationServer
) -> None:
    await connect_all(program, server, ["revoked"])
    await server.order("revoke", "revoked")

    for hours in (0, 1, 24, 24 * 30):
        await program.run("tick", now_ms=NOW_MS + hours * HOUR)

    assert [each.error for each in server.requests()] == ["invalid_grant"]
    assert sync_statuses(program) == {"failed"}
    assert [failed.code for _, failed in events(program, SyncFailed)] == ["invalid_grant"]

    token = CIPHER.seal(await server.seed("revoked"))
    with program.tables() as tables:  # As the API worker does.
        tables.update_connection("revoked", refresh_token_encrypted=token, expires_at=plain(NOW_MS))
    await program.done("tick", now_ms=NOW_MS + 24 * 30 * HOUR + MINUTE)
    assert [each.status for each in server.requests()] == [400, 200]
    assert states(program) == {"revoked": "job_created"}
    assert sync_statuses(program) == {"pending"}
