"""How a command that goes on for long is ended, and how a relay outlives its queue's absence."""

import io
import os
import signal

import pytest

from clearlift_adapters.cli import interrupt
from clearlift_adapters.cli.relay import again_and_again
from clearlift_adapters.cli.stopping import Stop, stop_on_signal
from clearlift_adapters.logs import Log
from clearlift_adapters.stores.refusals import UnusableError
from clearlift_engine.errors import UnavailableError
from clearlift_engine.relay import RelayReport

FOR_EVER_S = 3600.0


async def test_the_first_signal_is_a_wish_and_the_second_would_end_the_process() -> None:
    before_it = signal.getsignal(signal.SIGINT)
    with stop_on_signal() as stop:
        before = stop.asked()

        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait(FOR_EVER_S)

        assert (before, stop.asked()) == (False, True)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) == interrupt.at_once
    assert signal.getsignal(signal.SIGINT) == before_it


async def test_a_deadline_asks_for_the_end_of_what_it_is_given_to_and_of_nothing_else() -> None:
    stop = Stop()
    past, future = stop.asked_by(0), stop.asked_by(FOR_EVER_S)

    assert past()
    assert not future()
    assert not stop.asked()
    stop.ask()
    assert future()


async def test_a_relay_waits_for_what_is_away_and_adds_up_what_it_delivers() -> None:
    stop, stream = Stop(), io.StringIO()
    answers = iter([None, RelayReport("r", 2, 1, 5, 10), None, RelayReport("r", 3, 0, 0, 10)])

    async def drained() -> RelayReport:
        answer = next(answers)
        if answer is None:
            raise UnavailableError("the queue is away")
        if not answer.pending:
            stop.ask()
        return answer

    total = await again_and_again(
        drained, RelayReport("r", 0, 0, 0, 0), stop, 0.001, Log(stream, terminal=True)
    )

    assert total == RelayReport("r", 5, 1, 0, 20)
    assert stream.getvalue().count("the queue is away") == 2


async def test_a_relay_does_not_wait_for_what_comes_back_only_if_somebody_mends_it() -> None:
    async def drained() -> RelayReport:
        raise UnusableError("the database may not be written")

    with pytest.raises(UnusableError):
        await again_and_again(
            drained, RelayReport("r", 0, 0, 0, 0), Stop(), FOR_EVER_S, Log(io.StringIO())
        )
