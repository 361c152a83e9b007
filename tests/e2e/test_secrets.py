"""No secret is anywhere but where it belongs, whatever happens: see tests/e2e/traces.py."""

import asyncio
import binascii
import shutil
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import msgspec
import pytest

from clearlift_adapters.stores.library import sqlite3
from tests.e2e.canaries import CLIENT_SECRETS, ENCODINGS, KEY_BYTES, access_token, found_in
from tests.e2e.traces import STORIES, TABLES, Traces, told

CODES: Final = {
    "all_is_well": {0},
    # What gives a secret away is refused; what a previous key still has to open is said.
    "everything_is_looked_after": {0, 2, 7},
    "the_key_is_wrong": {4},
    "providers_say_too_much": {3, 0},  # All failed; then one looks at what the matter is.
    "providers_break_down": {3},
    "the_program_crashes": {1},
    "the_disk_is_full": {5, 0},
}
# One secret, in the middle of what a program might write, by other means than the search has.
PLANTED: Final[Mapping[str, Callable[[str], str | bytes]]] = {
    "UTF-8": lambda text: f"token {text}!",
    "UTF-16, little end first": lambda text: f"token {text}!".encode("utf-16")[2:],
    "UTF-16, big end first": lambda text: b"".join(bytes((0, ord(each))) for each in text),
    "base64": lambda text: binascii.b2a_base64(f"token {text}!".encode()),
    "base64 for URLs": lambda text: urlsafe_b64encode(f"token: {text}!".encode()),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: "".join(f"{ord(each):02X}" for each in text),
    "percent": lambda text: urlencode({"token": text}),
    "JSON": lambda text: msgspec.json.encode({"token": text}),
}


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Mapping[str, Traces]:
    """Tell all stories, side by side."""

    async def tell() -> Mapping[str, Traces]:
        folders = [tmp_path_factory.mktemp(name) for name in STORIES]
        telling = [
            told(story, folder, empty_database)
            for story, folder in zip(STORIES.values(), folders, strict=True)
        ]
        return dict(zip(STORIES, await asyncio.gather(*telling), strict=True))

    return asyncio.run(tell())


@pytest.fixture(params=STORIES)
def traces(request: pytest.FixtureRequest, stories: Mapping[str, Traces]) -> Traces:
    return stories[request.param]


@pytest.mark.parametrize("name", STORIES)
def test_a_story_goes_as_it_is_told(stories: Mapping[str, Traces], name: str) -> None:
    codes = {done.code for done in stories[name].done.values()}

    assert codes == CODES[name]


def test_no_secret_is_in_any_byte_of_any_file(traces: Traces) -> None:
    found = {name: found_in(content, traces.secrets) for name, content in traces.files.items()}

    assert not any(found.values()), {name: secrets for name, secrets in found.items() if secrets}
    assert any(len(content) for name, content in traces.files.items() if "-wal" in name)


def test_no_secret_is_in_anything_a_process_says_with_all_it_can_say(traces: Traces) -> None:
    found = {name: found_in(text, traces.secrets) for name, text in traces.spoken.items()}

    assert not any(found.values()), {name: secrets for name, secrets in found.items() if secrets}
    assert any(traces.spoken.values())


def test_no_ciphertext_is_said_or_stored_but_in_its_own_column(traces: Traces) -> None:
    ciphertexts = {field.encode() for field in traces.sealed}

    for text in (*traces.spoken.values(), *traces.tables.values()):
        assert not [field for field in ciphertexts if field in text]
    assert traces.tables.keys() == set(TABLES)
    assert ciphertexts


def test_no_secret_is_in_a_url(traces: Traces) -> None:
    targets = [visit.target.encode() for visit in traces.visits]

    for target in targets:
        assert found_in(target, traces.secrets) == []
        assert b"?" not in target


def test_the_list_of_processes_shows_a_command_and_no_secret(
    stories: Mapping[str, Traces],
) -> None:
    for name in ("all_is_well", "providers_say_too_much"):
        arguments = stories[name].arguments

        if Path("/proc/self/cmdline").exists():
            assert any(b"tick" in shown for shown in arguments)
        assert found_in(b"".join(arguments), stories[name].secrets) == []


@pytest.mark.skipif("the_disk_is_full" not in STORIES, reason="no disk can be made full here")
def test_tokens_that_the_database_could_not_take_are_kept_encrypted_and_brought_home(
    stories: Mapping[str, Traces],
) -> None:
    traces = stories["the_disk_is_full"]
    full, again = traces.done.values()

    rescued = [content for name, content in traces.files.items() if "tokens.json" in name]

    assert (full.code, again.code) == (5, 0)
    assert msgspec.json.decode(rescued[0], type=dict[str, object])["access"] in traces.sealed
    assert not [name for name in list(traces.files)[-4:] if "tokens.json" in name]


def test_a_refusal_that_quotes_what_was_sent_is_quoted_without_it(
    stories: Mapping[str, Traces],
) -> None:
    traces = stories["providers_say_too_much"]

    said = b"".join(traces.spoken.values())

    assert b"Token refresh failed: Google says the grant is revoked or expired" in said
    assert b"invalid_grant" in said
    assert len(traces.visits) == 4


@pytest.mark.parametrize("encoding", PLANTED)
def test_the_search_finds_what_is_planted_in_a_database(
    empty_database: Path, tmp_path: Path, encoding: str
) -> None:
    secret = access_token("planted")
    file = Path(shutil.copy(empty_database, tmp_path / "clearlift.db"))
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("INSERT INTO organizations (id) VALUES (?)", (PLANTED[encoding](secret),))

        wal = file.with_name(f"{file.name}-wal").read_bytes()

    assert found_in(wal, [secret.encode()]) == [secret.encode()]
    assert found_in(wal, [access_token("other").encode()]) == []
    assert PLANTED.keys() == ENCODINGS.keys()


@pytest.mark.parametrize("secret", [access_token("x").encode(), KEY_BYTES])
def test_the_search_finds_a_secret_however_it_is_written(secret: bytes) -> None:
    spelt = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for before in (b"", b"x", b"xy", b"xyz"):
        spelt += [b64encode(before + secret + b"yz"), urlsafe_b64encode(before + secret)]

    found = [found_in(b"..." + text + b"...", [secret]) for text in spelt]

    assert found == [[secret]] * len(spelt)
    assert found_in(secret[:-1], [secret]) == []


def test_the_search_finds_a_secret_in_a_form_and_in_json() -> None:
    [secret, *_] = CLIENT_SECRETS.values()

    spelt = [urlencode({"client_secret": secret}).encode(), msgspec.json.encode([secret])]

    assert [found_in(text, [secret.encode()]) for text in spelt] == [[secret.encode()]] * 2
