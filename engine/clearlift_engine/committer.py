"""Makes answers durable: all that wait go into the next transaction together.

While one commit is under way the next ones gather; there is no timer, so a lone answer is committed
at once and a crowd in few transactions. Only where each commit is a request that counts (D1) do
answers wait for the others that are under way: for `gather_ms` if one of them holds a rotated
token, which exists nowhere else, and a few times as long if not.

An answer that holds new tokens is never given up: if its stream was moved meanwhile, the tokens are
stored on the stream as it is now, unless the user's are newer; if the database is gone, they are
kept outside of it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Self

import msgspec

from clearlift_engine.decisions import (
    Decision,
    Step,
    cannot_be_served,
    deferred,
    is_same_work,
    on_top,
    released,
)
from clearlift_engine.errors import ConfigurationError, CronWorkerError, UnavailableError
from clearlift_engine.ports import (
    Appended,
    Commit,
    Refused,
    SealedCredentials,
    SealedTokens,
    Store,
)
from clearlift_engine.run import Run
from clearlift_engine.stream import Stream

AT_ONCE: Final = 500
ADOPTIONS_MAX: Final = 5
PATIENCE: Final = 5  # Times `gather_ms`.
# Nothing more can be stored: the database does not answer, or does not let us in any more.
AWAY: Final = (UnavailableError, ConfigurationError)
RETRY_AFTER_MS: Final = (1_000, 2_000, 4_000, 8_000)  # The database was there a moment ago.

_Waiting = tuple[Decision, "asyncio.Future[Appended]"]


class Committer:
    """The one writer of a run's answers; a context that waits at its end for the last commit."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.broken: CronWorkerError | None = None  # Why the run cannot go on, once it cannot.

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._waiting.put_nowait(None)
        await self._task

    async def commit(self, decision: Decision) -> None:
        """Return when `decision` is durable, or lost; its tokens are safe in either case.

        What the database refuses ends as failed.
        """
        appended = await self._enqueue(decision)
        self._run.settle([decision], appended)
        commit = decision.commit
        connection_id = commit.before.connection_id
        refused = appended.refused.get(connection_id)
        if commit.tokens is not None and (refused is not None or connection_id in appended.lost):
            await self.adopt(commit.tokens, refused, claim=commit.before)
        elif refused is not None:
            found = await self._run.ports.store.find([connection_id])
            steps = [Step(conn, conn.stream) for conn in found if conn.stream == commit.before]
            await fail_refused(self._run, steps, appended.refused)

    async def adopt(
        self, tokens: SealedTokens, refused: str | None = None, claim: Stream | None = None
    ) -> None:
        """Store tokens on whatever the stream is now, or keep them where no database is needed.

        `claim` is where this run's own claim left the stream; another worker's is left alone while
        its lease holds.
        """
        try:
            if await self._adopt(tokens, refused, claim):
                await self._run.ports.rescue.drop(tokens)
        except AWAY as exc:
            self.broken = self.broken or exc
            await self._run.ports.rescue.keep(tokens)

    async def _adopt(self, tokens: SealedTokens, refused: str | None, claim: Stream | None) -> bool:
        """Return whether they need no more care."""
        ports, connection_id = self._run.ports, tokens.connection_id
        for _ in range(ADOPTIONS_MAX):
            found = await ports.store.find([connection_id])
            stored = await ports.vault.credentials([connection_id])
            if not found or not stored:
                return True  # The connection is gone, and whatever its tokens were good for.
            fitting = self._fitting(found[0].platform, tokens, stored[0])
            step = Step(found[0], found[0].stream)
            ends = _ends(step.stream, claim, self._run.ports.clock.now())
            decision = _adoption(step, fitting, refused, self._run, ends_claim=ends)
            if fitting is None and not decision.commit.drafts:
                return True  # They are stored, or the user has newer ones; and the stream went on.
            appended = await self._enqueue(decision)
            self._run.settle([decision], appended)
            if not appended.gate_moved:
                return False  # They were kept where the database is not needed.
        self._run.note("error", "new tokens could not be stored", connection_id=connection_id)
        await ports.rescue.keep(tokens)
        return False

    def _fitting(
        self, platform: str, tokens: SealedTokens, stored: SealedCredentials
    ) -> SealedTokens | None:
        """Return the tokens as they can be stored over what is there; None if nothing has to be."""
        if tokens.are_in(stored):
            return None
        if tokens.fit(stored):
            return tokens
        return self._run.ports.refresher.rebase(platform, tokens, stored)

    async def _enqueue(self, decision: Decision) -> Appended:
        assert self._task is not None
        done: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((decision, done))
        await asyncio.wait((done, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            self._task.result()  # Raises what the work has died of.
        return done.result()

    async def _work(self) -> None:
        while (first := await self._waiting.get()) is not None:
            batch = await self._gathered(first)
            appended = await self._append([decision.commit for decision, _ in batch])
            for _, done in batch:
                done.set_result(appended)

    async def _gathered(self, first: _Waiting) -> list[_Waiting]:
        """Return what goes into the next transaction; no longer than it takes till all are here."""
        run, batch = self._run, [first]
        self._take(batch)
        if run.settings.gather_ms:
            for turn in range(PATIENCE):
                if len(batch) >= min(run.asking, AT_ONCE) or (turn and any(map(_rotated, batch))):
                    break
                await run.ports.clock.sleep(run.settings.gather_ms)
                self._take(batch)
        return batch

    def _take(self, batch: list[_Waiting]) -> None:
        # The None that ends the work is the last thing put, so it is never in the middle.
        while len(batch) < AT_ONCE and not self._waiting.empty():
            another = self._waiting.get_nowait()
            if another is None:
                self._waiting.put_nowait(None)
                break
            batch.append(another)

    async def _append(self, commits: Sequence[Commit]) -> Appended:
        """Append; while the database is away, bring new tokens to safety and wait for it."""
        run = self._run
        tokens = [commit.tokens for commit in commits if commit.tokens is not None]
        for wait_ms in (0, *RETRY_AFTER_MS):
            if wait_ms and self.broken is None:
                await run.ports.clock.sleep(wait_ms)
            try:
                appended = await append(run.ports.store, commits)
            except AWAY as exc:
                run.note("warning", "the database is away; answers are held", why=str(exc))
                if wait_ms == 0:
                    for each in tokens:
                        await run.ports.rescue.keep(each)
                lasts = isinstance(exc, ConfigurationError) or wait_ms == RETRY_AFTER_MS[-1]
                if lasts or self.broken is not None:
                    self.broken = exc
                    break
            else:
                if wait_ms:
                    await self._drop(each for each in tokens if _taken(each, appended))
                return appended
        return Appended(gate_moved=False)

    async def _drop(self, tokens: Iterable[SealedTokens]) -> None:
        for each in tokens:
            await self._run.ports.rescue.drop(each)


async def append(store: Store, commits: Sequence[Commit]) -> Appended:
    """Append what ends work under way; an operator's word that came first is no reason to lose it.

    The answer of a provider, or a queue's receipt, goes on top of it.
    """
    appended = await store.append(commits)
    for _ in range(ADOPTIONS_MAX):
        lost = [each for each in commits if each.before.connection_id in appended.lost]
        found = await store.find([each.before.connection_id for each in lost]) if lost else ()
        now = {conn.connection_id: conn.stream for conn in found}
        overtaken = [each for each in lost if _is_overtaken(each, now)]
        if not overtaken:
            break
        commits = [on_top(each, now[each.before.connection_id]) for each in overtaken]
        appended = _together(appended, commits, await store.append(commits))
    return appended


def _is_overtaken(commit: Commit, now: Mapping[str, Stream]) -> bool:
    stream = now.get(commit.before.connection_id)
    return stream not in (None, commit.before) and is_same_work(commit.before, stream)


def _together(first: Appended, again: Sequence[Commit], second: Appended) -> Appended:
    """Return what became of a batch of which some were appended again."""
    tried = {commit.before.connection_id for commit in again}
    refused = {**first.refused, **second.refused}
    return Appended((first.lost - tried) | second.lost, refused, first.gate_moved)


def _rotated(waiting: _Waiting) -> bool:
    """Return whether an answer holds what exists nowhere else any more."""
    tokens = waiting[0].commit.tokens
    return tokens is not None and tokens.rotated


def _taken(tokens: SealedTokens, appended: Appended) -> bool:
    connection_id = tokens.connection_id
    return connection_id not in appended.lost and connection_id not in appended.refused


async def fail_refused(run: Run, steps: Iterable[Step], refused: Mapping[str, str]) -> None:
    """Record why the database will not have what was decided: no organization, say."""
    for step in steps:
        decision = _refusal(step, refused[step.conn.connection_id], run)
        appended = await run.ports.store.append([decision.commit])
        if appended.refused:  # Not even the log takes it: nothing of it can be recorded.
            run.fail(step.conn.connection_id, "invalid", decision.message)
        else:
            run.settle([decision], appended)


def _refusal(step: Step, why: str, run: Run) -> Decision:
    reason = f"the database refuses it: {why}"
    return cannot_be_served(step, reason, at_ms=run.ports.clock.now(), run_id=run.run_id)


def _ends(stream: Stream, claim: Stream | None, now_ms: int) -> bool:
    """Return whether a stream is held by a claim that is ours to end: this one, or a dead one.

    Another worker may have a request under way under its own, and nobody may send a second.
    """
    if stream.state != "refreshing":
        return False
    ours = claim is not None and is_same_work(claim, stream)
    return ours or (stream.lease_until or 0) <= now_ms


def _adoption(
    step: Step, tokens: SealedTokens | None, refused: str | None, run: Run, *, ends_claim: bool
) -> Decision:
    """Return the decision that stores late tokens; the job is the next tick's to make."""
    if not ends_claim:
        return Decision(Commit(step.stream, step.stream, (), tokens=tokens), "claimed")
    if refused is not None:
        decision = _refusal(step, refused, run)
    else:
        why = "the stream was moved meanwhile; the new tokens are stored"
        at_ms = run.ports.clock.now()
        back = released(
            step, "interrupted", Refused("transient", why), at_ms=at_ms, run_id=run.run_id
        )
        decision = deferred(back, why)
    commit = msgspec.structs.replace(decision.commit, tokens=tokens)
    return msgspec.structs.replace(decision, commit=commit)
