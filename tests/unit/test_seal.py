"""A seal once written stays verifiable: its format is held by files that are never made anew."""

from base64 import b64encode
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from clearlift_adapters.signing import Signer, Verifier, make_key, public_keys, public_text
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.seal import NotAsSealedError, Sealer, check_end, encoded
from clearlift_engine.seals import Seal
from clearlift_engine.stream import Entry
from tests.unit.sealed import ATTACKER, LOG, SEALS, SIGNER, VERIFIER, proof, seals_over

GOLDEN = Path(__file__).parent / "golden" / "seals_v1"
KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="  # Of RFC 8032's curve, for bytes 0 to 31.


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def test_seals_that_were_written_once_are_still_good() -> None:
    rows = [msgspec.json.decode(line, type=Entry) for line in golden("log.jsonl").splitlines()]
    seals = [msgspec.json.decode(line, type=Seal) for line in golden("seals.jsonl").splitlines()]

    found = proof(rows, seals, Verifier(public_keys(KEY)))

    assert (found.position, found.seals, found.violations) == (9, 3, [])


def test_rows_and_seals_are_written_to_the_same_bytes_as_ever() -> None:
    assert b"".join(map(encoded, LOG)) == golden("log.jsonl")
    assert b"".join(map(encoded, SEALS)) == golden("seals.jsonl")


@pytest.mark.parametrize("number", range(len(LOG)))
def test_whatever_would_be_sealed_after_a_gap_is_refused(number: int) -> None:
    sealer = Sealer(None)
    for row in LOG[:number]:
        sealer.add(row)

    with pytest.raises(NotAsSealedError, match=f"position {number + 1}: ") as refused:
        sealer.add(replace(LOG[number], position=number + 2))
    assert refused.value.position == number + 1


def test_a_log_that_lacks_its_last_sealed_row_is_not_sealed_any_further() -> None:
    check_end(SEALS[0], LOG[3])

    for row in (None, LOG[4], replace(LOG[3], data="{}")):
        with pytest.raises(NotAsSealedError, match="position 4: "):
            check_end(SEALS[0], row)


def test_the_newest_row_decides_whether_a_seal_can_be_continued() -> None:
    first, second, _ = seals_over(LOG)

    assert (first.previous, second.previous) == (None, first.hash)
    assert (second.first, second.number) == (first.position + 1, first.number + 1)


def test_a_new_key_is_for_its_owner_alone_and_replaces_none(tmp_path: Path) -> None:
    file = tmp_path / "key"

    public = make_key(file)

    assert file.stat().st_mode & 0o777 == 0o600
    assert Signer(file.read_text()).public == public
    with pytest.raises(ConfigurationError, match="is there already"):
        make_key(file)
    with pytest.raises(ConfigurationError, match="No such file"):
        make_key(tmp_path / "nowhere" / "key")


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é" * 44, b64encode(bytes(33)).decode()])
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="AUDIT_SIGNING_KEY is not base64") as refused:
        Signer(text)

    assert not text or text not in str(refused.value)


def test_a_signing_key_shows_its_public_half_alone() -> None:
    assert repr(SIGNER) == f"Signer({KEY})"


def test_after_a_change_of_keys_the_old_one_is_trusted_too_if_it_is_named() -> None:
    old, both = VERIFIER, Verifier(public_keys(f"{KEY}, {public_text(ATTACKER.public)},"))
    rotated = [*SEALS[:2], ATTACKER.signed(replace(SEALS[2], key=ATTACKER.public))]

    assert proof(LOG, rotated, both).violations == []
    assert [v.rule for v in proof(LOG, rotated, old).violations] == ["seal_signature"]
