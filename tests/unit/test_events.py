"""Events as JSON: what was written by any version of this program is read by every later one.

The files in golden/ are what the log of a deployed worker holds. They are never edited; a new
SCHEMA_VERSION adds a folder beside them.
"""

import re
import typing
from pathlib import Path
from typing import cast

import msgspec
import pytest

from clearlift_engine.errors import UnreadableEventError
from clearlift_engine.events import (
    SCHEMA_VERSION,
    UPCASTS,
    Event,
    JobCreated,
    Upcast,
    body_of,
    decode,
    encode,
)
from clearlift_engine.machine import TRANSITIONS
from tests.unit import lives

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_EVENTS: dict[str, Event] = {
    "fell_due": lives.DUE,
    "fell_due_again": lives.DUE_AGAIN,
    "refresh_started": lives.STARTED,
    "refresh_released": lives.RELEASED,
    "job_created": lives.CREATED,
    "job_created_after_refresh": lives.CREATED_AFTER_REFRESH,
    "job_enqueued": lives.ENQUEUED,
    "sync_failed": lives.FAILED,
    "sync_failed_for_good": lives.DEAD,
    "paused": lives.PAUSED,
    "resumed": lives.RESUMED,
    "retry_requested": lives.RETRIED,
}
SECRET = re.compile(r"token|secret|password|key|cipher|encrypted|authorization")

each_golden = pytest.mark.parametrize("name", GOLDEN_EVENTS)


def golden(name: str) -> str:
    return (GOLDEN / "v1" / f"{name}.json").read_text(encoding="utf-8").strip()


@each_golden
def test_what_is_encoded_is_decoded_to_the_same_event(name: str) -> None:
    event = GOLDEN_EVENTS[name]

    assert decode(event.transition, encode(event)) == event


@each_golden
def test_what_version_1_wrote_is_still_read(name: str) -> None:
    event = GOLDEN_EVENTS[name]

    assert decode(event.transition, golden(name)) == event


@each_golden
def test_what_is_written_today_is_what_the_newest_golden_file_holds(name: str) -> None:
    assert SCHEMA_VERSION == 1
    assert encode(GOLDEN_EVENTS[name]) == golden(name)


def test_every_transition_has_a_golden_file_and_every_file_is_read_by_a_test() -> None:
    assert {event.transition for event in GOLDEN_EVENTS.values()} == set(TRANSITIONS)
    assert {path.stem for path in GOLDEN.glob("v1/*.json")} == set(GOLDEN_EVENTS)


def test_every_older_version_of_every_transition_has_its_upcast() -> None:
    versions = range(1, SCHEMA_VERSION)

    assert set(UPCASTS) == {(name, version) for name in TRANSITIONS for version in versions}


def test_an_old_shape_is_read_through_the_upcasts_one_after_the_other() -> None:
    upcasts: dict[tuple[str, int], Upcast] = {
        ("job_enqueued", -1): lambda raw: {"queue": raw["broker"]},
        ("job_enqueued", 0): lambda raw: {**raw, "level": "at_least_once"},
    }

    event = decode("job_enqueued", '{"v":-1,"broker":"sync-jobs"}', upcasts)

    assert encode(event) == (
        '{"v":1,"queue":"sync-jobs","level":"at_least_once","receipt":null,'
        '"already_delivered":false}'
    )


def test_an_upcast_that_ends_in_no_event_is_an_unreadable_event() -> None:
    upcasts: dict[tuple[str, int], Upcast] = {("job_enqueued", 0): lambda raw: raw}

    with pytest.raises(UnreadableEventError, match="queue"):
        decode("job_enqueued", '{"v":0}', upcasts)


@pytest.mark.parametrize(
    ("transition", "data", "reason"),
    [
        ("fell_dew", golden("fell_due"), "there is no such transition"),
        ("fell_due", golden("fell_due").replace('"v":1', '"v":2'), "version 2 is newer"),
        ("fell_due", golden("fell_due").replace('"v":1', '"v":0'), "nothing reads version 0"),
        ("fell_due", golden("fell_due").replace('"v":1,', ""), "missing required field `v`"),
        ("fell_due", golden("fell_due").replace("never", "nevre"), "Invalid enum value"),
        ("fell_due", golden("job_created"), "missing required field `reason`"),
        ("job_created", golden("job_created").replace('"high"', "3"), "Expected `str`"),
        ("fell_due", golden("fell_due")[:-1], "Input data was truncated"),
        ("fell_due", "", "Input data was truncated"),
        ("fell_due", "[1]", "Expected `object`"),
        ("fell_due", "\ud800", "surrogates not allowed"),
        ("fell_due", '{"v":1,"x":' + "[" * 100_000, "recursion"),
        ("fell_due", cast("str", 7), "no attribute"),  # As a damaged row may have it.
    ],
)
def test_data_that_is_no_event_is_an_unreadable_event(
    transition: str, data: str, reason: str
) -> None:
    with pytest.raises(UnreadableEventError, match=reason) as caught:
        decode(transition, data)

    assert caught.value.transition == transition


def test_the_version_is_found_wherever_it_stands_and_however_it_is_spaced() -> None:
    event = decode("fell_due", '{ "reason": "retry", "last_synced_at": null, "v": 1 }')

    assert encode(event).startswith('{"v":1,"reason":"retry"')


def test_a_key_that_this_version_does_not_know_is_passed_over() -> None:
    longer = golden("job_enqueued").replace("}", ',"shard":7}')

    assert decode("job_enqueued", longer) == lives.ENQUEUED


def fields(struct: type[msgspec.Struct]) -> set[str]:
    """Return the JSON names of all fields, those of structs inside it too."""
    names = set(struct.__struct_encode_fields__)
    for hint in typing.get_type_hints(struct).values():
        for part in (hint, *typing.get_args(hint)):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                names |= fields(part)
    return names


@pytest.mark.parametrize("event", Event.__subclasses__(), ids=lambda cls: cls.transition)
def test_no_event_has_a_place_for_a_secret(event: type[Event]) -> None:
    assert not {name for name in fields(event) if SECRET.search(name)}


def test_the_message_in_the_event_is_the_message_of_the_contract() -> None:
    raw = msgspec.json.decode(encode(lives.CREATED))

    assert isinstance(lives.CREATED, JobCreated)
    assert raw["message"] == {
        "job_id": "job-1",
        "connection_id": "acme-google-1",
        "organization_id": "acme",
        "platform": "google",
        "account_id": "1",
        "job_type": "full",
        "sync_window": {
            "start": "2026-10-03T12:00:00.000Z",
            "end": "2026-10-10T12:00:00.000Z",
        },
        "metadata": {
            "retry_count": 0,
            "created_at": "2026-10-10T12:00:00.000Z",
            "priority": "high",
        },
    }


def test_a_queue_gets_the_message_byte_for_byte_as_it_stands_in_the_event() -> None:
    assert body_of(lives.message()) in golden("job_created").encode()
