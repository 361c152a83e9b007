"""What every Rescue promises."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clearlift_adapters.credentials import Stored, StoredCredentials, StoredTokens
from clearlift_adapters.memory_rescue import MemoryRescue
from clearlift_adapters.rescue import FileRescue
from clearlift_engine.ports import Rescue
from tests.given import NOW_MS, ODD_IDS

OpenRescue = Callable[[], Rescue]


@pytest.fixture(params=["memory", "file"])
def open_rescue(request: pytest.FixtureRequest, tmp_path: Path) -> OpenRescue:
    """Return what opens one and the same rescue, as another process would."""
    memory = MemoryRescue()
    if request.param == "memory":
        return lambda: memory
    return lambda: FileRescue(tmp_path / "rescue")


def tokens(
    connection_id: str = "c", access: str = "new", old: Stored = "old", refresh: str | None = None
) -> StoredTokens:
    replaces = StoredCredentials(connection_id, old, None)
    return StoredTokens(replaces, access, refresh, NOW_MS, refresh is not None)


async def test_nothing_is_kept_at_first(open_rescue: OpenRescue) -> None:
    assert list(await open_rescue().kept()) == []


@pytest.mark.parametrize("old", ["old", "", None, b"\xff no text", "日本\n"])
async def test_kept_tokens_are_found_whole_by_whoever_comes_next(
    open_rescue: OpenRescue, old: Stored
) -> None:
    sent = tokens(old=old, refresh="rotated")

    await open_rescue().keep(sent)

    [found] = await open_rescue().kept()
    assert found == sent
    assert (found.connection_id, found.expires_at, found.rotated) == ("c", NOW_MS, True)
    assert found.replaced_fingerprint == sent.replaced_fingerprint


async def test_tokens_of_many_connections_are_kept_oldest_first(open_rescue: OpenRescue) -> None:
    rescue = open_rescue()
    for connection_id in ODD_IDS:
        await rescue.keep(tokens(connection_id))

    found = await rescue.kept()

    assert [kept.connection_id for kept in found] == list(ODD_IDS)


async def test_tokens_kept_twice_are_kept_once(open_rescue: OpenRescue) -> None:
    rescue = open_rescue()

    await rescue.keep(tokens())
    await rescue.keep(tokens())

    assert list(await rescue.kept()) == [tokens()]


async def test_one_connections_tokens_in_place_of_different_ones_are_both_kept(
    open_rescue: OpenRescue,
) -> None:
    rescue = open_rescue()

    await rescue.keep(tokens(old="first", access="second"))
    await rescue.keep(tokens(old="second", access="third"))

    assert [kept.replaced_fingerprint for kept in await rescue.kept()] == [
        tokens(old="first").replaced_fingerprint,
        tokens(old="second").replaced_fingerprint,
    ]


async def test_dropped_tokens_are_forgotten_and_the_others_are_not(
    open_rescue: OpenRescue,
) -> None:
    rescue = open_rescue()
    await rescue.keep(tokens("a"))
    await rescue.keep(tokens("b"))

    await rescue.drop(tokens("a"))

    assert list(await open_rescue().kept()) == [tokens("b")]


async def test_dropping_what_is_not_there_does_nothing(open_rescue: OpenRescue) -> None:
    rescue = open_rescue()
    await rescue.keep(tokens("a"))

    await rescue.drop(tokens("b"))
    await rescue.drop(tokens("a"))
    await rescue.drop(tokens("a"))

    assert list(await rescue.kept()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b'{"connection_id": 1}', None])
async def test_file_that_cannot_be_read_is_set_aside_and_the_others_come_home(
    tmp_path: Path, content: bytes | None
) -> None:
    said: list[str] = []

    def note(level: str, event: str, **fields: object) -> None:
        said.append(f"{level}: {event} {sorted(fields)}")

    rescue = FileRescue(tmp_path, note)
    await rescue.keep(tokens("a"))
    bad = tmp_path / "0-bad.tokens.json"
    bad.mkdir() if content is None else bad.write_bytes(content)

    found = [await rescue.kept() for _ in range(2)]

    assert found == [[tokens("a")]] * 2
    assert said == ["error: a file with rescued tokens cannot be read ['file']"]
    assert not bad.exists()
    assert bad.with_suffix(".unreadable").exists()
