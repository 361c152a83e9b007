"""New tokens whose row was written to meanwhile: stored, unless the user has newer ones."""

import pytest

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.clock import FixedClock
from clearlift_adapters.credentials import Stored, StoredCredentials, StoredTokens
from clearlift_adapters.oauth.providers import SETTINGS, ClientCredentials, built_in
from clearlift_adapters.oauth.refresher import HttpTokenRefresher
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.ports import SealedTokens
from tests.cli.program import KEY
from tests.given import NOW_MS

CIPHER = FieldCipher(KEY)
CLIENT = ClientCredentials("client-id", "client-secret")


def stored(access: str, refresh: str | None) -> StoredCredentials:
    """Return a row with these tokens, encrypted as if for the first time."""
    return StoredCredentials("c", CIPHER.seal(access), refresh and CIPHER.seal(refresh))


SENT = stored("access", "refresh")
NEW = StoredTokens(SENT, CIPHER.seal("new access"), None, NOW_MS, rotated=False)


def no_key() -> FieldCipher:
    raise ConfigurationError("set ENCRYPTION_KEY")


def refresher() -> HttpTokenRefresher:
    clients = dict.fromkeys(SETTINGS, CLIENT)
    return HttpTokenRefresher(
        cipher=lambda: CIPHER, providers=built_in(clients), clock=FixedClock(NOW_MS)
    )


def replaced(tokens: SealedTokens | None) -> StoredCredentials | None:
    """Return over what the tokens may be stored; nothing else of them may have changed."""
    if tokens is None:
        return None
    assert isinstance(tokens, StoredTokens)
    assert (tokens.access, tokens.refresh, tokens.expires_at) == (NEW.access, None, NOW_MS)
    return tokens.replaces


@pytest.mark.parametrize("platform", ["google", "tiktok", "facebook"])
def test_same_grant_encrypted_anew_takes_the_new_tokens(platform: str) -> None:
    found = stored("access", "refresh")

    assert found.access != SENT.access
    assert replaced(refresher().rebase(platform, NEW, found)) == found


@pytest.mark.parametrize(
    ("platform", "access", "refresh", "same"),
    [
        ("google", "another", "refresh", True),
        ("google", "access", "another", False),
        ("google", "access", None, False),
        ("facebook", "access", "another", True),
        ("facebook", "access", None, True),
        ("facebook", "another", "refresh", False),
        ("nobody declares it", "access", "refresh", False),
    ],
)
def test_what_is_compared_is_the_token_that_was_sent(
    platform: str, access: str, refresh: str | None, *, same: bool
) -> None:
    found = stored(access, refresh)

    assert replaced(refresher().rebase(platform, NEW, found)) == (found if same else None)


@pytest.mark.parametrize("refresh", [None, "", "no field", b"\xff", FieldCipher.__name__ * 10])
def test_grant_that_cannot_be_opened_is_another_one(refresh: Stored) -> None:
    found = StoredCredentials("c", SENT.access, refresh)

    assert refresher().rebase("google", NEW, found) is None


def test_two_grants_that_cannot_be_opened_are_not_the_same() -> None:
    unopened = StoredTokens(StoredCredentials("c", "x", "lost"), "new", None, NOW_MS, rotated=False)

    assert refresher().rebase("google", unopened, StoredCredentials("c", "y", "lost")) is None


def test_without_a_key_the_tokens_stay_as_they_are_for_who_has_one() -> None:
    asked = HttpTokenRefresher(
        cipher=no_key, providers=built_in({"google": CLIENT}), clock=FixedClock(NOW_MS)
    )

    assert asked.rebase("google", NEW, stored("access", "refresh")) is NEW
