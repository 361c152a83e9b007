"""The refreshes of one tick: a lane per provider, and every answer committed as soon as it is
there.

A lane claims a group in one transaction with the provider's gate: `refresh_started` is durable
before any request leaves, and no other process can take the same slots. Each request then waits for
its slot. No transaction is open while a provider is asked. SIGTERM and the deadline stop new claims
and requests that have not left yet, never the commit of an answer.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from clearlift_engine.committer import AWAY, Committer, fail_refused
from clearlift_engine.decisions import (
    TOO_LARGE,
    Decision,
    Step,
    cannot_be_served,
    claimed,
    deferred,
    job_created,
    needs_refresh,
    opened,
    still_lives,
    too_large,
)
from clearlift_engine.judge import Claim, Judge
from clearlift_engine.pacing import HORIZON_MS, Gate, allowance, reserve
from clearlift_engine.policy import MINUTE_MS, Candidate, Due, assess, leased
from clearlift_engine.ports import Appended, Provider, Refreshed, Refused
from clearlift_engine.run import Run

# Requests under way at once to one provider: httpx slows down above that. Not to all of them
# together, or one that never answers would keep the others waiting until their slots are gone.
SENDING_MAX: Final = 10
# Refreshes claimed at a time: if the provider is slow, more would wait past their slots.
GROUP: Final = 2 * SENDING_MAX
# Or what leaves within this time, where that is more and nothing is late: a claim is a transaction.
GROUP_MS: Final = 100
GROUP_MAX: Final = 5 * GROUP
LATENESS_MAX_MS: Final = 10_000  # A slot that was over this long ago is not used any more.
LEASE_MS: Final = 60_000  # From the slot on: longer than two requests and the wait between them.
# From the slot on: an answer to what leaves later might come after the lease, when another worker
# has sent the same token. A process that was frozen between its two requests would do that.
LAST_SEND_MS: Final = LEASE_MS - 15_000
REPLAY_AFTER_MS: Final = 1_500
PATIENCE_MS: Final = MINUTE_MS  # A slot that is further away than this is for a later tick.
LOOK_MS: Final = 1_000  # How often a waiting request looks whether it is still wanted.

NOT_SENT: Final = Refused("transient", "the request was not sent", asked=False)


async def refresh_all(run: Run, expiring: Mapping[str, Sequence[int]]) -> None:
    """Refresh what each platform's `expiring` refers to, all platforms at once.

    Raises:
        UnavailableError: the database went away; new tokens that it could not take are in rescue.
    """
    async with Committer(run) as committer:
        await _bring_home(run, committer)
        async with asyncio.TaskGroup() as lanes:
            for platform, refs in expiring.items():
                provider = run.providers[platform]
                lane = Lane(run, provider, refs, committer)
                lanes.create_task(lane.serve())
    if committer.broken is not None:
        raise committer.broken


async def _bring_home(run: Run, committer: Committer) -> None:
    """Store the tokens that an earlier run could not."""
    for tokens in await run.ports.rescue.kept():
        await committer.adopt(tokens)


class Lane:
    """The refreshes of one provider in one run."""

    def __init__(
        self, run: Run, provider: Provider, refs: Sequence[int], committer: Committer
    ) -> None:
        self._run, self._provider = run, provider
        self._refs = deque(refs)
        self._sending, self._committer = asyncio.Semaphore(SENDING_MAX), committer
        self._judge = Judge(run, provider, committer)
        self._asking: set[asyncio.Task[None]] = set()
        self._asked: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()  # Of those, what is done.
        self._probing = self._leaving = False
        self._size = GROUP
        self._late_ms: int | None = None  # Of the last group's requests, the latest by how much.
        self._turn = asyncio.Lock()
        self._free_at = 0  # When this lane may send its next request.

    async def serve(self) -> None:
        """Refresh until none is left, the provider is to be left alone, or the run stops."""
        run, name = self._run, self._provider.name
        if self._provider.problem is not None:
            run.problem(self._provider.problem)
            run.halted[name] = "configuration"
        if self._refs and name not in run.halted:
            run.ports.refresher.prepare()
        try:
            while self._refs and name not in run.halted and not self._stopping():
                if not await self._claim_group():
                    break
                await self._until_asking(0 if self._probing else self._size // 2)
            await self._until_asking(0)
            if self._refs and not self._stopping():
                run.halted.setdefault(name, "no request is left in its budget")
            await self._judge.close()
            await self._defer_rest(run.halted.get(name, "the run is stopping"))
        except AWAY as exc:
            # Other lanes may have answers to bring home: this one ends, and the run after them.
            self._committer.broken = self._committer.broken or exc
        finally:
            self._leaving = True
            await self._leave()

    def _stopping(self) -> bool:
        return self._leaving or self._run.should_stop() or self._committer.broken is not None

    def _wanted(self) -> bool:
        return self._provider.name not in self._run.halted and not self._stopping()

    async def _until_asking(self, most: int) -> None:
        while len(self._asking) > most:
            task = await self._asked.get()
            self._asking.discard(task)
            task.result()  # Raises what the task raised.

    async def _leave(self) -> None:
        """Whatever has ended this lane, wait until the answers under way are durable."""
        if self._asking:
            await asyncio.wait(self._asking)
        for exc in [task.exception() for task in self._asking]:
            if exc is not None and not isinstance(exc, AWAY):
                raise exc

    async def _claim_group(self) -> bool:
        """Claim as many as the gate allows, and start their requests.

        Return False once the budget is spent, which is no reason to give up what is claimed.
        """
        run, name = self._run, self._provider.name
        store, group = run.ports.store, list(islice(self._refs, self._group()))
        # Asked together, for where each question is a request.
        gate, conns = await asyncio.gather(store.gate(name), store.candidates(group))
        allowed = allowance(gate, now_ms=run.ports.clock.now(), run_id=run.run_id)
        if allowed == 0:
            run.halted[name] = gate.breaker or "throttled"
            return False
        self._judge.saw(gate)
        self._probing = allowed is not None
        if self._probing:
            conns = await store.candidates([self._probe(gate)])
        else:
            self._refs = deque(islice(self._refs, len(group), None))
        steps = await self._to_refresh(conns)
        moved, slots = self._reserved(gate, len(steps))
        # What found no slot goes back to where it came from.
        self._refs.extendleft(step.conn.ref for step in reversed(steps[len(slots) :]))
        if slots:
            await self._start(await self._claims(steps, slots), moved)
        return bool(slots) or not steps or await self._soon(gate)

    async def _soon(self, gate: Gate) -> bool:
        """Wait a little if a slot will be free before long; return whether one will."""
        assert self._provider.rate is not None
        clock = self._run.ports.clock
        now_ms, until_ms = clock.now(), clock.now() + PATIENCE_MS
        _, slots = reserve(gate, self._provider.rate, now_ms=now_ms, until_ms=until_ms, wanted=1)
        if slots:
            await clock.sleep(min(LOOK_MS, max(slots[0] - HORIZON_MS - now_ms, 0)))
        return bool(slots)

    def _group(self) -> int:
        """Return how many to claim next: twice as many, as long as each leaves in its slot."""
        late_ms, self._late_ms = self._late_ms, None
        if late_ms is not None:
            rate = self._provider.rate
            assert rate is not None
            soon = min(GROUP_MS * rate.count // rate.period_ms, GROUP_MAX)
            most = max(GROUP, self._run.settings.claims_max, soon)
            self._size = min(self._size * 2 if late_ms <= LOOK_MS else GROUP, most)
        return self._size

    def _probe(self, gate: Gate) -> int:
        """Take the reference for a probe, another one each time: the first may be dead."""
        place = gate.version % len(self._refs)
        ref = self._refs[place]
        del self._refs[place]
        return ref

    async def _to_refresh(self, conns: Sequence[Candidate]) -> list[Step]:
        """Return the steps of those that need a request; commit what can be decided without."""
        steps: list[Step] = []
        decided: list[tuple[Step, Decision]] = []
        for step in self._opened(conns):
            decision = self._without_request(step)
            if decision is None:
                steps.append(step)
            else:
                decided.append((step, decision))
        await self._commit(decided)
        return steps

    def _opened(self, conns: Sequence[Candidate]) -> Sequence[Step]:
        """Return the steps of those that are due still."""
        run = self._run
        return [
            opened(conn, due, at_ms=run.ports.clock.now(), run_id=run.run_id)
            for conn in conns
            if isinstance(due := assess(conn, run.now_ms, run.settings.schedule), Due)
            and not leased(conn.stream, run.ports.clock.now())
        ]

    def _found(self, conn: Candidate) -> None:
        due = assess(conn, self._run.now_ms, self._run.settings.schedule)
        assert isinstance(due, Due)
        self._run.warn_of_oddities(conn)
        self._run.found(conn, due)

    def _without_request(self, step: Step) -> Decision | None:
        run = self._run
        if too_large(step.conn):
            at_ms = run.ports.clock.now()
            return cannot_be_served(step, TOO_LARGE, at_ms=at_ms, run_id=run.run_id)
        if not needs_refresh(step.conn, self._provider, run.now_ms, run.settings.schedule):
            return self._job(step)
        return None

    def _reserved(self, gate: Gate, wanted: int) -> tuple[Gate, Sequence[int]]:
        """Return the gate as this claim leaves it, and the slots that it takes."""
        assert self._provider.rate is not None
        now_ms = self._run.ports.clock.now()
        moved, slots = reserve(
            gate,
            self._provider.rate,
            now_ms=now_ms,
            until_ms=now_ms + HORIZON_MS,
            wanted=wanted,
        )
        probe_run = self._run.run_id if self._probing else gate.probe_run
        moved = msgspec.structs.replace(
            moved, version=gate.version + 1, run_id=self._run.run_id, probe_run=probe_run
        )
        return moved, slots

    async def _claims(self, steps: Sequence[Step], slots: Sequence[int]) -> list[Claim]:
        """Return a claim for each slot; a connection that was deleted meanwhile wastes its own."""
        run = self._run
        ids = [step.conn.connection_id for step in steps[: len(slots)]]
        stored = {found.connection_id: found for found in await run.ports.vault.credentials(ids)}
        return [
            Claim(step, stored[step.conn.connection_id], slot)
            for step, slot in zip(steps, slots, strict=False)
            if step.conn.connection_id in stored
        ]

    async def _start(self, claims: Sequence[Claim], gate: Gate) -> None:
        """Write the claims and the gate in one transaction; start the requests of the taken."""
        run = self._run
        decisions = [
            claimed(
                claim.step,
                self._provider.name,
                send_at=claim.slot,
                lease_until=claim.slot + LEASE_MS,
                credentials=claim.credentials.fingerprint,
                at_ms=run.ports.clock.now(),
                run_id=run.run_id,
            )
            for claim in claims
        ]
        appended = await run.ports.store.append([each.commit for each in decisions], gate)
        if not appended.gate_moved:  # Another process was here first: look again.
            self._refs.extendleft(claim.step.conn.ref for claim in reversed(claims))
            return
        for claim in claims:
            self._found(claim.step.conn)
        run.settle(decisions, appended)
        refused = [c.step for c in claims if c.step.conn.connection_id in appended.refused]
        await fail_refused(run, refused, appended.refused)
        for claim, decision in zip(claims, decisions, strict=True):
            connection_id = claim.step.conn.connection_id
            if connection_id in appended.lost or connection_id in appended.refused:
                continue
            conn = msgspec.structs.replace(claim.step.conn, stream=decision.commit.after)
            live = Claim(Step(conn, conn.stream), claim.credentials, claim.slot)
            task = asyncio.create_task(self._ask(live))
            task.add_done_callback(self._asked.put_nowait)
            self._asking.add(task)
            run.asking += 1

    async def _ask(self, claim: Claim) -> None:
        try:
            await self._ask_in_slot(claim)
        finally:
            self._run.asking -= 1

    async def _ask_in_slot(self, claim: Claim) -> None:
        clock = self._run.ports.clock
        while (wait_ms := claim.slot - clock.now()) > 0 and self._wanted():
            await clock.sleep(min(wait_ms, LOOK_MS))
        answer, attempts = await self._answer(claim)
        await self._judge.judge(claim, answer, attempts)

    async def _answer(self, claim: Claim) -> tuple[Refreshed | Refused, int]:
        """Ask, and ask once more if it cannot be known what became of the first request."""
        clock = self._run.ports.clock
        answer = await self._request(claim, claim.slot)
        doubtful = isinstance(answer, Refused) and answer.ambiguous
        if not doubtful or self._probing or not self._wanted():
            return answer, 0 if answer is NOT_SENT else 1
        slot = await self._judge.extra_slot(clock.now() + REPLAY_AFTER_MS)
        if slot is None:
            return answer, 1
        await clock.sleep(max(slot - clock.now(), 0))
        again = await self._request(claim, slot)
        return (answer, 1) if again is NOT_SENT else (_doubted(again), 2)

    async def _request(self, claim: Claim, slot: int) -> Refreshed | Refused:
        """Ask once, in its slot or a little later, or not at all."""
        clock, refresher = self._run.ports.clock, self._run.ports.refresher
        if self._wanted():
            await self._in_turn()
        async with self._sending:
            now_ms = clock.now()
            late_ms, held_ms = now_ms - slot, now_ms - claim.slot
            if not self._wanted() or late_ms > LATENESS_MAX_MS or held_ms > LAST_SEND_MS:
                return NOT_SENT
            self._late_ms = max(self._late_ms or 0, late_ms)
            return await refresher.refresh(self._provider.name, claim.credentials)

    async def _in_turn(self) -> None:
        """Keep the pace where it counts, at the moment of sending: delays make no crowds."""
        clock, rate = self._run.ports.clock, self._provider.rate
        assert rate is not None
        async with self._turn:
            wait_ms = self._free_at - clock.now()
            if wait_ms > 0:
                await clock.sleep(wait_ms)
            self._free_at = clock.now() + (rate.period_ms if rate.count == 1 else 0)

    async def _defer_rest(self, why: str) -> None:
        """Leave the others `due`; a token that lives a little longer still gets its job."""
        run, now_ms = self._run, self._run.ports.clock.now()
        while self._refs and self._committer.broken is None:
            size = min(run.settings.batch, len(self._refs))
            refs = [self._refs.popleft() for _ in range(size)]
            decided: list[tuple[Step, Decision]] = []
            for step in self._opened(await run.ports.store.candidates(refs)):
                decision = self._without_request(step)
                if decision is None:
                    lives = still_lives(step.conn, now_ms)
                    decision = self._job(step) if lives else deferred(step, why)
                decided.append((step, decision))
            await self._commit(decided)

    async def _commit(self, decided: Sequence[tuple[Step, Decision]]) -> None:
        run, decisions = self._run, [decision for _, decision in decided]
        for step, _ in decided:
            self._found(step.conn)
        changes = [decision.commit for decision in decisions if decision.commit.drafts]
        appended = await run.ports.store.append(changes) if changes else Appended()
        run.settle(decisions, appended)
        refused = [step for step, _ in decided if step.conn.connection_id in appended.refused]
        await fail_refused(run, refused, appended.refused)

    def _job(self, step: Step) -> Decision:
        run = self._run
        return job_created(
            step,
            now_ms=run.now_ms,
            at_ms=run.ports.clock.now(),
            run_id=run.run_id,
            job_id=run.ports.new_id(),
            schedule=run.settings.schedule,
        )


def _doubted(answer: Refreshed | Refused) -> Refreshed | Refused:
    """Return the answer to a second request; what became of the first one stays unknown."""
    if isinstance(answer, Refreshed) or answer.failure_class == "permanent":
        return answer
    return msgspec.structs.replace(answer, ambiguous=True)
