"""The config, checked against its schema and for contradictions, with defaults filled in."""

import math
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from strata.runtime.errors import StrataError
from strata.study.architectures import ARCHITECTURES
from strata.study.consistency import inconsistencies
from strata.study.given import as_given_study, given_problems, is_given_study, located
from strata.study.metrics import METRICS
from strata.study.task_types import TASK_TYPES

SCHEMA = Path(__file__).parents[3] / "schemas" / "config.schema.yaml"
MAX_NESTING = 20  # far more than any study needs; in YAML a list can contain itself


def check_config(config: dict[str, Any]) -> dict[str, Any]:
    """The config with defaults filled in.

    Raises
    ------
    StrataError
        The config has problems; each is named in one sentence with key, value and what is allowed.
    """
    schema = _schema()
    problems = list(_beyond_json(config)) or [
        _sentence(error)
        for top in Draft202012Validator(schema).iter_errors(config)
        for error in _innermost(top)
    ]
    problems = list(dict.fromkeys(problems))
    if not problems:
        config = deepcopy(config)
        _fill(config, schema, schema)
        config["models"] = {name: located(entry) for name, entry in config["models"].items()}
        problems = list(given_problems(config))
    if not problems:
        config = _of_its_kind(config)
        problems = list(inconsistencies(config))
    if problems:
        lines = (f"  - {_printable(problem)}" for problem in problems)
        raise StrataError("\n".join(("the config is not valid:", *lines)))
    return config


def _of_its_kind(config: dict[str, Any]) -> dict[str, Any]:
    """The config; a study is either of models to be fine-tuned, or of models that already are."""
    named = config["study"]["models"][0] in config["models"]
    if named and is_given_study(config):
        config["study"] = as_given_study(config["study"])
    return config


@cache
def _schema() -> dict[str, Any]:
    """The schema, with the names from the registries filled in."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    task, model = (schema["$defs"][name]["properties"] for name in ("task", "model"))
    task["type"]["enum"], task["metric"]["enum"] = list(TASK_TYPES), list(METRICS)
    model["architecture"]["enum"] = list(ARCHITECTURES)
    return schema


def _beyond_json(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Problems with values that YAML allows and JSON does not, which a schema cannot check."""
    key = ".".join(path) or "the config"
    if len(path) > MAX_NESTING:
        yield (
            f"{'.'.join(path[:3])}: is nested more than {MAX_NESTING} levels deep; no key needs "
            "that."
        )
    elif isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(name, str):
                yield from _beyond_json(inner, (*path, name))
            else:
                yield (
                    f"{key}: the key {name!r} is not text ({type(name).__name__}); put it in "
                    "quotes."
                )
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _beyond_json(inner, (*path, str(index)))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{key}: {value!r} is not allowed; allowed is a finite number."
    elif isinstance(value, str) and re.search(r"[\ud800-\udfff]", value):
        yield f"{key}: {value!r} is not allowed; allowed is text of whole characters."


def _printable(text: str) -> str:
    """Keep a problem on one line, whatever characters its keys contain."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _innermost(error: ValidationError) -> Iterator[ValidationError]:
    """If all alternatives failed, the errors of the one that fits best; else the error itself."""
    if error.context and error.validator in ("oneOf", "anyOf"):
        yield min(error.context, key=lambda e: (-len(e.path), e.validator == "type"))
    else:
        yield error


def _sentence(error: ValidationError) -> str:
    key = ".".join(map(str, error.absolute_path)) or "the config"
    # The values in a schema can be of any JSON type.
    value: Any = error.instance
    limit: Any = error.validator_value
    schema: Any = error.schema
    rule = str(error.validator)
    if rule == "additionalProperties":
        keys = [*schema.get("properties", {})]
        unknown = [k for k in value if k not in keys and not _matches(k, schema)]
        names = ", ".join(map(repr, unknown))
        if "patternProperties" in schema:
            return f"{key}: {names} is not a name: use lower-case letters, digits and '-'."
        return f"{key}: there is no key {names}; allowed are {', '.join(keys)}."
    if rule == "required":
        missing = [k for k in limit if k not in value]
        return f"{key}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
    allowed = {
        "enum": lambda: f"one of {', '.join(map(str, limit))}",
        "type": lambda: _types(value, limit),
        "minimum": lambda: f"at least {limit}",
        "maximum": lambda: f"at most {limit}",
        "exclusiveMinimum": lambda: f"above {limit}",
        "exclusiveMaximum": lambda: f"below {limit}",
        "pattern": lambda: f"text that matches {limit}",
        "minItems": lambda: f"{limit} or more entries",
        "maxItems": lambda: f"{limit} entries at most",
        "uniqueItems": lambda: "entries that differ",
        "contains": lambda: f"a list that contains {limit['const']}",
    }.get(rule, lambda: f"{rule} {limit}")
    return f"{key}: {value!r} is not allowed; allowed is {allowed()}."


def _types(value: Any, limit: str | list[str]) -> str:
    # YAML does not read yes, 2020 and 2020-01-01 as text.
    quotable = limit == "string" and not isinstance(value, dict | list | None)
    allowed = limit if isinstance(limit, str) else " or ".join(limit)
    return f"{allowed}, so put it in quotes" if quotable else allowed


def _matches(key: str, schema: Mapping[str, Any]) -> bool:
    return any(re.search(pattern, key) for pattern in schema.get("patternProperties", {}))


def _fill(value: Any, part: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Fill in the defaults of `part` of the schema, including nested ones."""
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[-1]
        _fill(value, schema["$defs"][name], schema)
    if not isinstance(value, dict):
        return
    for key, inner in part.get("properties", {}).items():
        if key not in value and "default" in inner:
            value[key] = deepcopy(inner["default"])
        if key in value:
            _fill(value[key], inner, schema)
    for inner in part.get("patternProperties", {}).values():
        for entry in value.values():
            _fill(entry, inner, schema)
