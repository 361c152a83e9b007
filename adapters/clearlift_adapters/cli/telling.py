"""Tells receivers of a run, from its beginning to its end; where none is set, nothing is loaded.

Only ticks are told of: a relay has neither a schedule to miss nor an end. What its alerts say is
seen by the tick after it, as is what an audit has found.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from clearlift_adapters.cli import exits, interrupt
from clearlift_adapters.cli.options import Flags
from clearlift_adapters.cli.world import World
from clearlift_adapters.ids import new_id
from clearlift_adapters.logs import Log
from clearlift_adapters.telling.receivers import Receivers
from clearlift_engine.errors import CronWorkerError

if TYPE_CHECKING:  # They load httpx.
    from clearlift_adapters.telling.courier import Courier
    from clearlift_adapters.telling.posts import Post

    Outcome = asyncio.Future[str | None]


class Telling:
    """A run that receivers are told of. `code` and `report` are for the command to fill in."""

    def __init__(self, receivers: Receivers, courier: "Courier | None", log: Log) -> None:
        self.run_id = new_id()
        self.code = exits.DONE
        self.report: object = None
        self._receivers, self._courier, self._log = receivers, courier, log
        self._sent: dict[str, list[Outcome]] = {}
        self._ended = False

    def begin(self) -> None:
        """Say that the run begins; nothing waits for it."""
        if self._courier is not None:
            from clearlift_adapters.telling.posts import of_start  # noqa: PLC0415  see above

            self._send(of_start(self._receivers, self.run_id))

    async def conclude(self, world: World) -> None:
        """Say that the run has ended, and what has changed; nobody waits longer than the courier.

        What cannot be said is a line in the log, and nothing else.
        """
        if self._courier is None:
            return
        self._say_end()
        if self._receivers.slack is not None:
            try:
                await self._tell_news(world)
            except CronWorkerError as exc:
                self._log.note("warning", "could not look for what to tell", why=str(exc))
        await self._report_problems()

    async def end(self) -> None:
        """Say that the run has ended, if that was not said: nothing else is known of it."""
        if self._courier is not None and not self._ended:
            self._say_end()
            await self._report_problems()

    def _say_end(self) -> None:
        from clearlift_adapters.telling.posts import of_end  # noqa: PLC0415  see above

        self._ended = True
        self._send(of_end(self._receivers, self.run_id, self.code, self.report))

    async def _tell_news(self, world: World) -> None:
        from clearlift_adapters.cli.overview import pulse  # noqa: PLC0415  it loads alerts and cronsim
        from clearlift_adapters.telling.news import tell_news  # noqa: PLC0415  see above
        from clearlift_adapters.telling.posts import of_text  # noqa: PLC0415  see above

        slack, backend = self._receivers.slack, world.backend
        assert slack is not None

        async def say(text: str) -> bool:
            self._send([of_text(slack, text)])
            assert self._courier is not None
            sent = {slack.setting: self._sent[slack.setting]}
            return not await self._courier.answers(sent)

        seen = await pulse(world)
        await tell_news(seen, backend.notices, backend.leases, say, run_id=self.run_id)

    def _send(self, posts: "Sequence[Post]") -> None:
        assert self._courier is not None
        for post in posts:
            self._sent.setdefault(post.receiver, []).append(self._courier.send(post))

    async def _report_problems(self) -> None:
        assert self._courier is not None
        for receiver, why in (await self._courier.answers(self._sent)).items():
            self._log.note("warning", "a receiver was not told", receiver=receiver, why=why)


@asynccontextmanager
async def told(flags: Flags) -> AsyncGenerator[Telling]:
    """Tell of a run whichever way it ends, short of being killed."""
    receivers = flags.settings.receivers
    if not receivers.any:
        yield Telling(receivers, None, flags.log)
        return
    from clearlift_adapters.telling.courier import Courier  # noqa: PLC0415  see above

    async with Courier() as courier:
        telling = Telling(receivers, courier, flags.log)
        telling.begin()
        try:
            yield telling
        except BaseException as exc:
            telling.code = exits.code_of(exc)
            if isinstance(exc, asyncio.CancelledError):
                telling.code = interrupt.CODE
            telling.report = {"run_id": telling.run_id, "error": type(exc).__name__}
            raise
        finally:
            await telling.end()
