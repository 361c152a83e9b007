"""D1 as the stores see it: what goes together in a request, what becomes of one done in part."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from clearlift_adapters.clock import FixedClock
from clearlift_adapters.cloudflare.api import CloudflareApi
from clearlift_adapters.stores.d1 import PARAMETER_BYTES_MAX, STATEMENTS_MAX, D1Database
from clearlift_adapters.stores.queries import Query
from clearlift_adapters.stores.sql import RefusedError
from clearlift_engine.errors import ConfigurationError, UnavailableError
from tests.given import DUE, NOW_MS, commit, started
from tests.workerd import faults
from tests.workerd.cloudflare import Cloudflare, Stage
from tests.workerd.faults import FOREVER
from tests.workerd.rest import Rest
from tests.workerd.shift import shift

ALL = Query("all", "SELECT x FROM a ORDER BY x")
ADD = Query("add", "INSERT INTO a (x) SELECT ?1 /* rows */")


@pytest.fixture
async def db(workerd: Cloudflare, stage: Stage, rest: Rest) -> AsyncIterator[D1Database]:
    """Return a database with a table of unique texts."""
    await rest.sql("CREATE TABLE a (x UNIQUE)")
    clock, token = FixedClock(NOW_MS), workerd.tokens.token
    async with CloudflareApi(
        token=token, base_url=workerd.base_url, clock=clock, deadline_s=20
    ) as api:
        yield D1Database(api, stage.account, stage.database)


async def test_what_is_asked_together_goes_in_one_request_and_in_its_order(
    workerd: Cloudflare, db: D1Database
) -> None:
    before = len(workerd.requests())

    empty, _, one, _, two = await asyncio.gather(
        db.read(ALL),
        db.write([(ADD, [["a"]])]),
        db.read(ALL),
        db.write([(ADD, [["b"]])]),
        db.read(ALL),
    )

    assert len(workerd.requests()) == before + 1
    assert [empty, one, two] == [[], [("a",)], [("a",), ("b",)]]


async def test_what_is_asked_while_a_request_is_under_way_goes_in_the_next(
    workerd: Cloudflare, db: D1Database
) -> None:
    before = len(workerd.requests())
    workerd.inject(faults.late(100, when="before"))
    first = asyncio.create_task(db.read(ALL))
    await asyncio.sleep(0.02)

    await asyncio.gather(first, *(db.write([(ADD, [[number]])]) for number in range(10)))

    assert len(workerd.requests()) == before + 2


async def test_request_holds_so_many_statements_and_no_more(
    workerd: Cloudflare, db: D1Database
) -> None:
    before = len(workerd.requests())

    await asyncio.gather(*(db.read(ALL) for _ in range(STATEMENTS_MAX + 1)))

    assert len(workerd.requests()) == before + 2


async def test_refused_write_harms_none_that_went_along(db: D1Database) -> None:
    writes = [db.write([(ADD, [[text]])]) for text in ("a", "b", "a", "c")]

    done = await asyncio.gather(*writes, return_exceptions=True)

    assert [done[0], done[1], done[3]] == [[1], [1], [1]]
    assert isinstance(done[2], RefusedError)
    assert await db.read(ALL) == [("a",), ("b",), ("c",)]


async def test_changes_are_counted_by_step_however_many_statements_that_is(db: D1Database) -> None:
    large = [[letter * (PARAMETER_BYTES_MAX // 2)] for letter in "abc"]

    changed = await db.write([(ADD, large), (ADD, []), (ADD, [["x"], ["y"]])])

    assert changed == [3, 0, 2]


async def test_values_come_back_as_sqlite_gives_them(db: D1Database) -> None:
    query = Query("it", "SELECT ?1, typeof(?1), ?2, ?3, x'00ff', 1.5, ?4")

    [row] = await db.read(query, 2**53 - 1, "日本 '\"\n", None, 0)

    assert row == (2**53 - 1, "integer", "日本 '\"\n", None, b"\x00\xff", 1.5, 0)


async def test_table_that_is_missing_is_for_somebody_to_put_right(db: D1Database) -> None:
    with pytest.raises(ConfigurationError, match="clearlift-cron migrate"):
        await db.read(Query("it", "SELECT * FROM outbox"))


async def test_claim_whose_answer_was_lost_is_still_the_claim_of_who_made_it(
    workerd: Cloudflare,
) -> None:
    async with shift(workerd) as worker:
        worker.expiring("c", platform="tiktok")
        gate = await worker.world.store.gate("tiktok")
        workerd.inject(faults.reset(when="after").at("query"))

        appended = await worker.world.store.append(
            [commit("c", DUE, started())], type(gate)("tiktok", version=1, run_id="run")
        )

        assert appended.gate_moved
        assert not appended.lost


@pytest.mark.parametrize("statements", [1, 2])
async def test_whoever_loses_to_a_batch_that_was_cut_short_completes_it(
    workerd: Cloudflare, statements: int
) -> None:
    """The log is written, and not all of what it explains: the job, the projection."""
    async with shift(workerd) as worker:
        worker.seed.add_connection("c", platform="stripe")
        workerd.inject(faults.cut_short(statements).at("query", 3, times=FOREVER))
        with pytest.raises(UnavailableError):
            await worker.tick()
        workerd.inject()
        [written] = [row for row in worker.seed.rows("outbox") if row["job_id"]]
        half_done = worker.seed.rows("connection_state")

        outcome = await worker.tick()

        [job] = worker.seed.rows("sync_jobs")
        assert half_done == []
        assert outcome.report.jobs_created == 0  # They are the other's.
        assert (job["id"], worker.state("c")) == (written["job_id"], "job_created")
        assert await worker.violations() == []


async def test_completed_batch_is_delivered_like_any_other(workerd: Cloudflare) -> None:
    async with shift(workerd) as worker:
        worker.seed.add_connection("c", platform="stripe")
        workerd.inject(faults.cut_short(1).at("query", 3, times=FOREVER))
        with pytest.raises(UnavailableError):
            await worker.tick()
        workerd.inject()

        codes = await worker.tick_and_relay()

        assert codes == [0, 0]
        assert worker.copies() == Counter({"c": 1})
