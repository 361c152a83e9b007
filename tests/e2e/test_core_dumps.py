"""`relay` and `replay` run without the key: then no secret is anywhere in their memory.

The key opens everything, so who has to hold it and who has not is worth a proof. That the search
can find is shown on the same process with the key in its environment.
"""

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from clearlift_adapters.cipher import FieldCipher
from clearlift_engine.policy import iso
from tests.e2e import canaries
from tests.e2e.cores import NoDumpError, dumped
from tests.e2e.program import Program
from tests.given import NOW_MS

TOKENS = (canaries.access_token("c"), canaries.refresh_token("c"))
SECRETS = {*canaries.SET, *(token.encode() for token in TOKENS)}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Program:
    """Return the program with a connection whose tokens are encrypted, and a job of it."""
    program = Program(tmp_path_factory.mktemp("dumps"), ENCRYPTION_KEY=canaries.KEY)
    shutil.copy(empty_database, program.file)
    cipher = FieldCipher(canaries.KEY)
    with program.tables() as tables:
        tables.add_connection(
            "c",
            credentials_encrypted=cipher.seal(TOKENS[0]),
            refresh_token_encrypted=cipher.seal(TOKENS[1]),
        )
    asyncio.run(program.done("tick"))
    return program


def memory_of(program: Program, command: str, work: str, secrets: Mapping[str, str]) -> bytes:
    environment = {**program.environment, "CLEARLIFT_NOW": iso(NOW_MS), **secrets}
    try:
        return dumped(command.split(), program.folder, work, environment)
    except NoDumpError as exc:
        if "CI" in os.environ:
            pytest.fail(f"CI must have core dumps: {exc}")
        pytest.skip(str(exc))


@pytest.mark.parametrize(
    ("command", "work"), [("relay --drain", "relay.drain"), ("replay", "replay.replay")]
)
def test_no_secret_is_in_the_memory_of_who_has_no_key(
    program: Program, command: str, work: str
) -> None:
    memory = memory_of(program, command, work, {"ENCRYPTION_KEY": ""})

    assert b"job_created" in memory
    assert canaries.found_in(memory, SECRETS) == []


def test_the_search_finds_what_is_there(program: Program) -> None:
    key = {"ENCRYPTION_KEY": canaries.KEY}

    memory = memory_of(program, "relay --drain", "relay.drain", key)

    assert canaries.found_in(memory, [canaries.KEY.encode()])
