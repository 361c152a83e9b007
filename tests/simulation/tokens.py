"""What the providers' ledger says of the worker: single flight, no token spent twice, none dropped.

A request is unknown if its answer did not arrive, or if its process was killed, frozen or cut off
afterwards. Only after such a one may a token be sent that was replaced already.
"""

from collections import Counter, defaultdict
from typing import Final

from clearlift_adapters.stores.memory import ConnectionRow
from tests.simulation.logbook import Logbook
from tests.simulation.providers import ROTATING, Grant, Providers, Request
from tests.simulation.world import World

# A request may leave so long after its slot: engine's lateness, and a slow call before it.
SLACK_MS: Final = 13_000
# A pause is known to all a moment later; until then others use the slots that they have taken.
HEARD_AFTER_MS: Final = 60_000


def check_claims(world: World, log: Logbook, providers: Providers) -> None:
    """Every request left under a claim of its own process that nobody else could take."""
    if world.mix.skew_ms:
        return
    for request in providers.requests:
        claims = log.claims.get((request.grant.connection_id, request.life.name), ())
        if not request.zombie and not any(
            send_at <= request.at < lease_until for send_at, lease_until in claims
        ):
            world.violation(f"{request.life.name} asked for {request.token} without a claim")


def check_uses(world: World, providers: Providers) -> None:
    """One request at a time; a replaced token again only in place of an unknown one, or by hand."""
    if world.mix.wild:
        return
    uses: dict[str, list[Request]] = defaultdict(list)
    for request in providers.requests:
        uses[request.token].append(request)
    retried = Counter(
        row.connection_id for row in world.db.outbox.values() if row.transition == "retry_requested"
    )
    for token, requests in uses.items():
        for number, later in enumerate(requests):
            for earlier in requests[:number]:
                if not (earlier.unknown or later.zombie):
                    check_order(world, earlier, later)
        spent = [request for request in requests if request.judged and request.platform in ROTATING]
        unknown = sum(request.unknown for request in requests)
        if len(spent) > 1 + unknown + retried[providers.grants[token].connection_id]:
            world.violation(f"{token} was used {len(spent)} times, with {unknown} doubts")


def check_order(world: World, earlier: Request, later: Request) -> None:
    """Check two requests with one token, of which the first was clear."""
    if earlier.ended_at is None or later.at < earlier.ended_at:
        world.violation(f"{later.token} was in two requests at a time")
    elif earlier.issued is not None:
        world.violation(f"{later.token} was used again after its answer had come")


def check_all_stored(world: World, providers: Providers) -> None:
    """Check that what was given last is what is stored; tokens in rescue were brought home."""
    newest = {
        grant.connection_id: grant
        for token, grant in providers.grants.items()
        if token == grant.tokens[0]  # Others may have been added later to an older grant.
    }
    for row in world.db.connections.values():
        check_stored(world, providers, row, newest[row.id])


def check_stored(world: World, providers: Providers, row: ConnectionRow, newest: Grant) -> None:
    """The newest token that a process received, and lived to keep, is stored; or the user's own."""
    if row.platform not in ROTATING:
        return
    token = row.refresh_token_encrypted
    if token is None and not any(r.grant is newest for r in providers.requests):
        return
    if token not in newest.tokens:
        world.violation(f"{row.id} has not the tokens that its user gave last")
        return
    place = newest.tokens.index(token)
    for request in providers.requests:
        if request.grant is not newest or request.issued is None or not request.told:
            continue
        if newest.tokens.index(request.issued) > place and not request.life.dead:
            world.violation(f"{row.id} lost the token that {request.life.name} was given")


def check_pace(world: World, providers: Providers) -> None:
    """By the provider's own clock: never more requests than its rate, but for those of zombies."""
    if world.mix.skew_ms:
        return
    for name, provider in providers.seen.items():
        if provider.rate is None:
            continue
        times = [r.at for r in providers.requests if r.platform == name and not r.zombie]
        count, period_ms = provider.rate.count, provider.rate.period_ms
        for periods in range(1 + SLACK_MS // period_ms, len(times) // count + 1):
            step = periods * count
            for first, last in zip(times, times[step:], strict=False):
                if last - first < periods * period_ms - SLACK_MS:
                    world.violation(f"{name} was asked faster than its pace allows")


def check_pauses(world: World, providers: Providers) -> None:
    """Nobody asks a provider that has asked to be left alone, once that can be known."""
    if world.mix.skew_ms:
        return
    for told in providers.requests:
        if told.pause_ms is None or told.ended_at is None or told.unknown:
            continue
        begin, end = told.ended_at + HEARD_AFTER_MS, told.ended_at + told.pause_ms
        for later in providers.requests:
            if later.platform == told.platform and begin < later.at < end and not later.zombie:
                world.violation(f"{later.platform} was asked in a pause that it had asked for")
