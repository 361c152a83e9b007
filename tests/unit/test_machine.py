"""The table is the specification: every cell of it is checked, the legal and the illegal."""

import re
import typing
from itertools import product
from pathlib import Path

import pytest
from transitions import Machine, MachineError
from transitions.extensions import GraphMachine

from clearlift_engine.errors import IllegalTransitionError
from clearlift_engine.events import Event
from clearlift_engine.machine import (
    LIFECYCLE,
    MACHINE,
    NEW,
    NEXT_STATE,
    STATES,
    TRANSITIONS,
    State,
    Transition,
    advance,
    compile_rules,
)

README = Path(__file__).parents[2] / "README.md"


class Cursor:
    """What the Machine needs of a model: somewhere to keep a state."""

    def __init__(self, state: str) -> None:
        self.state = state


def mermaid() -> str:
    """Return the machine as `transitions` draws it, plainly: no connection is in any state."""
    machine = GraphMachine(
        model=None,
        states=[NEW, *STATES],
        initial=NEW,
        auto_transitions=False,
        graph_engine="mermaid",
        title="title: The life of a connection",
        transitions=[
            {"trigger": transition, "source": list(sources), "dest": target}
            for transition, sources, target in LIFECYCLE
        ],
    )
    machine.style_attributes = {"node": {"default": {"fill": "white", "color": "black"}}}
    drawing = machine.graph_cls(machine).get_graph().draw(None)
    assert drawing is not None
    return "\n".join(line.rstrip() for line in drawing.splitlines())


@pytest.mark.parametrize(("state", "transition"), list(product((None, *STATES), TRANSITIONS)))
def test_dict_and_machine_agree_on_every_cell(state: State | None, transition: Transition) -> None:
    cursor = Cursor(NEW if state is None else state)

    try:
        MACHINE.events[transition].trigger(cursor)
    except MachineError:
        with pytest.raises(IllegalTransitionError):
            advance(state, transition)
    else:
        assert cursor.state == advance(state, transition)


def test_the_table_is_that_of_the_design() -> None:
    expected: dict[tuple[State | None, Transition], State] = {
        (None, "fell_due"): "due",
        ("enqueued", "fell_due"): "due",
        ("failed", "fell_due"): "due",
        ("due", "refresh_started"): "refreshing",
        ("due", "job_created"): "job_created",
        ("refreshing", "job_created"): "job_created",
        ("job_created", "job_enqueued"): "enqueued",
        ("refreshing", "refresh_released"): "due",
        ("due", "sync_failed"): "failed",
        ("refreshing", "sync_failed"): "failed",
        ("job_created", "sync_failed"): "failed",
        (None, "paused"): "due",
        **{(state, "paused"): state for state in STATES},
        **{(state, "resumed"): state for state in STATES},
        ("failed", "retry_requested"): "failed",
    }

    assert dict(NEXT_STATE) == expected


def test_states_transitions_and_events_are_the_same_words_wherever_they_are_spelled() -> None:
    assert set(STATES) == set(typing.get_args(State)) == set(NEXT_STATE.values())
    assert set(TRANSITIONS) == set(MACHINE.events) == {name for name, _, _ in LIFECYCLE}
    assert {cls.transition for cls in Event.__subclasses__()} == set(TRANSITIONS)


@pytest.mark.parametrize("start", [None, *STATES])
def test_every_state_can_be_reached_from_every_other(start: State | None) -> None:
    seen: set[str] = set()
    frontier: list[str | None] = [start]

    while frontier:
        state = frontier.pop()
        reached = [target for (source, _), target in NEXT_STATE.items() if source == state]
        frontier += [target for target in reached if target not in seen]
        seen.update(reached)

    assert seen == set(STATES)


def test_no_rule_leads_back_to_before_the_first_event() -> None:
    assert NEW not in NEXT_STATE.values()
    assert NEW not in {source for source, _ in NEXT_STATE}


@pytest.mark.parametrize(
    "rule",
    [
        {"dest": "nowhere"},
        {"source": "nowhere"},
        {"dest": NEW},
        {"dest": None},
        {"conditions": [callable]},
        {"unless": [callable]},
        {"prepare": [print]},
        {"before": [print]},
        {"after": [print]},
    ],
    ids=str,
)
def test_compile_refuses_a_rule_that_a_dict_cannot_honour(rule: dict[str, object]) -> None:
    whole = {"trigger": "fell_due", "source": "due", "dest": "failed", **rule}
    machine = Machine(
        model=None, states=[NEW, *STATES], transitions=[whole], initial=NEW, auto_transitions=False
    )

    with pytest.raises(AssertionError):
        compile_rules(machine)


def test_compile_refuses_a_second_rule_for_one_cell() -> None:
    machine = Machine(model=None, states=[NEW, *STATES], initial=NEW, auto_transitions=False)
    machine.add_transition("fell_due", "failed", "due")
    machine.add_transition("fell_due", "failed", "enqueued")

    with pytest.raises(AssertionError):
        compile_rules(machine)


@pytest.mark.parametrize("callback", ["on_enter", "on_exit"])
def test_compile_refuses_a_state_with_a_callback(callback: str) -> None:
    states = [NEW, *STATES[1:], {"name": STATES[0], callback: [print]}]
    machine = Machine(model=None, states=states, initial=NEW, auto_transitions=False)

    with pytest.raises(AssertionError):
        compile_rules(machine)


def test_an_illegal_transition_says_from_where_and_on_what() -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        advance("due", "job_enqueued")

    assert (caught.value.state, caught.value.transition) == ("due", "job_enqueued")
    assert str(caught.value) == "no rule takes a connection from 'due' on 'job_enqueued'"


def test_the_readme_shows_the_machine_as_it_is() -> None:
    block = re.search(r"```mermaid\n(.*?)\n```", README.read_text(encoding="utf-8"), re.DOTALL)

    assert block is not None, "the README has no ```mermaid block"
    assert block[1] == mermaid()
