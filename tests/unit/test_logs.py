"""The log: what is written at which flag, in which form, and what is never written."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from clearlift_adapters.logs import HIDDEN, LOUD, Log, listen, scrubbed, visible

FIELD = "AAAAAAAAAAAAAAAA:b3BhcXVl:AAAAAAAAAAAAAAAAAAAAAA=="


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return what was written, without the time."""
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [{key: line[key] for key in line if key != "at"} for line in found]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def forwarded(stream: io.StringIO) -> Iterator[io.StringIO]:
    """Let libraries speak into a stream while the test runs."""
    levels = {name: logging.getLogger(name).level for name in LOUD}
    handler = listen(Log(stream))
    yield stream
    logging.getLogger().removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize(
    ("verbosity", "written"),
    [
        (-1, ["error"]),
        (0, ["warning", "error"]),
        (1, ["info", "warning", "error"]),
        (2, ["debug", "info", "warning", "error"]),
        (3, ["debug", "info", "warning", "error"]),
    ],
)
def test_each_v_writes_one_severity_more(
    stream: io.StringIO, verbosity: int, written: list[str]
) -> None:
    log = Log(stream, verbosity=verbosity)

    log.note("debug", "a")
    log.note("info", "b")
    log.note("warning", "c")
    log.note("error", "d")

    assert [line["level"] for line in lines(stream)] == written


def test_a_line_is_a_json_object_that_repeats_what_is_bound(stream: io.StringIO) -> None:
    log = Log(stream).bind(run_id="r-1")

    log.note("warning", "something odd", connection_id="two\nlines", left=3)

    assert lines(stream) == [
        {
            "level": "warning",
            "event": "something odd",
            "run_id": "r-1",
            "connection_id": "two\nlines",
            "left": 3,
        }
    ]


def test_a_terminal_gets_words_and_no_control_characters_of_others(stream: io.StringIO) -> None:
    log = Log(stream, terminal=True)

    log.note("warning", "something odd", connection_id="red\x1b[31m\n")

    assert "something odd" in stream.getvalue()
    assert r"red\x1b[31m\n" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_is_coloured_where_colours_are_wanted(stream: io.StringIO) -> None:
    log = Log(stream, terminal=True, colors=True)

    log.note("warning", "something odd")

    assert "\x1b[" in stream.getvalue()


def test_what_stands_under_a_telling_name_is_blanked(stream: io.StringIO) -> None:
    log = Log(stream)

    log.note(
        "error",
        "refused",
        access_token="geheim",
        body={"client_secret": "geheim", "tried": [{"api_key": "geheim"}]},
        refreshes=2,
    )

    [line] = lines(stream)
    assert line["access_token"] == HIDDEN
    assert line["body"] == {"client_secret": HIDDEN, "tried": [{"api_key": HIDDEN}]}
    assert line["refreshes"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "POST refresh_token=geheim&grant_type=refresh_token",
        '{"access_token": "geheim"}',
        "Authorization: Bearer geheim-geheim",
        f"the row holds {FIELD}".replace("b3BhcXVl", "geheim"),
    ],
)
def test_what_looks_like_a_secret_is_blanked_in_any_text(text: str) -> None:
    said = scrubbed(text)

    assert "geheim" not in said
    assert HIDDEN in said


def test_a_message_about_a_setting_is_left_alone() -> None:
    text = "ENCRYPTION_KEY is not set: set it, or ENCRYPTION_KEY_FILE, to the key"

    assert scrubbed(text) == text


def test_the_secrets_of_the_settings_are_blanked_wherever_they_stand(stream: io.StringIO) -> None:
    log = Log(stream).bind(run_id="r")
    log.hide({"s3cret-of-ours", "s"})

    log.note("error", "it said s3cret-of-ours", why="s3cret-of-ours!")

    [line] = lines(stream)
    assert line["event"] == f"it said {HIDDEN}"
    assert line["why"] == f"{HIDDEN}!"


def test_libraries_speak_through_the_log_when_it_matters(forwarded: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: POST https://example/?client_secret=geheim")
    logging.getLogger("httpcore").debug("headers")
    logging.getLogger("asyncio").error("Task exception was never retrieved: refresh_token=geheim")

    assert lines(forwarded) == [
        {
            "level": "error",
            "event": f"Task exception was never retrieved: refresh_token={HIDDEN}",
            "logger": "asyncio",
        }
    ]


def test_text_that_is_no_unicode_can_be_written(stream: io.StringIO) -> None:
    Log(stream).note("error", "an argument", value="caf\udce9")

    assert lines(stream)[0]["value"] == r"caf\udce9"


def test_printable_text_stays_as_it_is() -> None:
    assert visible("日本, ok") == "日本, ok"
    assert visible("a\tb\u202e") == r"a\tb\u202e"
