"""What every Store promises about gates: whoever moves one first shuts the others out."""

from msgspec.structs import replace

from clearlift_engine.pacing import Gate
from clearlift_engine.ports import Appended
from tests.given import DUE, NOW_MS, commit, job_commit, orphan_commit, started, take
from tests.world import World

LOST = Appended(lost=frozenset({"c"}), gate_moved=False)


def moved(gate: Gate, run_id: str = "run", **changes: object) -> Gate:
    return replace(gate, version=gate.version + 1, run_id=run_id, **changes)


async def test_provider_that_nobody_asked_yet_has_a_new_gate(world: World) -> None:
    assert await world.store.gate("google") == Gate("google")


async def test_gate_is_stored_whole_with_the_commits_that_it_let_through(world: World) -> None:
    gate = Gate("google", 1, "run", (1, 2, 3), NOW_MS, 4, "suspect", 5, "probe")

    appended = await world.store.append([commit("c", DUE, started())], gate)

    assert appended == Appended()
    assert await world.store.gate("google") == gate
    assert await world.store.gate("facebook") == Gate("facebook")


async def test_gate_moves_again_and_again(world: World) -> None:
    first = moved(await world.store.gate("google"))
    await world.store.append([], first)

    second = moved(first, slots=(9,))

    assert await world.store.append([], second) == Appended()
    assert await world.store.gate("google") == second


async def test_nothing_is_taken_through_a_gate_that_another_run_moved_first(world: World) -> None:
    seen = await world.store.gate("google")
    theirs = moved(seen, "theirs")
    await world.store.append([], theirs)

    appended = await world.store.append([commit("c", DUE, started())], moved(seen, "ours"))

    assert appended == LOST
    assert world.seed.rows("outbox") == []
    assert await world.store.gate("google") == theirs


async def test_nothing_is_taken_through_a_gate_that_the_same_run_moved_first(
    world: World,
) -> None:
    seen = await world.store.gate("google")
    first = moved(seen, slots=(1,))
    await world.store.append([], first)

    appended = await world.store.append([commit("c", DUE, started())], moved(seen, slots=(2,)))

    assert appended == LOST
    assert world.seed.rows("outbox") == []
    assert await world.store.gate("google") == first


async def test_gate_that_was_seen_at_a_version_it_never_had_lets_nothing_through(
    world: World,
) -> None:
    appended = await world.store.append([commit("c", DUE, started())], Gate("google", version=2))

    assert appended == LOST
    assert await world.store.gate("google") == Gate("google")


async def test_gate_of_one_provider_does_not_shut_out_another(world: World) -> None:
    await world.store.append([], moved(Gate("google")))

    appended = await world.store.append([commit("c", DUE, started())], moved(Gate("facebook")))

    assert appended == Appended()


async def test_gate_moves_though_one_stream_of_its_batch_is_lost(world: World) -> None:
    await take(world.store, commit("lost", DUE, run_id="another"))
    gate = moved(Gate("google"))

    appended = await world.store.append([commit("lost", DUE), commit("c", DUE, started())], gate)

    assert appended == Appended(lost=frozenset({"lost"}))
    assert await world.store.gate("google") == gate


async def test_gate_moves_once_though_one_commit_of_its_batch_is_refused(world: World) -> None:
    for name in ("a", "b", "c"):
        world.seed.add_connection(name)
    batch = [job_commit("a", "a"), orphan_commit("b"), job_commit("c", "c")]
    gate = moved(Gate("google"))

    appended = await world.store.append(batch, gate)

    assert (list(appended.refused), appended.gate_moved) == (["b"], True)
    assert not appended.lost
    assert {row["connection_id"] for row in world.seed.rows("outbox")} == {"a", "c"}
    assert await world.store.gate("google") == gate
