"""What each command prints with --json, and the schema of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from clearlift_adapters.cli.connections import ConnectionView
from clearlift_adapters.cli.doctor import DoctorReport
from clearlift_adapters.cli.explain import ExplainView
from clearlift_adapters.cli.failures import FailingView
from clearlift_adapters.cli.health import HealthReport
from clearlift_adapters.cli.invocations import RunView, TotalView
from clearlift_adapters.cli.jobs import JobView
from clearlift_adapters.cli.keys import RotateReport, VerifyReport
from clearlift_adapters.cli.migrate import MigrateReport
from clearlift_adapters.cli.operators import AnswerView
from clearlift_adapters.cli.plan import PlanView
from clearlift_adapters.cli.queue import DeliveryView, DepthView, StoredView
from clearlift_adapters.cli.replay import ReplayView, StateView
from clearlift_adapters.cli.report import ReportView
from clearlift_adapters.cli.serving import AddressView
from clearlift_adapters.cli.status import StatusView
from clearlift_adapters.cli.timeline import EventView
from clearlift_adapters.demo.summary import DemoReport
from clearlift_adapters.deployment.files import File
from clearlift_adapters.metrics import MetricView
from clearlift_engine.questions import JobCount
from clearlift_engine.relay import RelayReport
from clearlift_engine.run import TickReport
from clearlift_engine.seals import Seal
from clearlift_engine.verify import Proof

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Printed(NamedTuple):
    """What comes out of a command line: one object, or one a line, each of one of these types."""

    types: Sequence[Any]
    lines: bool = False


# By the words of the command line; `--json` goes without saying.
PRINTED: Final[Mapping[str, Printed]] = {
    "migrate": Printed([MigrateReport]),
    "tick": Printed([TickReport]),
    "tick --dry-run": Printed([PlanView]),
    "relay": Printed([RelayReport]),
    "replay": Printed([ReplayView]),
    "replay --events": Printed([EventView], lines=True),
    "replay --as-of": Printed([StateView], lines=True),
    "status": Printed([StatusView]),
    "explain": Printed([ExplainView]),
    "timeline": Printed([EventView], lines=True),
    "jobs": Printed([JobView], lines=True),
    "jobs --by-status": Printed([JobCount], lines=True),
    "failures": Printed([FailingView], lines=True),
    "runs": Printed([RunView, TotalView], lines=True),
    "doctor": Printed([DoctorReport]),
    "health": Printed([HealthReport]),
    "metrics": Printed([dict[str, Sequence[MetricView]]]),
    "report": Printed([ReportView]),
    "serve": Printed([AddressView]),
    "run": Printed([AddressView]),
    "connections list": Printed([ConnectionView], lines=True),
    "connections show": Printed([ConnectionView]),
    "pause": Printed([AnswerView]),
    "resume": Printed([AnswerView]),
    "retry": Printed([AnswerView]),
    "queue list": Printed([StoredView], lines=True),
    "queue pull": Printed([DeliveryView], lines=True),
    "queue depth": Printed([DepthView]),
    "keys verify": Printed([VerifyReport]),
    "keys rotate": Printed([RotateReport]),
    "audit seal": Printed([Seal], lines=True),
    "audit verify": Printed([Proof]),
    "demo": Printed([DemoReport]),
    "install": Printed([File], lines=True),
}


def file_of(name: str) -> str:
    """Return the name of a schema's file: `tick --dry-run` is tick.dry-run.schema.json."""
    return f"{name.replace(' --', '.').replace(' ', '-')}.schema.json"


def schema_of(name: str) -> dict[str, Any]:
    """Return the schema of what a command prints."""
    schemas, parts = msgspec.json.schema_components(
        PRINTED[name].types, ref_template="#/$defs/{name}", schema_hook=_of_other
    )
    one = schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
    return {"$schema": DIALECT, **one, "$defs": parts}


def _of_other(kind: type) -> dict[str, Any]:
    """Return the schema of what may be anything."""
    assert kind is object
    return {"description": "any value"}
