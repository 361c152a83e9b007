"""One history: chaos for an hour or so, then a healthy core in which everything must settle."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from itertools import count
from typing import Any, Final

import msgspec

from clearlift_adapters.memory_rescue import MemoryRescue
from clearlift_adapters.stores.memory import MemoryLeases, MemoryVault
from clearlift_engine.policy import Schedule
from clearlift_engine.relay import RelayPorts, drain
from clearlift_engine.run import TickPorts, TickSettings
from clearlift_engine.tick import tick
from tests.simulation.checker import check, unserved
from tests.simulation.life import Life, behind, owned
from tests.simulation.loop import StandstillError
from tests.simulation.mix import busy
from tests.simulation.operators import Operators
from tests.simulation.outside import Consumer, Users
from tests.simulation.providers import Providers, Refresher
from tests.simulation.scope import HOUR_MS, MINUTE_MS
from tests.simulation.tokens import check_all_stored
from tests.simulation.transport import Broker, SeenStore, Transport
from tests.simulation.watchman import Watchman
from tests.simulation.world import World

PATIENCE_MS: Final = 30_000  # Of a relay that finds another one at work.
ENDS_WITHIN_S: Final = 2 * HOUR_MS // 1000  # A process, once nothing hinders it.
CORE_TICK_MS: Final = 15 * MINUTE_MS
SETTLES_WITHIN_MS: Final = 3 * HOUR_MS  # After the last thing that is waited for.


class Result(msgspec.Struct, frozen=True):
    """What came of one seed."""

    seed: int
    violations: list[str]
    trace_hash: str
    trace: list[str]
    events: int


class Machine:
    """A host: its clock, and the folder where tokens are kept when the database is away."""

    def __init__(self, world: World, number: int) -> None:
        self._world, self.number = world, number
        self.skew_ms = 0
        self.rescue = MemoryRescue()
        self.set_clock()

    def set_clock(self) -> None:
        """Let the clock be as wrong as it may."""
        most = self._world.mix.skew_ms
        self.skew_ms = self._world.random.randint(-most, most) if most else 0

    def now(self) -> int:
        """Return the time as this machine has it."""
        return self._world.now_ms + self.skew_ms

    async def sleep(self, ms: int) -> None:
        """Return after `ms` of true time."""
        await self._world.loop.pause(ms)


class History:
    """The stage and all who act on it."""

    def __init__(self, seed: int) -> None:
        world = self.world = World(seed)
        world.loop.at_birth = owned
        world.loop.set_exception_handler(unheard)
        self.broker, self.providers = Broker(world), Providers(world)
        self.consumer, self.users = Consumer(world, self.broker), Users(world, self.providers)
        self.operators = Operators(world)
        self.watchman = Watchman(world, self.providers)
        self.store = SeenStore(world.db, self._look)
        self.machines = [Machine(world, number) for number in range(len(world.mix.ticks))]
        self.lives: list[Life] = []
        self.processes: list[asyncio.Future[None]] = []
        self._numbers = count(1)

    def _look(self) -> None:
        self.watchman.look()
        self.consumer.look()

    def run(self) -> Result:
        """Play it to the end, and check it."""
        world = self.world
        try:
            world.loop.run_until_complete(self._play())
        except StandstillError:
            world.violation("everybody waits, and for nothing")
        finally:
            world.loop.close()
        check(world, self.providers, self.broker)
        events = len(world.db.outbox)
        return Result(world.seed, world.violations, world.trace_hash(), world.trace, events)

    async def _play(self) -> None:
        world, mix = self.world, self.world.mix
        self.users.arrive()
        for machine, ticks in zip(self.machines, mix.ticks, strict=True):
            for wait_ms in ticks:
                world.loop.call_in(wait_ms, partial(self._start, machine, ticks=True))
            if world.random.random() < mix.relays:
                relay_ms = busy(world.random, mix.ticks, mix.chaos_ms)
                world.loop.call_in(relay_ms, partial(self._start, machine, ticks=False))
            if mix.jumps:
                world.loop.call_in(world.random.randint(1, mix.chaos_ms), machine.set_clock)
        for moment_ms in mix.by_hand:
            machine = world.random.choice(self.machines)
            world.loop.call_in(moment_ms, partial(self._start, machine, ticks=True))
        for moment_ms in self.operators.moments():
            world.loop.call_in(moment_ms, self._start_operator)
        await world.loop.pause(mix.chaos_ms)
        await self._recover()
        await self._settle()

    async def _recover(self) -> None:
        """End all faults, and let what is under way come to its end."""
        self.world.note("world", "calm")
        self.world.calm = True
        for machine in self.machines:
            machine.skew_ms = 0
        for life in self.lives:
            life.thaw()
        await self._ended(self.processes)
        await self.operators.resume_all(self.store)

    async def _settle(self) -> None:
        """Tick and relay on every machine until all are served; within a bound, they must be."""
        world = self.world
        await world.loop.pause(world.mix.rest_ms)
        since_ms = world.now_ms
        waits = [row.stream.retry_at or 0 for row in world.db.state.values()]
        waits.append(since_ms + world.mix.job_limit_ms + world.mix.skew_ms)
        waits.extend(gate.paused_until for gate in world.db.gates.values())
        until_ms = max(waits) + SETTLES_WITHIN_MS
        at_work, left = self._first_at_work(), [""]
        numbers = count()
        while left and world.now_ms <= until_ms:
            await self._ended([self._start(machine, ticks=True) for machine in at_work])
            await world.loop.pause(CORE_TICK_MS)
            number, left = next(numbers), unserved(world, since_ms)
            if number == 0:
                check_all_stored(world, self.providers)
            self.users.reconnect_the_dead()
            at_work = [self.machines[number % len(self.machines)]]
        for each in left:
            world.violation(f"never settled: {each}")

    def _first_at_work(self) -> list[Machine]:
        """One machine, mostly; all of them if one has tokens to bring home: the others race it."""
        if self.world.mix.all_at_work or any(each.rescue.holds for each in self.machines):
            return self.machines
        return self.machines[:1]

    async def _ended(self, processes: list[asyncio.Future[None]]) -> None:
        if processes:
            _, pending = await asyncio.wait(processes, timeout=ENDS_WITHIN_S)
            for _ in pending:
                self.world.violation("a process does not end")

    def _start(self, machine: Machine, *, ticks: bool) -> asyncio.Future[None]:
        life = self._life("tick" if ticks else "relay", machine)
        return self._begun(life, self._work(life, machine, ticks=ticks))

    def _start_operator(self) -> None:
        machine = self.machines[0]
        life = self._life("operator", machine)
        store = behind(life, "store", self.store)
        self._begun(life, self.operators.act(store, machine.now(), life.name))

    def _life(self, kind: str, machine: Machine) -> Life:
        life = Life(self.world, f"{kind}-{next(self._numbers)}@{machine.number}")
        self.lives.append(life)
        self.world.note(life.name, "starts")
        return life

    def _begun(self, life: Life, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        self.processes.append(life.start(work))
        return self.processes[-1]

    async def _work(self, life: Life, machine: Machine, *, ticks: bool) -> None:
        """Do what `tick --relay` does, or `relay --drain`."""
        mix = self.world.mix
        if ticks:
            await tick(
                self._tick_ports(life, machine),
                TickSettings(
                    Schedule(mix.interval_ms, mix.job_limit_ms, mix.margin_ms),
                    batch=mix.batch,
                    gather_ms=mix.gather_ms,
                ),
                run_id=life.name,
                now_ms=machine.now(),
                should_stop=life.should_stop,
                note=silent,
            )
        until_ms = self.world.now_ms + PATIENCE_MS
        await drain(
            self._relay_ports(life, machine),
            run_id=life.name,
            batch=mix.relay_batch,
            should_stop=lambda: life.stopped or self.world.now_ms > until_ms,
            note=silent,
        )

    def _tick_ports(self, life: Life, machine: Machine) -> TickPorts:
        return TickPorts(
            behind(life, "store", self.store),
            behind(life, "vault", MemoryVault(self.world.db)),
            behind(life, "refresher", Refresher(self.providers, life, machine)),
            behind(life, "rescue", machine.rescue),
            behind(life, "clock", machine),
            self.world.new_id,
            behind(life, "queue", Transport(self.broker, life)) if self._at_once else None,
        )

    @property
    def _at_once(self) -> bool:
        """Return whether a tick delivers what it creates: where it can, in every other history."""
        return self.world.mix.level == "same_transaction" and self.world.seed % 2 == 0

    def _relay_ports(self, life: Life, machine: Machine) -> RelayPorts:
        return RelayPorts(
            behind(life, "store", self.store),
            behind(life, "queue", Transport(self.broker, life)),
            behind(life, "leases", MemoryLeases(self.world.db)),
            behind(life, "clock", machine),
        )


def unheard(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Say nothing of what the tasks of killed processes leave behind."""


def silent(level: str, event: str, **fields: object) -> None:
    """Hear what the engine says, and say nothing."""


def play(seed: int) -> Result:
    """Return what comes of one seed."""
    return History(seed).run()
