"""The life of a connection: one table, owned by `transitions`, run from a dict.

`transitions` is the rulebook: it holds the table, checks it and draws it. The engine reads
NEXT_STATE, flattened from that same Machine at import: a dict look-up takes 0.06 µs, an event
through the Machine 5 µs, through AsyncMachine 20 µs (CPython 3.11, transitions 0.9.3). Conditions
and callbacks are refused, because a false condition is silent and a failing callback leaves the
state moved.

A connection without a stream has no state. The Machine wants a name for that: NEW. It stands in no
row of the log, whose first `source` is NULL.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, cast, get_args

from transitions import Machine

from clearlift_engine.errors import IllegalTransitionError

State = Literal["due", "refreshing", "job_created", "enqueued", "failed"]
Transition = Literal[
    "fell_due",
    "refresh_started",
    "refresh_released",
    "job_created",
    "job_enqueued",
    "sync_failed",
    "paused",
    "resumed",
    "retry_requested",
]

NEW: Final = "new"
SAME: Final = "="  # As a target: whatever state it is in, it stays there.
STATES: Final[tuple[State, ...]] = get_args(State)
TRANSITIONS: Final[tuple[Transition, ...]] = get_args(Transition)

# fmt: off
LIFECYCLE: Final[tuple[tuple[Transition, tuple[str, ...], State | Literal["="]], ...]] = (
    # transition         from                                  to
    ("fell_due",         (NEW, "enqueued", "failed"),          "due"),
    ("refresh_started",  ("due",),                             "refreshing"),
    ("job_created",      ("due", "refreshing"),                "job_created"),
    ("job_enqueued",     ("job_created",),                     "enqueued"),
    ("refresh_released", ("refreshing",),                      "due"),
    ("sync_failed",      ("due", "refreshing", "job_created"), "failed"),
    # What operators say. It moves nothing: what is under way ends as it would.
    ("paused",           (NEW,),                               "due"),
    ("paused",           STATES,                               SAME),
    ("resumed",          STATES,                               SAME),
    ("retry_requested",  ("failed",),                          SAME),
)
# fmt: on

MACHINE: Final = Machine(
    model=None,  # No connection is ever attached: add_model takes 0.8 ms each.
    states=[NEW, *STATES],
    initial=NEW,
    auto_transitions=False,  # Otherwise to_<state>() would let any state reach any other.
)
for _transition, _sources, _target in LIFECYCLE:
    MACHINE.add_transition(_transition, list(_sources), _target)


def compile_rules(machine: Machine) -> Mapping[tuple[State | None, Transition], State]:
    """Return the Machine as {(state, transition): next state}; None is the state before the first.

    A rule that a dict cannot honour is a bug in the table, so it stops the import: a condition, a
    callback, a second rule for one cell, a way back to NEW, or an end that is no state
    (`transitions` itself checks none of them).
    """
    rules: dict[tuple[State | None, Transition], State] = {}
    for state in machine.states.values():
        assert not any((state.on_enter, state.on_exit)), state
    for trigger in machine.events:
        for rule in machine.get_transitions(trigger):
            assert rule.source in machine.states, rule
            assert rule.dest in machine.states, rule
            assert rule.dest != NEW, rule
            assert not any((rule.conditions, rule.prepare, rule.before, rule.after)), rule
            source = None if rule.source == NEW else cast("State", rule.source)
            cell = source, cast("Transition", trigger)
            assert cell not in rules, rule  # The Machine would take the first, a dict the last.
            rules[cell] = cast("State", rule.dest)
    return MappingProxyType(rules)


NEXT_STATE: Final = compile_rules(MACHINE)


def advance(state: State | None, transition: Transition) -> State:
    """Return the state that follows `state` once `transition` has happened.

    Raises:
        IllegalTransitionError: no row of LIFECYCLE covers the pair.
    """
    try:
        return NEXT_STATE[state, transition]
    except KeyError:
        raise IllegalTransitionError(state, transition) from None
