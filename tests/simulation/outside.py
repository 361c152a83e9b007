"""Those who share the database: the queue's consumer, and the users through the API worker.

Both know the true time, and write the shared tables as product.md says they do.
"""

from functools import partial
from typing import Final

from clearlift_adapters.stores.memory import ConnectionRow, JobTableRow
from tests.simulation.providers import Providers
from tests.simulation.scope import MINUTE_MS
from tests.simulation.transport import Broker
from tests.simulation.world import START_MS, World, text

CALM_MS: Final = 5_000  # What a job takes once all is well.
OPEN: Final = ("pending", "running")


class Consumer:
    """Takes messages, claims their jobs, and ends them; or is slow, or dies, or fails."""

    def __init__(self, world: World, broker: Broker) -> None:
        self._world, self._broker = world, broker
        self._seen = 0
        broker.look = self.look

    def look(self) -> None:
        """Take what is new in the queue."""
        bodies = self._broker.bodies()
        for job_id, _ in bodies[self._seen :]:
            self._world.loop.call_in(self._pause(), partial(self.claim, job_id))
        self._seen = len(bodies)

    def claim(self, job_id: str) -> None:
        """Begin a job if nobody has; an old message is gone, as by the queue's retention."""
        world = self._world
        job = world.db.jobs.get(job_id)
        if job is None or job.status != "pending":
            return
        if world.now_ms - job.since > world.mix.job_limit_ms / 3:
            return
        world.note("consumer", f"claims {job_id}")
        job.status, job.started_at = "running", text(world.now_ms)
        row = world.db.connection(job.connection_id)
        if row is not None:
            row.sync_status = "syncing"
        if world.calm or world.random.random() >= world.mix.consumer_dies:
            world.loop.call_in(self._pause(), lambda: self._end(job))

    def _end(self, job: JobTableRow) -> None:
        world = self._world
        failed = not world.calm and world.random.random() < world.mix.consumer_fails
        world.note("consumer", f"ends {job.id}, failed: {failed}")
        job.status, job.completed_at = "failed" if failed else "completed", text(world.now_ms)
        row = world.db.connection(job.connection_id)
        if row is None:
            return
        row.sync_status, row.sync_error = ("failed", "no data") if failed else ("completed", None)
        if not failed:
            row.last_synced_at = text(world.now_ms, plain=world.random.random() < 1 / 2)

    def _pause(self) -> int:
        world = self._world
        return CALM_MS if world.calm else world.random.randint(1, world.mix.consumer_ms)


class Users:
    """Connect accounts, and change their minds."""

    def __init__(self, world: World, providers: Providers) -> None:
        self._world, self._providers = world, providers

    def arrive(self) -> None:
        """Connect all accounts, and plan what else will happen."""
        world, mix = self._world, self._world.mix
        world.db.organizations |= {"org-0", "org-1"}
        for number in range(mix.connections):
            world.db.connect(self._connection(number))
        acts = (
            *(self._reconnect_any, self._reconnect_any, self._revoke),
            *(self._toggle, self._delete, self._ask_for_a_sync),
        )
        for moment_ms in mix.users:
            act = world.random.choice(acts)
            world.loop.call_in(moment_ms, act)

    def reconnect_the_dead(self) -> None:
        """Do what a user does who reads that the account must be connected again."""
        for row in self._world.db.connections.values():
            projected = self._world.db.state.get(row.id)
            if projected is None or projected.stream.state != "failed":
                continue
            if projected.stream.retry_at is None and row.sync_status == "failed":
                self._reconnect(row)

    def _connection(self, number: int) -> ConnectionRow:
        random = self._world.random
        connection_id = f"c{number}"
        synced_ago = random.choice((None, random.randint(0, 120 * MINUTE_MS)))
        row = ConnectionRow(
            id=connection_id,
            organization_id=f"org-{random.randint(0, 1)}",
            platform=random.choice(self._world.mix.platforms),
            account_id=f"account-{number}",
            connected_at=text(START_MS - 600 * MINUTE_MS, plain=True),
        )
        if synced_ago is not None:
            row.last_synced_at = text(START_MS - synced_ago, plain=random.random() < 1 / 2)
        if random.random() < 1 / 4:
            self._world.db.settings[connection_id] = 20 * 60
        self._authorize(row)
        if row.platform == "tiktok" and random.random() < 1 / 20:
            row.refresh_token_encrypted = None
        return row

    def _authorize(self, row: ConnectionRow) -> None:
        world = self._world
        token = self._providers.grant(row.id)
        facebook = row.platform == "facebook"
        row.credentials_encrypted = token if facebook else f"tok-of-{token}"
        row.refresh_token_encrypted = None if facebook else token
        life_ms = world.random.randint(-10 * MINUTE_MS, world.mix.first_lifetime_ms)
        row.expires_at = None if row.platform == "stripe" else text(world.now_ms + life_ms)

    def _any(self) -> ConnectionRow | None:
        rows = list(self._world.db.connections.values())
        return self._world.random.choice(rows) if rows else None

    def _reconnect_any(self) -> None:
        row = self._any()
        if row is not None:
            self._reconnect(row)

    def _reconnect(self, row: ConnectionRow) -> None:
        self._world.note("user", f"reconnects {row.id}")
        token = row.refresh_token_encrypted or row.credentials_encrypted
        grant = self._providers.grants.get(str(token))
        if grant is not None and self._world.random.random() < 1 / 2:
            grant.dead = True
        self._authorize(row)

    def _revoke(self) -> None:
        row = self._any()
        token = None if row is None else row.refresh_token_encrypted
        if isinstance(token, str):
            self._world.note("user", f"revokes {token}")
            self._providers.grants[token].dead = True

    def _toggle(self) -> None:
        row = self._any()
        if row is not None:
            row.is_active = 1 - int(row.is_active == 1)
            self._world.note("user", f"{row.id} is active: {row.is_active}")

    def _delete(self) -> None:
        row, db = self._any(), self._world.db
        if row is None or len(db.connections) == 1:
            return
        self._world.note("user", f"deletes {row.id}")
        for job in [job for job in db.jobs.values() if job.connection_id == row.id]:
            del db.jobs[job.id]
        db.disconnect(row.id)

    def _ask_for_a_sync(self) -> None:
        """Insert a job beside the cron worker's, if none is open, and do it at once."""
        row, world = self._any(), self._world
        if row is None or any(
            job.connection_id == row.id and job.status in OPEN for job in world.db.jobs.values()
        ):
            return
        world.note("user", f"asks for a sync of {row.id}")
        job = JobTableRow(
            id=world.new_id(),
            organization_id=row.organization_id,
            connection_id=row.id,
            status="running",
            created_at=text(world.now_ms),
        )
        world.db.jobs[job.id] = job
        end = text(world.now_ms)

        def done() -> None:
            job.status, job.completed_at = "completed", end

        world.loop.call_in(10 * MINUTE_MS, done)
