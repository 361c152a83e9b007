"""Facebook's budget: 200 requests in any hour, whatever the number of processes and restarts."""

from itertools import pairwise

from clearlift_engine.events import RefreshStarted
from tests.e2e.authority import Authority
from tests.e2e.program import Program, connect
from tests.given import NOW_MS, plain
from tests.providers.steps import HOUR, MINUTE, events, states, ticks

CONNECTIONS = 400
PER_HOUR = 200


def connect_facebook(program: Program) -> None:
    """Connect two organisations, a large one and a small one; all tokens have expired."""
    with program.tables() as tables:
        for number in range(CONNECTIONS):
            connect(
                tables,
                f"org-facebook-{number}",
                organization_id="small" if number % 4 == 0 else "large",
                platform="facebook",
                expires_at=plain(NOW_MS - HOUR + 1000 * number),
            )


async def test_tokens_are_refreshed_200_an_hour_and_no_later_than_that(program: Program) -> None:
    connect_facebook(program)
    authority = Authority()
    asked = [0]

    async with authority.serving():
        program.environment.update(authority.environment)
        for minutes in range(0, 76, 15):
            done = await ticks(program, 2, now_ms=NOW_MS + minutes * MINUTE)
            assert [each.code for each in done] == [0, 0]
            asked.append(len(authority.visits))
    slots = [started.send_at for _, started in events(program, RefreshStarted)]

    # The tick at 1:00 waits for the seconds that are missing to an hour since the last request.
    assert [after - before for before, after in pairwise(asked)] == [200, 0, 0, 0, 200, 0]
    assert len(set(authority.sent)) == CONNECTIONS
    assert slots == sorted(slots)
    assert all(later - slot > HOUR for slot, later in zip(slots, slots[PER_HOUR:], strict=False))
    assert list(states(program).values()) == ["job_created"] * CONNECTIONS
