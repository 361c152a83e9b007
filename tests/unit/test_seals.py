"""Seals: whose ciphertext it is, said by who has the key, and by nobody else."""

from base64 import b64encode
from typing import Final

import pytest

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.clock import FixedClock
from clearlift_adapters.credentials import (
    Column,
    CopiedFieldError,
    MisplacedFieldError,
    Seal,
    Stored,
    StoredCredentials,
    StoredTokens,
)
from clearlift_adapters.oauth.providers import SETTINGS, ClientCredentials, built_in
from clearlift_adapters.oauth.refresher import HttpTokenRefresher
from clearlift_engine.ports import Refreshed, Refused
from tests.cli.program import KEY
from tests.given import NOW_MS
from tests.loopback import answer_json, loopback, stall

OTHER_KEY: Final = b64encode(bytes(32)).decode()
CIPHER: Final = FieldCipher(KEY)
SEALS: Final = CIPHER.seals
ACCESS: Final[Column] = "credentials_encrypted"
REFRESH: Final[Column] = "refresh_token_encrypted"
FIELDS: Final = {"a": CIPHER.seal("refresh of a"), "b": CIPHER.seal("refresh of b")}


def sealed(connection_id: str, column: Column, field: str, cipher: FieldCipher = CIPHER) -> Seal:
    seal = cipher.seals.seal(field, connection_id=connection_id, column=column)
    return Seal(connection_id, column, seal)


def stored(field: Stored, *seals: Seal, copied: bool = False) -> StoredCredentials:
    """Return what stands in the connection a."""
    return StoredCredentials("a", None, field, refresh_copied=copied, seals=seals)


def test_seal_fits_its_ciphertext_in_its_place_and_no_other() -> None:
    seal = SEALS.seal(FIELDS["a"], connection_id="a", column=REFRESH)

    assert SEALS.fits(seal, FIELDS["a"], connection_id="a", column=REFRESH)
    assert not SEALS.fits(seal, FIELDS["b"], connection_id="a", column=REFRESH)
    assert not SEALS.fits(seal, FIELDS["a"], connection_id="b", column=REFRESH)
    assert not SEALS.fits(seal, FIELDS["a"], connection_id="a", column=ACCESS)
    assert not SEALS.fits(seal[:-1], FIELDS["a"], connection_id="a", column=REFRESH)
    assert not SEALS.fits("é", FIELDS["a"], connection_id="a", column=REFRESH)


def test_seal_says_nothing_of_the_key_and_is_the_same_each_time() -> None:
    again = FieldCipher(KEY).seals.seal("field", connection_id="a", column=ACCESS)

    assert SEALS.seal("field", connection_id="a", column=ACCESS) == again
    assert FieldCipher(OTHER_KEY).seals.seal("field", connection_id="a", column=ACCESS) != again
    assert repr(SEALS) == "SealKeys(1)"


def test_seal_of_a_previous_key_is_believed_and_one_of_a_forgotten_key_is_none() -> None:
    foreign = sealed("b", REFRESH, FIELDS["a"])
    rotated = FieldCipher(OTHER_KEY, [KEY]).seals

    assert isinstance(rotated.misplaced(stored(FIELDS["a"], foreign)), MisplacedFieldError)
    assert FieldCipher(OTHER_KEY).seals.misplaced(stored(FIELDS["a"], foreign)) is None


@pytest.mark.parametrize(
    ("field", "seals"),
    [
        (FIELDS["a"], []),  # The API worker makes none.
        (FIELDS["a"], [sealed("a", REFRESH, FIELDS["a"])]),
        (FIELDS["a"], [sealed("a", REFRESH, FIELDS["b"])]),  # The user has reconnected.
        (FIELDS["a"], [Seal("b", REFRESH, "0" * 64)]),  # Nobody's: it proves nothing.
        (FIELDS["a"], [sealed("b", REFRESH, FIELDS["a"]), sealed("a", REFRESH, FIELDS["a"])]),
        (None, [sealed("b", REFRESH, FIELDS["a"])]),
        ("", [sealed("b", REFRESH, "")]),
        (b"bytes", []),
    ],
    ids=["no seal", "own", "of an earlier one", "nobody's", "two", "NULL", "empty", "bytes"],
)
def test_ciphertext_that_nothing_speaks_against_is_in_its_place(
    field: Stored, seals: list[Seal]
) -> None:
    assert SEALS.misplaced(stored(field, *seals)) is None


@pytest.mark.parametrize("place", [("b", REFRESH), ("a", ACCESS), ("b", ACCESS)])
def test_ciphertext_that_was_written_for_another_place_is_named_and_not_shown(
    place: tuple[str, Column],
) -> None:
    error = SEALS.misplaced(stored(FIELDS["b"], sealed(*place, FIELDS["b"])))

    assert isinstance(error, MisplacedFieldError)
    assert (error.connection_id, error.column) == ("a", REFRESH)
    assert str(error) == f"{REFRESH} of connection 'a' was written for another place"


def test_copy_is_refused_whoever_made_it_and_an_empty_column_is_no_copy() -> None:
    copied = SEALS.misplaced(stored(FIELDS["a"], copied=True))
    proven = SEALS.misplaced(stored(FIELDS["a"], sealed("a", REFRESH, FIELDS["a"]), copied=True))

    assert isinstance(copied, CopiedFieldError)
    assert isinstance(proven, CopiedFieldError)
    assert str(copied) == f"{REFRESH} of connection 'a' is a copy of what stands in another place"
    assert SEALS.misplaced(stored("", copied=True)) is None


def refresher(url: str) -> HttpTokenRefresher:
    clients = dict.fromkeys(SETTINGS, ClientCredentials("client-id", "client-secret"))
    providers = built_in(clients, dict.fromkeys(SETTINGS, url))
    return HttpTokenRefresher(cipher=lambda: CIPHER, providers=providers, clock=FixedClock(NOW_MS))


async def test_ciphertext_that_is_not_in_its_place_never_reaches_a_provider() -> None:
    moved = stored(FIELDS["b"], sealed("b", REFRESH, FIELDS["b"]))

    async with loopback(stall) as server, refresher(server.url) as asked:
        refused = await asked.refresh("google", moved)

    assert isinstance(refused, Refused)
    assert (refused.failure_class, refused.asked, server.visits) == ("permanent", False, [])
    assert refused.message == f"{REFRESH} was written for another place; the user must reconnect"


@pytest.mark.parametrize("new", [None, "a new refresh token"])
async def test_new_tokens_come_with_the_seals_of_both_columns_as_they_will_be(
    new: str | None,
) -> None:
    granted = {"access_token": "new", "expires_in": 3600, "refresh_token": new}
    async with loopback(answer_json(200, granted)) as server, refresher(server.url) as asked:
        found = await asked.refresh("google", stored(FIELDS["a"]))

    assert isinstance(found, Refreshed)
    tokens = found.tokens
    assert isinstance(tokens, StoredTokens)
    assert tokens.access_seal == sealed("a", ACCESS, tokens.access).seal
    assert tokens.refresh_seal == sealed("a", REFRESH, tokens.refresh or FIELDS["a"]).seal
