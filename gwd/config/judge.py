"""From pydantic's errors to problems of the draft: the model's verdict in the file's words.

Strategy: a table from pydantic's error type to a sentence "<what is wrong>; <what is allowed>".
Pydantic's own messages are used for nothing, they may repeat a value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gwd.config.draft import Draft, did_you_mean
from gwd.config.places import Path
from gwd.config.tables.file import File
from gwd.config.units import kind


def judge(draft: Draft) -> File | None:
    """The file as models, or None after telling `draft` everything they refuse."""
    try:
        return File.model_validate(draft.tree)
    except ValidationError as refused:
        errors = refused.errors(include_url=False, include_input=False)
        # Unknown keys first: one that is a slip of a missing key explains why that is missing.
        for error in sorted(errors, key=lambda error: error["type"] != "extra_forbidden"):
            _tell(draft, error)
    return None


def _tell(draft: Draft, error: ErrorDetails) -> None:
    path: Path = tuple(step for step in error["loc"] if step != "[key]")
    of_key = error["loc"][-1:] == ("[key]",)
    match error["type"]:
        case "extra_forbidden":
            _unknown(draft, path)
        case "missing":
            draft.refuse_key(path, f"missing; {_wanted(path)}")
        case "value_error" if of_key:
            why = str(error["ctx"]["error"])
            draft.refuse_key(path, f"this key {why}")
        case "value_error":
            draft.refuse(path, str(error["ctx"]["error"]))
        case "literal_error":
            _choice(draft, path, error["ctx"], of_key)
        case type_ if type_ in _TYPES:
            found = draft.get(path)
            draft.refuse(path, f"is {kind(found)}; use {_TYPES[type_]}")
        case type_ if type_ in _BOUNDS:
            why = _BOUNDS[type_](error.get("ctx", {}))
            if of_key:
                draft.refuse_key(path, f"this key {why}")
            else:
                draft.refuse(path, why)
        case _:
            draft.refuse(path, "is not allowed here; see docs/configuration.md")


_TYPES = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}

_BOUNDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than_equal": lambda ctx: f"is too small; use {ctx['ge']} or more",
    "greater_than": lambda ctx: f"is too small; use more than {ctx['gt']:g}",
    "less_than_equal": lambda ctx: f"is too large; use {ctx['le']} or less",
    "too_short": lambda ctx: "is empty; use one item or more, or leave the key out",
    "string_too_short": lambda ctx: "is empty; use one character or more",
    "string_too_long": lambda ctx: f"is too long; use up to {ctx['max_length']} characters",
}


def _choice(draft: Draft, path: Path, ctx: dict[str, Any], of_key: bool) -> None:
    # 'a', 'b' or 'c' as pydantic lists a Literal's values.
    allowed = ctx["expected"].replace(" or ", ", ").replace("'", "").split(", ")
    found = path[-1] if of_key else draft.get(path)
    # Figures are no words: "1.1" is near "1.3" for its letters, not for what was meant.
    words = isinstance(found, str) and not found[:1].isdigit()
    guess = did_you_mean(str(found), allowed) if words else None
    listed = " or ".join(f'"{value}"' for value in allowed)
    if len(allowed) > 4:
        listed = "one of " + ", ".join(f'"{value}"' for value in allowed)
    # The guess is itself one of the allowed values: it gives nothing away.
    hint = f'; did you mean "{guess}"?' if guess else f"; use {listed}"
    if of_key:
        draft.refuse_key(path, f"this key is not allowed{hint}")
    else:
        draft.refuse(path, f"is not allowed{hint}")


def _unknown(draft: Draft, path: Path) -> None:
    known = sorted(_fields(_model(path[:-1])))
    guess = did_you_mean(str(path[-1]), known)
    if guess is None:
        draft.refuse_key(path, f"unknown key; known here: {', '.join(known)}")
        return
    draft.refuse_key(path, f'unknown key; did you mean "{guess}"?')
    if draft.get((*path[:-1], guess)) is None:
        draft.excuse((*path[:-1], guess))


def _wanted(path: Path) -> str:
    """What a missing key is for."""
    field = _fields(_model(path[:-1])).get(str(path[-1]))
    return f"add it: {field.description}" if field is not None and field.description else "add it"


def _model(path: Path) -> type[BaseModel] | None:
    """The model that judges the table at `path`."""
    model: Any = File
    named = False  # the next step is a name that the user chose
    for step in path:
        if named or isinstance(step, int):
            named = False
            continue
        field = _fields(model).get(step)
        if field is None:
            return None
        named = get_origin(field.annotation) is dict
        model = _inside(field.annotation)
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _fields(model: Any) -> dict[str, FieldInfo]:
    """The fields of a model by the names the file uses."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _inside(annotation: Any) -> Any:
    """The one model an annotation is built around, else the annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _inside(argument)
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return annotation
