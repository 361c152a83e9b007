"""The field cipher: one spelling per field, typed errors, and nothing secret in any of them."""

from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from clearlift_adapters.cipher import FieldCipher
from clearlift_adapters.credentials import (
    MalformedFieldError,
    StoredCredentials,
    StoredTokens,
    UndecryptableFieldError,
)
from clearlift_engine.errors import ConfigurationError


def key(byte: int) -> str:
    return b64encode(bytes([byte] * 32)).decode()


CIPHER = FieldCipher(key(1))
SECRET = "rt-a-secret-refresh-token"


def opened(field: str | bytes, cipher: FieldCipher = CIPHER) -> str:
    return cipher.open(field, connection_id="org-google-1", column="refresh_token_encrypted")


@given(st.text())
def test_what_is_sealed_opens_again_whatever_the_text(text: str) -> None:
    field = CIPHER.seal(text)

    plaintext = opened(field)

    assert plaintext == text


def test_field_has_the_form_that_the_api_worker_writes() -> None:
    field = CIPHER.seal(SECRET)

    iv, ciphertext, tag = (b64decode(part, validate=True) for part in field.split(":"))

    assert (len(iv), len(ciphertext), len(tag)) == (12, len(SECRET), 16)


def test_same_text_is_never_sealed_to_the_same_field() -> None:
    fields = {CIPHER.seal(SECRET) for _ in range(100)}

    assert len(fields) == 100


def test_previous_keys_open_and_never_seal() -> None:
    old, rotated = FieldCipher(key(1)), FieldCipher(key(3), [key(2), key(1)])
    field = old.seal(SECRET)

    renewed = rotated.seal(opened(field, rotated))

    assert opened(renewed, FieldCipher(key(3))) == SECRET
    with pytest.raises(UndecryptableFieldError):
        opened(renewed, old)


IV, CIPHERTEXT, TAG = CIPHER.seal("four").split(":")

MALFORMED = {
    "empty": "",
    "two parts": f"{IV}:{CIPHERTEXT}",
    "four parts": f"{IV}:{CIPHERTEXT}:{TAG}:",
    "no iv": f":{CIPHERTEXT}:{TAG}",
    "no tag": f"{IV}:{CIPHERTEXT}:",
    "short iv": f"{b64encode(bytes(11)).decode()}:{CIPHERTEXT}:{TAG}",
    "long iv": f"{b64encode(bytes(13)).decode()}:{CIPHERTEXT}:{TAG}",
    "short tag": f"{IV}:{CIPHERTEXT}:{b64encode(bytes(12)).decode()}",
    "white space": f"{IV}:{CIPHERTEXT} :{TAG}",
    "line break at the end": f"{IV}:{CIPHERTEXT}:{TAG}\n",
    "no padding": f"{IV}:{CIPHERTEXT}:{TAG.rstrip('=')}",
    "too much padding": f"{IV}:{CIPHERTEXT}:{TAG}=",
    "url-safe alphabet": f"{urlsafe_b64encode(bytes([255] * 12)).decode()}:{CIPHERTEXT}:{TAG}",
    "stray bits": f"{IV}:AB==:{TAG}",
    "not ASCII": f"{IV}:{CIPHERTEXT}é:{TAG}",
    "surrogate": f"{IV}:\ud800:{TAG}",
    "plain token": SECRET,
    "huge": "A" * 2_000_000,
    "bytes": f"{IV}:{CIPHERTEXT}:{TAG}".encode(),
}


@pytest.mark.parametrize("field", MALFORMED.values(), ids=MALFORMED.keys())
def test_field_of_another_form_is_malformed(field: str | bytes) -> None:
    with pytest.raises(MalformedFieldError) as caught:
        opened(field)

    assert str(caught.value) == (
        "refresh_token_encrypted of connection 'org-google-1' is malformed"
    )


def test_plaintext_that_is_no_text_is_malformed_and_stays_out_of_the_error() -> None:
    raw = AESGCM(bytes([1] * 32)).encrypt(bytes(12), "caf\xe9".encode("latin-1"), None)
    field = ":".join(b64encode(part).decode() for part in (bytes(12), raw[:-16], raw[-16:]))

    with pytest.raises(MalformedFieldError) as caught:
        opened(field)

    assert caught.value.__context__ is None


@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_changed_bit_is_undecryptable(part: int) -> None:
    parts = [b64decode(text) for text in CIPHER.seal(SECRET).split(":")]
    parts[part] = bytes([parts[part][0] ^ 1]) + parts[part][1:]
    field = ":".join(b64encode(raw).decode() for raw in parts)

    with pytest.raises(UndecryptableFieldError) as caught:
        opened(field)

    assert str(caught.value) == (
        "refresh_token_encrypted of connection 'org-google-1' opens with none of our keys"
    )


def test_field_of_another_key_is_undecryptable() -> None:
    field = FieldCipher(key(2)).seal(SECRET)

    with pytest.raises(UndecryptableFieldError) as caught:
        opened(field, FieldCipher(key(1), [key(3)]))

    assert caught.value.column == "refresh_token_encrypted"


WRONG_KEYS = {
    "empty": "",
    "hex": "00" * 32,
    "16 bytes": b64encode(bytes(16)).decode(),
    "33 bytes": b64encode(bytes(33)).decode(),
    "line break": key(1) + "\n",
    "no padding": key(1).rstrip("="),
    "url-safe": urlsafe_b64encode(bytes([255] * 32)).decode(),
    "words": "correct horse battery staple",
}


@pytest.mark.parametrize("text", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_wrong_key_names_its_setting_and_a_remedy_and_not_itself(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^ENCRYPTION_KEY is ") as newest:
        FieldCipher(text)
    with pytest.raises(ConfigurationError, match=r"^ENCRYPTION_KEY_PREVIOUS is ") as previous:
        FieldCipher(key(1), [text])

    for message in (str(newest.value), str(previous.value)):
        assert "openssl rand -base64 32" in message
        assert not text or text not in message


def test_nothing_that_holds_secrets_prints_them() -> None:
    field = CIPHER.seal(SECRET)
    stored = StoredCredentials("org-google-1", field, field)
    tokens = StoredTokens(stored, field, field, None, rotated=True)

    printed = "".join(
        show(thing) for thing in (CIPHER, stored, tokens) for show in (repr, str, pretty_repr)
    )

    assert not [part for part in (*field.split(":"), key(1), SECRET) if part in printed]


COLUMNS = st.tuples(*[st.none() | st.text(max_size=3) | st.binary(max_size=3)] * 2)


@given(COLUMNS, COLUMNS)
def test_fingerprints_are_equal_if_and_only_if_both_ciphertexts_are(
    columns: tuple[Any, Any], others: tuple[Any, Any]
) -> None:
    same = (
        StoredCredentials("a", *columns).fingerprint == StoredCredentials("b", *others).fingerprint
    )

    assert same == (columns == others)


def test_fingerprint_does_not_run_columns_together_and_has_its_form() -> None:
    shifted = {StoredCredentials("a", *pair).fingerprint for pair in (("ab", "c"), ("a", "bc"))}

    assert len(shifted) == 2
    assert all(len(text) == 39 and text.startswith("sha256:") for text in shifted)
