"""Verdicts: every recorded shape, and the rules that hold for shapes that nobody has recorded."""

from email.utils import formatdate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearlift_adapters.oauth.retry_after import LONGEST_MS, retry_after_ms
from clearlift_adapters.oauth.verdicts import (
    EXPIRES_IN_S_MAX,
    Explain,
    Finding,
    Granted,
    verdict,
)
from clearlift_adapters.oauth.wire import Answer
from clearlift_engine.policy import DAY_MS, HOUR_MS
from tests.unit.verdict_shapes import (
    FACEBOOK,
    GOOGLE,
    MADE_UP,
    RFC,
    SHAPES,
    TIKTOK,
    Recorded,
    Refusal,
)

NOW_MS = 1_791_633_600_000  # 2026-10-10T12:00:00Z
KEYS = ["error", "code", "errors", "reason", "status", "message", "access_token", "expires_in"]
PROVIDERS = (GOOGLE, FACEBOOK, TIKTOK, RFC)


def judged(explain: Explain, answer: Answer) -> Granted | Refusal:
    found = verdict(explain, answer, NOW_MS)
    if isinstance(found, Granted):
        return found
    return Refusal(found.failure_class, found.code, found.ambiguous, found.retry_after_ms)


def http_date(ms: int) -> str:
    return formatdate(ms / 1000, usegmt=True)


def answer_json(body: object, status: int = 200) -> Answer:
    return Answer(status, {}, msgspec.json.encode(body))


@pytest.mark.parametrize(
    "shape", SHAPES, ids=[f"{shape.explain.__module__} {shape.name}" for shape in SHAPES]
)
def test_shape_means_what_the_table_says(shape: Recorded) -> None:
    found = judged(shape.explain, shape.answer)

    assert found == shape.means


def test_table_has_sixty_shapes_that_somebody_has_seen_or_documented() -> None:
    sourced = [shape for shape in SHAPES if shape.source != MADE_UP]

    names = {(shape.explain, shape.name) for shape in SHAPES}

    assert len(sourced) >= 60
    assert len(names) == len(SHAPES)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 599])
def test_5xx_is_transient_and_ambiguous_whatever_its_body(status: int) -> None:
    answers = [
        (shape.explain, msgspec.structs.replace(shape.answer, status=status)) for shape in SHAPES
    ]

    found = [judged(*answer) for answer in answers]

    assert {(type(one), getattr(one, "failure_class", None)) for one in found} == {
        (Refusal, "transient")
    }
    assert all(isinstance(one, Refusal) and one.ambiguous for one in found)


def test_429_is_throttled_whatever_its_body() -> None:
    answers = [
        (shape.explain, msgspec.structs.replace(shape.answer, status=429)) for shape in SHAPES
    ]

    found = [judged(*answer) for answer in answers]

    assert all(isinstance(one, Refusal) and one.failure_class == "throttled" for one in found)


@pytest.mark.parametrize("explain", PROVIDERS)
def test_usable_token_is_kept_whatever_stands_beside_it(explain: Explain) -> None:
    body = {"access_token": "at", "refresh_token": "rt", "error": "invalid_grant"}

    found = judged(explain, answer_json(body))

    assert found == Granted("at", "rt")


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        (3599, 3599),
        ("3599", 3599),
        (3599.9, 3599),
        ("3599.0", 3599),
        (0, 0),
        (-1, 0),
        ("-86400", 0),
        (10**12, EXPIRES_IN_S_MAX),
        (EXPIRES_IN_S_MAX + 1, EXPIRES_IN_S_MAX),
        (EXPIRES_IN_S_MAX, EXPIRES_IN_S_MAX),
        ("9" * 20, EXPIRES_IN_S_MAX),
        ("9" * 5000, None),
        ("soon", None),
        ("1_000", None),
        ("", None),
        (True, None),
        ([3599], None),
        (None, None),
    ],
)
def test_lifetime_is_read_in_every_spelling_and_kept_within_reason(
    stated: object, seconds: int | None
) -> None:
    body = {"access_token": "at", "expires_in": stated, "refresh_expires_in": stated}

    found = judged(RFC, answer_json(body))

    assert found == Granted("at", None, seconds, seconds)


@pytest.mark.parametrize(
    "token", ["", " ", "\t", "a\nb", "tok\x00en", "tökén", None, 7, ["at"], {}]
)
def test_token_that_could_not_be_used_is_none(token: object) -> None:
    unusable = judged(RFC, answer_json({"access_token": token}))
    not_rotated = judged(RFC, answer_json({"access_token": "at", "refresh_token": token}))

    assert unusable == Refusal("transient", "http_200", ambiguous=True)
    assert not_rotated == Granted("at", None)


@given(
    st.sampled_from(PROVIDERS),
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["retry-after", "content-type", "x-app-usage"]), st.text()),
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner),
    ).map(msgspec.json.encode),
)
def test_any_answer_at_all_gets_a_verdict(
    explain: Explain, status: int, headers: dict[str, str], body: bytes
) -> None:
    found = verdict(explain, Answer(status, headers, body), NOW_MS)

    assert isinstance(found, Granted | Finding)


@pytest.mark.parametrize(
    ("header", "wait_ms"),
    [
        ("0", 0),
        ("120", 120_000),
        (" 1.5 ", 1500),
        ("99999999999", LONGEST_MS),
        (http_date(NOW_MS + HOUR_MS), HOUR_MS),
        (http_date(NOW_MS - HOUR_MS), 0),
        (http_date(NOW_MS + 400 * DAY_MS), LONGEST_MS),
        ("Sat, 10 Oct 2026 13:00:00", HOUR_MS),
        ("Sat, 10 Oct 2026 15:00:00 +0200", HOUR_MS),
        ("Sat, 32 Oct 2026 12:00:00 GMT", None),
        ("-5", None),
        ("soon", None),
        ("1_0", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, wait_ms: int | None) -> None:
    wait = retry_after_ms({"retry-after": header}, NOW_MS)

    assert wait == wait_ms


@pytest.mark.parametrize(
    ("usage", "wait_ms"),
    [
        ('{"1":[{"estimated_time_to_regain_access":19}]}', 19 * 60_000),
        ('{"1":[{"estimated_time_to_regain_access":0}]}', None),
        ('{"estimated_time_to_regain_access":2}', 120_000),
        ('{"1":[{"estimated_time_to_regain_access":"19"}]}', None),
        ('{"call_count":100}', None),
        ("[" * 60_000, None),
        ("not JSON", None),
    ],
)
def test_meta_says_in_minutes_when_to_come_back(usage: str, wait_ms: int | None) -> None:
    waits = [
        retry_after_ms({header: usage}, NOW_MS)
        for header in ("x-app-usage", "x-business-use-case-usage")
    ]

    assert waits == [wait_ms, wait_ms]


def test_longest_of_several_waits_counts() -> None:
    headers = {"retry-after": "60", "x-app-usage": '{"estimated_time_to_regain_access":2}'}

    wait = retry_after_ms(headers, NOW_MS)

    assert wait == 120_000
