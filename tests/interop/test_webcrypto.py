"""Both sides read what the other wrote: ours, and WebCrypto in Node, which is the API worker's."""

from clearlift_adapters.cipher import FieldCipher
from tests.interop.webcrypto import KEY, webcrypto

TEXTS = ["", "ya29.token", "a:b=c/+&?", "Ключ 日本 \U0001f511", "line\nbreak\0", "x" * 100_000]


def test_we_open_what_webcrypto_sealed() -> None:
    fields = webcrypto("seal", TEXTS)

    cipher = FieldCipher(KEY)

    plaintexts = [
        cipher.open(field, connection_id="id", column="credentials_encrypted") for field in fields
    ]
    assert plaintexts == TEXTS


def test_webcrypto_opens_what_we_sealed() -> None:
    fields = [FieldCipher(KEY).seal(text) for text in TEXTS]

    plaintexts = webcrypto("open", fields)

    assert plaintexts == TEXTS
