"""The sentences: short, telling what to do, and without anything that was or looks secret."""

from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearlift_adapters.oauth.verdicts import Finding
from clearlift_adapters.oauth.wire import Lost
from clearlift_adapters.oauth.wording import QUOTE_CHARS_MAX, refused, sanitised, unanswered
from clearlift_engine.ports import Refused

CLIENT = "GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET"
SECRETS = ("GOCSPX-client-secret", "1//refresh+token/with=signs")


def said(finding: Finding) -> Refused:
    return refused(
        finding,
        provider="Google",
        settings=CLIENT,
        endpoint_setting="GOOGLE_TOKEN_URL",
        secrets=SECRETS,
        latency_ms=12,
    )


@pytest.mark.parametrize(
    ("finding", "message"),
    [
        (
            Finding("permanent", "says the grant is revoked or expired", "invalid_grant"),
            "Google says the grant is revoked or expired (invalid_grant); the user must reconnect",
        ),
        (
            Finding("configuration", "does not accept our credentials", "invalid_client"),
            f"Google does not accept our credentials (invalid_client); check {CLIENT}",
        ),
        (
            Finding("configuration", "has no token endpoint there", "http_404", check="endpoint"),
            "Google has no token endpoint there (http_404); check GOOGLE_TOKEN_URL",
        ),
        (
            Finding("throttled", "asks for fewer requests", "4", quote="(#4) Limit reached."),
            "Google asks for fewer requests (4: (#4) Limit reached); it will be asked again later",
        ),
        (
            Finding("transient", "is failing", "http_503"),
            "Google is failing (http_503); it will be tried again",
        ),
    ],
)
def test_message_says_what_happened_and_what_to_do(finding: Finding, message: str) -> None:
    refusal = said(finding)

    assert refusal.message == message
    assert (refusal.failure_class, refusal.code) == (finding.failure_class, finding.code)
    assert refusal.asked


def test_request_without_an_answer_says_so_and_keeps_its_doubt() -> None:
    lost = Lost("timeout", ambiguous=True, detail="did not answer in time", latency_ms=10_000)

    refusal = unanswered(lost, provider="TikTok")

    assert refusal == Refused(
        "transient",
        "TikTok did not answer in time; it will be tried again",
        code="timeout",
        ambiguous=True,
        latency_ms=10_000,
    )


@given(st.text(), st.text(), st.sampled_from([*SECRETS, *map(quote_plus, SECRETS)]))
def test_echoed_secret_is_never_quoted(before: str, after: str, secret: str) -> None:
    echo = f"{before}{secret}{after}"

    refusal = said(Finding("permanent", "says no", echo, quote=echo))

    assert secret not in f"{refusal.message}{refusal.code}"


@pytest.mark.parametrize(
    "text",
    [
        "Malformed access token EAAmade0upTESTtest",
        "unknown: ya29.made-up-0123",
        "rt-org-0-google-100004 is dead",
        "x" * 32,
        "see https://example.test/errors?token=abc",
    ],
)
def test_what_looks_like_a_token_is_struck_out(text: str) -> None:
    clean = sanitised(text, ())

    assert "…" in clean
    assert not [word for word in ("EAAmade", "ya29", "100004", "xxx", "abc") if word in clean]


def test_words_of_a_provider_are_quoted_as_they_are() -> None:
    text = "Token has been expired or revoked: temporarily_unavailable, unsupported_grant_type"

    clean = sanitised(text, SECRETS)

    assert clean == text


@given(st.text(max_size=2000))
def test_quote_is_short_and_printable(text: str) -> None:
    clean = sanitised(text, ())

    assert len(clean) <= QUOTE_CHARS_MAX
    assert clean.isprintable()


def test_secret_is_struck_out_before_the_quote_is_cut() -> None:
    text = "a " * (QUOTE_CHARS_MAX // 2 - 4) + SECRETS[0]

    clean = sanitised(text, SECRETS)

    assert SECRETS[0][:4] not in clean


@pytest.mark.parametrize("code", ["<script>", "a" * 31 + "\n", "", "drop table;"])
def test_code_that_is_no_code_is_not_repeated(code: str) -> None:
    refusal = said(Finding("transient", "refused", code))

    assert refusal.code in {"unreadable", "", "a" * 31}
