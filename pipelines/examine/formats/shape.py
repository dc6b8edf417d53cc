"""How answers in JSON are built, and which of a source are built otherwise than nearly all of them.

What: the shape of an answer is its keys and the types of their values, lists as the shapes of their items. In
a source of `LEAST` such answers and more one is *odd* where

- an object has other keys than `SAME` of the objects at its place have (a key is missing, or there is one
  more, or the whole stands within another object);
- a key is written otherwise than by most (``orderId`` for ``order_id``);
- a value is of another type than `TYPED` of the values at its place (``"3"`` for 3, ``"yes"`` for true), null
  apart; or says "null" or "none" where others are null.

Sets whose objects have many forms by design (arguments of different functions, fields that are left out where
nothing is said) have no such habit, and nothing is said of them.

Why: a model that has seen one key in ten under another name writes it in one of ten answers, and the program
that reads them breaks. Each answer alone is valid.

Cost: some 10 us an answer. Keys stand in files that are deleted after the check, and nowhere else.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

LEAST = 50  # answers in JSON of a source, and objects or values at a place, below which nothing is a habit
SAME, TYPED = 0.8, 0.8
KEYS = 64  # keys of an object above which it is a table and has no shape
MANY = 2000  # shapes of a source in a file above which nothing is a habit
NONE = frozenset(("null", "none", "n/a", "nan", "undefined", "nil"))
Shapes = Mapping[str, int]


def of(answers: list[str | None]) -> pa.Array:
    """The shape of each answer, string[N]: JSON of keys and types; null for null, and for single values."""
    return pa.array([None if text is None else _of_text(text) for text in answers], pa.string())


def _of_text(text: str) -> str | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return json.dumps(_shape(value), ensure_ascii=False) if isinstance(value, dict | list) else None


def _shape(value: Any) -> Any:
    """Types by letters: o an object of many keys, s, n, b, 0 (null), - (a text that says null)."""
    if isinstance(value, dict):
        return {key: _shape(value[key]) for key in sorted(value)} if len(value) <= KEYS else "o"
    if isinstance(value, list):
        items = {json.dumps(_shape(item), sort_keys=True, ensure_ascii=False) for item in value}
        return [json.loads(item) for item in sorted(items)]
    if isinstance(value, str):
        return "-" if value.strip().casefold() in NONE else "s"
    if value is None:
        return "0"
    return "b" if isinstance(value, bool) else "n"


def odd(counts: Shapes) -> frozenset[str]:
    """The odd ones of a source's shapes; counts: answers of each."""
    if sum(counts.values()) < LEAST or len(counts) > MANY:
        return frozenset()
    shapes = {shape: _places(json.loads(shape)) for shape in counts}
    keys: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    types: dict[str, Counter[str]] = defaultdict(Counter)
    for shape, (objects, values) in shapes.items():
        for place, own in objects:
            keys[place][own] += counts[shape]
        for place, own_type in values:
            types[place][own_type] += counts[shape]
    bad_keys = {place: _odd_keys(own) for place, own in keys.items()}
    bad_types = {place: _odd_types(own) for place, own in types.items()}
    return frozenset(
        shape
        for shape, (objects, values) in shapes.items()
        if any(own in bad_keys[place] for place, own in objects)
        or any(own in bad_types[place] for place, own in values)
    )


def _places(shape: Any) -> tuple[list[tuple[str, tuple[str, ...]]], list[tuple[str, str]]]:
    """Objects of a shape by their place, with their keys; and the types of values by theirs."""
    objects: list[tuple[str, tuple[str, ...]]] = []
    values: list[tuple[str, str]] = []

    def walk(own: Any, place: str) -> None:
        if isinstance(own, dict):
            objects.append((place, tuple(own)))
            values.append((place, "{}"))
            for key, value in own.items():
                walk(value, f"{place}/{_folded(key)}")
        elif isinstance(own, list):
            values.append((place, "[]"))
            for item in own:
                walk(item, f"{place}[]")
        else:
            values.append((place, own))

    walk(shape, "")
    return objects, values


def _folded(key: str) -> str:
    return "".join(c for c in key.casefold() if c.isalnum()) or key


def _odd_keys(counts: Counter[tuple[str, ...]]) -> frozenset[tuple[str, ...]]:
    """Keys of objects at a place that few have; counts: objects of each."""
    n = sum(counts.values())
    (common, most), *_ = counts.most_common(1)
    if n < LEAST:
        return frozenset()
    if most >= SAME * n:
        return frozenset(counts) - {common}
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for keys, times in counts.items():
        for key in keys:
            names[_folded(key)][key] += times
    rare = {key for own in names.values() for key, times in own.items() if times < (1 - TYPED) * own.total()}
    return frozenset(keys for keys in counts if rare & set(keys))


def _odd_types(counts: Counter[str]) -> frozenset[str]:
    """Types at a place that few have; counts: values of each."""
    null = counts["0"]
    said = Counter({own: n for own, n in counts.items() if own != "0"})
    if not null and "-" in said:  # a text like another
        said["s"] += said.pop("-")
    n = said.total()
    if n < LEAST:
        return frozenset({"-"} if null and "-" in said else ())
    common, most = max(said.items(), key=lambda own: (own[1], own[0]))
    odd_ones = {own for own in said if own != common and most >= TYPED * n}
    return frozenset(odd_ones | ({"-"} if null and "-" in said else set()))
