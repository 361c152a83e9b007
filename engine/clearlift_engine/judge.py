"""What an answer of a provider means: for its connection, for the provider, for the run.

A verdict about the connection ends in `failed`; everything else takes it back to `due`. A verdict
that says `permanent` is not believed lightly: not if the stored credentials are no longer those
that were sent, not if our key is what is wrong, and not if a provider suddenly says it of most
connections.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from clearlift_engine.committer import Committer
from clearlift_engine.decisions import (
    Decision,
    Step,
    deferred,
    job_created,
    refresh_failed,
    released,
    still_lives,
)
from clearlift_engine.events import Refresh, ReleaseReason
from clearlift_engine.pacing import (
    HORIZON_MS,
    Gate,
    opened,
    paused,
    reserve,
    stumbled,
    succeeded,
)
from clearlift_engine.policy import HOUR_MS, MINUTE_MS
from clearlift_engine.ports import Provider, Refreshed, Refused, SealedCredentials
from clearlift_engine.run import Run

PAUSE_MS: Final = MINUTE_MS  # When a provider throttles and does not say for how long.
WAVE_MIN: Final = 10  # As many permanent verdicts, and more than half of all, are a wave.
TRUST_AFTER: Final = 2 * WAVE_MIN  # With that many answers, and less than half dead, there is none.
HELD_MAX_MS: Final = 30 * 1000  # A verdict is held no longer: its lease lasts twice that.
SUSPECT_MS: Final = 6 * HOUR_MS  # A wave that goes on for this long is no accident: it is believed.
SAMPLE: Final = 1_000  # If one of so many opens, the key is not what is wrong.

KEY_PROBLEM: Final = (
    "ENCRYPTION_KEY decrypts none of the stored tokens: set it to the key that the API worker uses "
    "(and an older one as ENCRYPTION_KEY_PREVIOUS)"
)
ROTATION_LOST: Final = (
    "the answer to an earlier refresh was lost after the provider had replaced the token; "
    "the user must reconnect"
)


class Claim(msgspec.Struct, frozen=True):
    """A refresh that this run has claimed: the step begins where the claim left the stream."""

    step: Step
    credentials: SealedCredentials
    slot: int

    @property
    def in_doubt(self) -> bool:
        """Return whether an earlier request with these credentials got no answer that we know."""
        return self.step.stream.in_doubt > 1


class Judge:
    """The judgement of one provider's answers in one run."""

    def __init__(self, run: Run, provider: Provider, committer: Committer) -> None:
        self._run, self._provider, self._committer = run, provider, committer
        self._gate = Gate(provider.name)
        self._moving = asyncio.Lock()
        self._held: list[tuple[Claim, Refused, int]] = []
        self._answers = self._dead = 0
        self._suspicious = True

    def saw(self, gate: Gate) -> None:
        """Learn how the provider's gate stands."""
        self._gate = gate
        held_for = self._run.ports.clock.now() - (gate.opened_at or 0)
        if gate.breaker == "suspect" and held_for >= SUSPECT_MS:
            self._suspicious = False

    async def extra_slot(self, after_ms: int) -> int | None:
        """Take a slot at `after_ms` or soon thereafter for a request that is sent again."""
        taken: list[int] = []

        def take(gate: Gate) -> Gate:
            assert self._provider.rate is not None
            moved, slots = reserve(
                gate, self._provider.rate, now_ms=after_ms, until_ms=after_ms + HORIZON_MS, wanted=1
            )
            taken[:] = slots
            return moved

        await self._move(take)
        return taken[0] if taken else None

    async def judge(self, claim: Claim, answer: Refreshed | Refused, attempts: int) -> None:
        """Return when what follows from `answer` is durable, or held until more is known."""
        self._log(claim, answer, attempts)
        if isinstance(answer, Refreshed) or answer.asked:
            self._run.key_fits = True
        match answer:
            case Refreshed():
                await self._refreshed(claim, answer, attempts)
            case Refused(failure_class="permanent"):
                await self._permanent(claim, answer, attempts)
            case Refused(failure_class="transient", asked=False):
                await self._release(claim, "interrupted", answer)
            case Refused(failure_class="transient"):
                await self._transient(claim, answer, attempts)
            case Refused(failure_class="throttled"):
                until = self._run.ports.clock.now() + (answer.retry_after_ms or PAUSE_MS)
                await self._move(lambda gate: paused(gate, until))
                self._halt("throttled")
                await self._release(claim, "throttled", answer)
            case _:
                now_ms = self._run.ports.clock.now()
                await self._move(lambda gate: opened(gate, "configuration", now_ms))
                self._run.problem(answer.message)
                self._halt("configuration")
                await self._release(claim, "configuration", answer)

    async def close(self) -> None:
        """Decide about what is still held: too few for a wave, or a wave."""
        held, self._held = self._held, []
        if self._is_wave():
            await self._suspect()
            for claim, refused, _ in held:
                await self._release(claim, "suspect", refused)
            return
        for claim, refused, attempts in held:
            await self._fail(claim, refused, attempts)

    async def _refreshed(self, claim: Claim, answer: Refreshed, attempts: int) -> None:
        self._answers += 1
        refresh = Refresh(
            self._provider.name,
            answer.tokens.expires_at,
            answer.tokens.rotated,
            attempts,
            answer.latency_ms,
            answer.tokens.refresh_expires_at,
        )
        decision = self._job(claim.step, refresh)
        commit = msgspec.structs.replace(decision.commit, tokens=answer.tokens)
        await self._committer.commit(msgspec.structs.replace(decision, commit=commit))
        await self._is_well()  # After the tokens are safe, for this may fail.
        await self._weigh()

    async def _transient(self, claim: Claim, refused: Refused, attempts: int) -> None:
        now_ms = self._run.ports.clock.now()
        gate = await self._move(lambda gate: stumbled(gate, now_ms))
        if gate.breaker is not None:
            self._halt(gate.breaker)
        if still_lives(claim.step.conn, now_ms):
            await self._release(claim, "provider_down", refused)
        else:
            await self._fail(claim, refused, attempts)

    async def _permanent(self, claim: Claim, refused: Refused, attempts: int) -> None:
        run = self._run
        stored = await run.ports.vault.credentials([claim.step.conn.connection_id])
        if not stored or stored[0].fingerprint != claim.credentials.fingerprint:
            await self._release(claim, "credentials_changed", refused)
            return
        if refused.undecryptable and not await self._key_fits():
            run.problem(KEY_PROBLEM)
            for name in run.providers:
                run.halted.setdefault(name, "configuration")
            await self._release(claim, "configuration", refused)
            return
        if not refused.asked:
            await self._fail(claim, refused, attempts)
            return
        if self._gate.breaker != "suspect" or not self._suspicious:
            await self._is_well()
        if self._provider.rotates and (claim.in_doubt or attempts > 1):
            # It explains itself, so it is no part of a wave: a killed worker leaves many of them.
            lost = msgspec.structs.replace(refused, code="rotation_lost", message=ROTATION_LOST)
            await self._fail(claim, lost, attempts)
            return
        self._answers += 1
        self._dead += 1
        self._held.append((claim, refused, attempts))
        await self._weigh()

    async def _weigh(self) -> None:
        """Decide about what is held once enough is known, and before its leases run out."""
        if self._is_wave():
            self._halt("suspect")
        elif self._held:
            held_for = self._run.ports.clock.now() - self._held[0][0].slot
            if self._answers >= TRUST_AFTER or held_for >= HELD_MAX_MS:
                await self.close()

    async def _is_well(self) -> None:
        """Close the breaker: the provider gives answers that can be acted on."""
        if self._gate.failures or self._gate.breaker is not None:
            await self._move(succeeded)

    def _is_wave(self) -> bool:
        many = self._dead >= WAVE_MIN and self._dead * 2 > self._answers
        probing = self._gate.breaker == "suspect" and self._dead > 0
        return self._suspicious and (many or probing)

    async def _suspect(self) -> None:
        now_ms = self._run.ports.clock.now()
        await self._move(lambda gate: opened(gate, "suspect", now_ms))
        self._halt("suspect")
        self._run.note(
            "error",
            "most answers say that the grant is dead: nobody is marked, one is asked per tick",
            provider=self._provider.name,
            dead=self._dead,
            answers=self._answers,
        )

    async def _key_fits(self) -> bool:
        run, ports = self._run, self._run.ports
        if not run.key_fits:
            run.key_fits = ports.refresher.opens_any(await ports.vault.sample(SAMPLE))
        return run.key_fits

    async def _release(self, claim: Claim, reason: ReleaseReason, refused: Refused) -> None:
        at_ms = self._run.ports.clock.now()
        step = released(claim.step, reason, refused, at_ms=at_ms, run_id=self._run.run_id)
        lives = still_lives(step.conn, at_ms) and reason != "credentials_changed"
        decision = self._job(step) if lives else deferred(step, f"{reason}: {refused.message}")
        await self._committer.commit(decision)

    async def _fail(self, claim: Claim, refused: Refused, attempts: int) -> None:
        at_ms = self._run.ports.clock.now()
        await self._committer.commit(
            refresh_failed(
                claim.step,
                refused,
                attempts=attempts,
                now_ms=self._run.now_ms,
                at_ms=at_ms,
                run_id=self._run.run_id,
            )
        )

    def _job(self, step: Step, refresh: Refresh | None = None) -> Decision:
        run = self._run
        return job_created(
            step,
            now_ms=run.now_ms,
            at_ms=run.ports.clock.now(),
            run_id=run.run_id,
            job_id=run.ports.new_id(),
            schedule=run.settings.schedule,
            refresh=refresh,
        )

    def _halt(self, why: str) -> None:
        self._run.halted.setdefault(self._provider.name, why)

    async def _move(self, change: Callable[[Gate], Gate]) -> Gate:
        """Change the provider's gate as it is in the database, whoever else does the same."""
        store = self._run.ports.store
        async with self._moving:
            while True:
                seen = await store.gate(self._provider.name)
                changed = change(seen)
                if changed != seen:
                    changed = msgspec.structs.replace(
                        changed, version=seen.version + 1, run_id=self._run.run_id
                    )
                    if not (await store.append([], changed)).gate_moved:
                        continue
                self._gate = changed
                return changed

    def _log(self, claim: Claim, answer: Refreshed | Refused, attempts: int) -> None:
        refused = answer if isinstance(answer, Refused) else None
        self._run.note(
            "info",
            "refreshed" if refused is None else "not refreshed",
            connection_id=claim.step.conn.connection_id,
            provider=self._provider.name,
            attempts=attempts,
            latency_ms=answer.latency_ms,
            **({} if refused is None else {"class": refused.failure_class, "code": refused.code}),
        )
