"""What all tables share: strictness, and the types of keys that occur in several of them.

Invariants: no key type is a union of models (pydantic would report every branch); "one or a
list" is made a list before it is judged. Defaults are written as in the file and go through the
same judgement as what a user writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gwd.config import addresses, fields, patterns, units
from gwd.config.units import NotAllowed
from gwd.config.variables import FromVariable


class Table(BaseModel):
    """A table of the file: unknown keys and other types than asked for are errors."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True
    )


def _whole(value: Any) -> Any:
    """A number that came as text from `${VAR}` as the number it is."""
    if isinstance(value, FromVariable) and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
        return int(value)
    return value


def _truth(value: Any) -> Any:
    if isinstance(value, FromVariable) and value in ("true", "false"):
        return value == "true"
    return value


def one_or_many(value: Any) -> Any:
    """A lone string as a list of it."""
    return [value] if isinstance(value, str) else value


def _name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text, re.ASCII) is None:
        raise NotAllowed(
            "is not a name; use up to 64 letters, digits, dots, hyphens and underscores, "
            "a letter or digit first"
        )
    return text


def _dotted(text: str) -> str:
    if not text or "" in text.split("."):
        raise NotAllowed('is not a field; use "id" or "items.id"')
    return text


def file_name(text: str) -> str:
    """`text` as the path of a file. Raises NotAllowed."""
    if not text or "\0" in text:
        raise NotAllowed("is not the path of a file; name one")
    return text


def _unit(parse: Callable[[Any], Any], unit: str, example: str) -> BeforeValidator:
    """`parse` as a validator; in the schema a string, whose unit documentation names."""
    shown = Field(examples=[example], json_schema_extra={"x-unit": unit})
    return BeforeValidator(parse, json_schema_input_type=Annotated[str, shown])


def key(description: str, default: Any = ..., alias: str | None = None) -> Any:
    """A key of a table: its documentation, and its default as one would write it in the file."""
    return Field(default=default, description=description, alias=alias)


Name = Annotated[str, AfterValidator(_name)]
FROM_VARIABLE = BeforeValidator(_whole)
"""Behind a bound: pydantic puts the bound into the schema only if it stands first."""
Truth = Annotated[bool, BeforeValidator(_truth)]
Duration = Annotated[float, _unit(units.positive_duration, "duration", "30s")]
DurationOrZero = Annotated[float, _unit(units.duration, "duration", "0s")]
Size = Annotated[int, _unit(units.size, "size", "64KiB")]
ByteRate = Annotated[int, _unit(units.byte_rate, "size per second", "1KiB/s")]
Percent = Annotated[float, _unit(units.percent, "share", "50%")]


def _rate(text: str) -> str:
    units.rate(text)
    return text


RateText = Annotated[
    str, AfterValidator(_rate), Field(examples=["100/s"], json_schema_extra={"x-unit": "rate"})
]
Network = Annotated[
    str,
    AfterValidator(addresses.network),
    Field(examples=["10.0.0.0/8"], json_schema_extra={"x-unit": "network"}),
]
FileName = Annotated[str, AfterValidator(file_name)]
Method = Annotated[str, AfterValidator(fields.method)]
IdentityName = Annotated[str, AfterValidator(fields.identity_name)]
ResponseName = Annotated[str, AfterValidator(fields.response_name)]
FieldValue = Annotated[str, AfterValidator(fields.field_value)]
Pattern = Annotated[str, AfterValidator(patterns.pattern)]
HostPattern = Annotated[str, AfterValidator(addresses.host_pattern)]
Dotted = Annotated[str, AfterValidator(_dotted)]
OneOrMany = BeforeValidator(one_or_many, json_schema_input_type=str | list[str])
