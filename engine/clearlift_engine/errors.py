"""Everything this worker raises on purpose, split by what the caller does next.

* CronWorkerError
  + IllegalTransitionError   a rule of the machine was broken: a bug, never retried
  + ConfigurationError       somebody has to change a setting or a secret (exit code 4)
  + UnavailableError         database or queue cannot be reached: safe to run again (exit code 5)
  + UnreadableEventError     a row of the log cannot be decoded: `replay` reports it

A lost race is no error: `Store.append` returns the streams that another worker moved first.
No message here, and none of a subclass, ever holds a token, a ciphertext or a key.
"""


class CronWorkerError(Exception):
    """Root of the hierarchy; caught only by the command line."""


class IllegalTransitionError(CronWorkerError):
    """No row of the machine's table covers this state and transition."""

    def __init__(self, state: str | None, transition: str) -> None:
        super().__init__(f"no rule takes a connection from {state!r} on {transition!r}")
        self.state, self.transition = state, transition


class ConfigurationError(CronWorkerError):
    """A setting or secret is missing or wrong; the message says which and what to do."""


class UnavailableError(CronWorkerError):
    """The database or the queue did not answer; nothing is half-done."""


class UnreadableEventError(CronWorkerError):
    """The `data` of one row is not what its transition says it is."""

    def __init__(self, transition: str, reason: str) -> None:
        super().__init__(f"data of a {transition!r} event cannot be read: {reason}")
        self.transition, self.reason = transition, reason
