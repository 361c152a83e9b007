"""As much of JSON Schema as sync_job_message.schema.json uses, so that no library is needed for it.

A keyword that is not known here is refused rather than passed over.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

Schema = Mapping[str, Any]

_TYPES: Final[Mapping[str, type]] = {"object": dict, "string": str, "integer": int}
_FORMATS: Final[Mapping[str, Callable[[str], object]]] = {
    "uuid": UUID,
    "date-time": datetime.fromisoformat,
}
_TALK: Final = {"$schema", "$id", "title", "description", "additionalProperties"}


def faults(schema: Schema, value: Any, place: str = "") -> Iterator[str]:  # noqa: ANN401  any JSON
    """Yield where `value` is not what `schema` says."""
    for keyword, wanted in schema.items():
        match keyword:
            case "type":
                if not _is(value, wanted):
                    yield f"{place} is no {wanted}"
                    return
            case "enum" if value not in wanted:
                yield f"{place} is none of {wanted}"
            case "minimum" if value < wanted:
                yield f"{place} is below {wanted}"
            case "format":
                _FORMATS[wanted](value)
            case "required":
                yield from (f"{place} lacks {name}" for name in wanted if name not in value)
            case "properties":
                yield from _in_object(schema, value, place)
            case "enum" | "minimum":
                pass
            case _:
                assert keyword in _TALK, keyword


def _in_object(schema: Schema, value: Mapping[str, Any], place: str) -> Iterator[str]:
    known: Mapping[str, Schema] = schema["properties"]
    assert schema["additionalProperties"] is False, "nothing here reads an open object"
    for name, part in value.items():
        if name in known:
            yield from faults(known[name], part, f"{place}/{name}")
        else:
            yield f"{place} has {name}"


def _is(value: object, kind: str) -> bool:
    return isinstance(value, _TYPES[kind])
