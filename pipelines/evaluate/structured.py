"""Answers with a form: JSON that parses, fits a schema and holds the right values; SQL that finds the same.

JSON: an answer is taken as a whole or from its fence. Its values are the leaves with their paths, lists
without order, so that F1 over them is entity F1 where an answer is a list of entities.

SQL: reference and answer are run on one SQLite file that is opened for reading alone, with a limit of steps,
of rows and no way to other files; they are equal where they give the same rows, in order only where the
reference asks for one. Source: https://arxiv.org/abs/1809.08887 (execution accuracy)

Cost: a parse of each answer; two queries each.
"""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.evaluate import answers

Floats = NDArray[np.float64]

STEPS = 20_000_000  # instructions of SQLite's machine a query: some seconds
EVERY = 100_000  # instructions between two looks at their number
MOST_ROWS = 100_000
# What a query may do: read, call functions, recurse.
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
REFUSED = {"load_extension", "readfile", "writefile", "edit", "randomblob", "zeroblob"}


def is_json(said: Sequence[str]) -> Floats:
    """1.0 where an answer holds a JSON object or list: ``float64[N]``."""
    return np.array([isinstance(answers.parsed(text), dict | list) for text in said], np.float64)


def fits(said: Sequence[str], schema: Mapping[str, Any]) -> Floats:
    """1.0 where an answer's JSON fits a JSON Schema: ``float64[N]``.

    Raises: ValueError where the schema is none.
    """
    from jsonschema import Draft202012Validator  # types apart, it takes a while to import
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"it is no JSON Schema: {error.message}") from error
    check = Draft202012Validator(schema)
    held = (answers.parsed(text) for text in said)
    return np.array([value is not None and check.is_valid(value) for value in held], np.float64)


def entities(said: Sequence[str], references: Sequence[str]) -> Floats:
    """Twice the values that both hold, and those of either, of each pair of JSON: ``float64[N, 2]``.

    Their ratio, summed, is micro F1. An answer without JSON holds none.
    """
    rows = []
    for answer, reference in zip(said, references, strict=True):
        ours, theirs = (Counter(leaves(answers.parsed(text))) for text in (answer, reference))
        rows.append([2 * (ours & theirs).total(), ours.total() + theirs.total()])
    return np.array(rows, np.float64).reshape(-1, 2)


def leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value of JSON with its path; places in a list are not told apart."""
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):  # values of one entity stay together
                yield path, json.dumps(item, sort_keys=True, ensure_ascii=False)
            else:
                yield from leaves(item, f"{path}[]")
    elif value is not None:
        yield path, value.strip() if isinstance(value, str) else json.dumps(value)


def same_rows(said: Sequence[str], references: Sequence[str], database: str) -> Floats:
    """1.0 where a query finds what its reference finds, ``float64[N]``; nan where that cannot be run.

    Raises: ValueError where there is no such database.
    """
    if not os.path.isfile(database):
        raise ValueError(f"there is no file {database!r}")
    place = f"file:{quote(os.path.abspath(database))}?mode=ro&immutable=1"
    scores = []
    with closing(sqlite3.connect(place, uri=True)) as connection:
        connection.set_authorizer(_allow)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        for answer, reference in zip(said, references, strict=True):
            wanted = _found(connection, reference)
            scores.append(np.nan if wanted is None else _equal(_found(connection, answer), wanted, reference))
    return np.array(scores, np.float64)


def _allow(action: int, first: str | None, second: str | None, *_: object) -> int:
    function = action == sqlite3.SQLITE_FUNCTION and (second or first or "").lower()
    return sqlite3.SQLITE_OK if action in ALLOWED and function not in REFUSED else sqlite3.SQLITE_DENY


def _found(connection: sqlite3.Connection, text: str) -> list[tuple[Any, ...]] | None:
    """Rows of a query; None where it cannot be run, or asks for too much."""
    fenced = answers.FENCE.search(text)
    query = (fenced[1] if fenced else text).strip().rstrip(";")
    done = 0

    def too_long() -> int:
        nonlocal done
        done += EVERY
        return int(done > STEPS)

    connection.set_progress_handler(too_long, EVERY)
    try:
        rows = connection.execute(query).fetchmany(MOST_ROWS + 1)
    except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError):
        return None
    return rows if len(rows) <= MOST_ROWS else None


def _equal(found: list[tuple[Any, ...]] | None, wanted: list[tuple[Any, ...]], reference: str) -> float:
    if found is None:
        return 0.0
    if "order by" in " ".join(reference.lower().split()):
        return float(found == wanted)
    return float(Counter(map(repr, found)) == Counter(map(repr, wanted)))
