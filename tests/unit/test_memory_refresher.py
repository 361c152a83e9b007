"""The scripted providers behave as real ones do, so that what is proven with them holds."""

from clearlift_adapters.clock import FixedClock
from clearlift_adapters.credentials import StoredCredentials, StoredTokens
from clearlift_adapters.memory_refresher import INVALID_GRANT, Lost, MemoryRefresher
from clearlift_engine.pacing import Rate
from clearlift_engine.policy import HOUR_MS
from clearlift_engine.ports import Provider, Refreshed, Refused
from tests.given import NOW_MS

STABLE = Provider("google", Rate(10, 1000))
ROTATING = Provider("tiktok", Rate(10, 1000), rotates=True)
CREDENTIALS = StoredCredentials("c", "access", "refresh")


def refresher() -> MemoryRefresher:
    return MemoryRefresher([STABLE, ROTATING], FixedClock(NOW_MS))


async def test_refresh_without_a_script_succeeds_and_is_recorded() -> None:
    providers = refresher()

    answer = await providers.refresh("google", CREDENTIALS)

    assert isinstance(answer, Refreshed)
    assert isinstance(answer.tokens, StoredTokens)
    assert answer.tokens.replaces == CREDENTIALS
    assert (answer.tokens.refresh, answer.tokens.rotated) == (None, False)
    assert answer.tokens.expires_at == NOW_MS + HOUR_MS
    [call] = providers.calls
    assert (call.at, call.platform, call.connection_id) == (NOW_MS, "google", "c")
    assert call.token == "refresh"


async def test_scripted_answers_come_in_order_and_then_it_succeeds_again() -> None:
    providers = refresher()
    refused = Refused("throttled", "slow down", retry_after_ms=5)
    providers.script("c", refused, INVALID_GRANT)

    answers = [await providers.refresh("google", CREDENTIALS) for _ in range(3)]

    assert answers[:2] == [refused, INVALID_GRANT]
    assert isinstance(answers[2], Refreshed)


async def test_script_of_one_connection_is_not_anothers() -> None:
    providers = refresher()
    providers.script("c", INVALID_GRANT)

    other = await providers.refresh("google", StoredCredentials("other", "access", "refresh"))

    assert isinstance(other, Refreshed)


async def test_rotating_provider_takes_each_refresh_token_once() -> None:
    providers = refresher()

    first = await providers.refresh("tiktok", CREDENTIALS)
    again = await providers.refresh("tiktok", CREDENTIALS)

    assert isinstance(first, Refreshed)
    assert isinstance(first.tokens, StoredTokens)
    assert first.tokens.rotated
    renewed = StoredCredentials("c", first.tokens.access, first.tokens.refresh)
    assert again == INVALID_GRANT
    assert isinstance(await providers.refresh("tiktok", renewed), Refreshed)


async def test_provider_that_does_not_rotate_takes_a_refresh_token_again_and_again() -> None:
    providers = refresher()

    answers = [await providers.refresh("google", CREDENTIALS) for _ in range(3)]

    assert all(isinstance(answer, Refreshed) for answer in answers)


async def test_lost_answer_is_ambiguous_and_has_spent_the_token_of_a_rotating_provider() -> None:
    providers = refresher()
    providers.script("c", Lost())

    lost = await providers.refresh("tiktok", CREDENTIALS)
    again = await providers.refresh("tiktok", CREDENTIALS)

    assert isinstance(lost, Refused)
    assert (lost.failure_class, lost.ambiguous) == ("transient", True)
    assert again == INVALID_GRANT


async def test_wrong_key_opens_nothing_and_asks_nobody() -> None:
    providers = refresher()
    providers.key_is_right = False

    answer = await providers.refresh("google", CREDENTIALS)

    assert isinstance(answer, Refused)
    assert (answer.undecryptable, answer.asked) == (True, False)
    assert (providers.opens_any([CREDENTIALS]), providers.calls) == (False, [])


async def test_slow_provider_takes_virtual_time() -> None:
    clock = FixedClock(NOW_MS)
    providers = MemoryRefresher([STABLE], clock)
    providers.latency_ms = 750

    answer = await providers.refresh("google", CREDENTIALS)

    assert isinstance(answer, Refreshed)
    assert (answer.latency_ms, clock.now()) == (750, NOW_MS + 750)
