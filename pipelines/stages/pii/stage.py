"""PII: what is found is replaced, by tags such as ``<PHONE_NUMBER_1>`` or as the recipe says.

What: every message and every `meta` value of a live row is looked through, and the paths of its files.
Findings at or above `threshold` are replaced by what `kind`, `kinds` and `roles` say; a kept finding does
not protect another one inside it. The same value is given the same stand-in throughout its conversation,
also where it was not found (`masking.replace`). A text that changed is looked through again until
nothing but stand-ins and kept values is found.

Why: what a model was trained on, it can say. Patterns find what has a form (numbers, addresses of all
kinds), also in other dress (`dress`); names are found by the words around them, and by a model where there is
one (`pii.ner`).

A row whose text could not be examined to the end is quarantined as ``pii.error``, and its messages and
`meta` are removed: nothing unmasked goes on.

Cost: an automaton reads all texts at about 100 MB/s and patterns are tried only where it says so
(`presidio.scanner`): 40 MB/s where nothing is found, 12 where every eighth row holds something, 5 where every
sentence does.
"""

import functools
import re
from collections.abc import Callable, Container, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema
from headrace.pipelines.schema import quarantine
from headrace.pipelines.stages.pii import columns
from headrace.pipelines.stages.pii.columns import Story
from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.examined import uncollected
from headrace.pipelines.stages.pii.findings import KINDS, Finding, Findings, collected, joined
from headrace.pipelines.stages.pii.masking import surrogates
from headrace.pipelines.stages.pii.masking.replace import Conversation, Place, replaced
from headrace.pipelines.stages.pii.masking.surrogates import Surrogates
from headrace.pipelines.stages.pii.presidio import setup
from headrace.pipelines.stages.pii.search import findings_in
from headrace.pipelines.stages.pii.together import by_text

NAME = "pii"
VERSION = 10
# Where a model of names runs and lies (its content is hashed instead), what a later look at the outcome leads
# to, and where the secret is.
NOT_IN_KEY = {"ner": {"model", "actors", "gpus"}, "gate": True, "key": True}
PATHS = 1 << 16  # of files that a process remembers with their stand-ins
TOGETHER = 512  # conversations in which values are replaced at once: so many lie in a processor's cache
ROUNDS = 10  # a text is done after two; one that is not is set aside
FINDINGS = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("entity", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("recognizer", pa.string()),
    ]
)


class UnexaminedError(Exception):
    """Texts that could not be looked through to the end; `rows` says which, never what they hold."""

    def __init__(self, failures: dict[int, str]) -> None:
        super().__init__(f"{len(failures)} texts could not be examined: rows {sorted(failures)[:10]}")
        self.rows = sorted(failures)


def versions() -> dict[str, str]:
    """Libraries that decide what this stage writes."""
    return {"pyarrow": pa.__version__, **setup.versions(), **surrogates.versions()}


def find(texts: pa.Array | Sequence[str | None], config: Config | None = None) -> pa.Table:
    """All findings in `texts`, whatever their score: `FINDINGS`, sorted.

    `texts`: Arrow string array (or chunked array, or sequence of str); null holds nothing. Columns: `row`
    int64, index into `texts`; `start`, `end` int64, in characters; `entity` string; `score` float64;
    `recognizer` string.

    Raises: UnexaminedError where a recogniser failed on a text.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    found = findings_in(
        texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string()), config or Config()
    )
    if found.failures:
        raise UnexaminedError(dict(found.failures))
    entities, names = (pa.array([kind[at] for kind in KINDS], pa.string()).take(found.kinds) for at in (0, 1))
    columns = [found.rows, found.starts, found.ends, entities, found.scores, names]
    return pa.table(columns, schema=FINDINGS)


@uncollected()
def apply(table: pa.Table, config: Config) -> pa.Table:
    """`table` with stand-ins for what was found, and what is said of it in columns; null for marked rows.

    `pii` (``schema.PII``): replaced values by entity; `spans` (``schema.SPANS``): where stand-ins and kept
    values are in the messages; `found` (``schema.FOUND``): all findings by entity, role, recogniser and
    what became of them; `values` (``schema.VALUES``): keyed digests of the values that were replaced, where
    there is a key.
    """
    live = schema.live(table).to_numpy(zero_copy_only=False)
    if not config.enabled:
        return columns.add(table, columns.NOTHING, live)
    roles, rows, contents = schema.contents(table)
    meta = table["meta"].combine_chunks()
    beside = meta.items.slice(*_inside(meta)).cast(pa.large_string())
    texts = Texts(
        pa.concat_arrays([contents, beside]) if len(beside) else contents,
        np.append(_shared(roles), np.full(len(beside), "meta", np.object_)),
        np.concatenate([rows, _owners(meta)]),
    )
    masked = _masked(texts, live[texts.rows], config)
    failed: list[str | None] = [None] * table.num_rows
    for text, cause in masked.failures.items():
        failed[texts.rows[text]] = cause
    fine = np.array([cause is None for cause in failed], np.bool_)
    table = schema.rebuild(table, rows, roles, masked.texts.slice(0, len(rows)))
    table = _with_paths(_with_meta(table, meta, masked.texts.slice(len(rows))), config)
    shown = live & fine
    story = _story(masked, texts, len(rows), table["row_id"], shown, config)
    return quarantine(columns.add(_withheld(table, fine), story, shown), failed, "pii.error")


class Texts(NamedTuple):
    """large_string[N], the role that says each (str[N]), and the row that it belongs to (int64[N])."""

    contents: pa.Array
    roles: NDArray[np.object_]
    rows: NDArray[np.int64]


class Masked(NamedTuple):
    """Texts with stand-ins; rows that have some, with their texts; findings in texts, and who has failed."""

    texts: pa.Array
    conversations: dict[int, tuple[Conversation, list[int]]]
    found: Findings
    failures: dict[int, str]


def _masked(texts: Texts, live: NDArray[np.bool_], config: Config) -> Masked:
    """`texts` with stand-ins in those that are `live`, looked through until nothing is left to replace."""
    held: dict[int, tuple[Conversation, list[int]]] = {}
    failures: dict[int, str] = {}
    found = collected([], [], {})
    conversations = _conversations(texts, config)
    pending = np.flatnonzero(live)
    asked = texts.contents if live.all() else texts.contents.take(pa.array(pending))
    changed: dict[int, str] = {}
    latest: dict[int, str] = {}
    may_go = _may_go(config)
    for _ in range(ROUNDS):
        if not len(pending):
            break
        new = findings_in(asked, config)
        failures.update((int(pending[at]), cause) for at, cause in new.failures.items())
        new = joined([new._replace(rows=pending[new.rows], failures=failures)])
        before = found.taken(~np.isin(found.rows, pending))  # of others: these are as they were
        now = by_text(new.taken(may_go(new, texts.roles)))
        found = joined([before, new])
        # In a text that changed, values may stand together that did not.
        rows = sorted(set(texts.rows[[*now, *changed]].tolist()))
        changed = {}
        for first in range(0, len(rows), TOGETHER):
            some = rows[first : first + TOGETHER]
            held.update(conversations([row for row in some if row not in held], now))
            changed |= _replaced({row: held[row] for row in some}, now, texts)
        latest |= changed
        pending = np.array(sorted(changed), np.int64)
        asked = pa.array([changed[text] for text in pending.tolist()], pa.large_string())
    failures.update((int(text), "does not settle") for text in pending)
    new_texts = pa.array(latest.values(), pa.large_string())
    return Masked(arrays.put(texts.contents, list(latest), new_texts), held, found, failures)


def _conversations(
    texts: Texts, config: Config
) -> Callable[[list[int], Container[int]], Iterator[tuple[int, tuple[Conversation, list[int]]]]]:
    """What makes the conversations of rows, each with the numbers of its texts, holding some of the texts."""
    stand_ins = Surrogates(config) if config.secret else None
    kind_of = functools.cache(config.kind_of)
    order = np.argsort(texts.rows, kind="stable")
    sorted_rows = texts.rows[order]

    def made(rows: list[int], held: Container[int]) -> Iterator[tuple[int, tuple[Conversation, list[int]]]]:
        first, last = (np.searchsorted(sorted_rows, rows, side) for side in ("left", "right"))
        of_rows = [order[a:b] for a, b in zip(first, last, strict=True)]
        there = [{at: n for at, n in enumerate(own.tolist()) if n in held} for own in of_rows]
        numbers = [number for places in there for number in places.values()]
        contents = iter(texts.contents.take(pa.array(numbers, pa.int64())).to_pylist())
        for row, own, places in zip(rows, of_rows, there, strict=True):
            found = dict(zip(places, contents, strict=False))
            roles = texts.roles[own].tolist()
            yield row, (Conversation(found, roles, config, stand_ins, kind_of), own.tolist())

    return made


def _may_go(config: Config) -> Callable[[Findings, NDArray[np.object_]], NDArray[np.bool_]]:
    """Which findings are to be replaced, there or where another role says it; given the role of each text."""

    @functools.cache
    def goes(entity: str, role: str) -> bool:
        return config.kind_of(entity, role) != "keep" or config.kind_of(entity, "") != "keep"

    def may_go(found: Findings, roles: NDArray[np.object_]) -> NDArray[np.bool_]:
        entities = np.array([entity for entity, _ in KINDS], np.object_)
        going = list(map(goes, entities[found.kinds], roles[found.rows]))
        return (found.scores >= config.threshold) & np.array(going, np.bool_)

    return may_go


def _replaced(
    held: dict[int, tuple[Conversation, list[int]]], now: dict[int, list[Finding]], texts: Texts
) -> dict[int, str]:
    """The texts (by their numbers) of conversations in which something was replaced, as they are then.

    now: findings in texts that may go; texts: all as they were.
    """
    conversations = list(held.values())
    dues = []
    for conversation, numbers in conversations:
        asked = ((at, now.get(numbers[at])) for at in sorted(conversation.texts))
        due = {at: conversation.due(at, findings) for at, findings in asked if findings}
        dues.append((conversation, {at: findings for at, findings in due.items() if findings}))

    def unread(places: list[Place]) -> pa.Array:
        return texts.contents.take(pa.array([conversations[at][1][text] for at, text in places], pa.int64()))

    changed = zip(conversations, replaced(dues, unread), strict=True)
    return {numbers[at]: one.text(at) for (one, numbers), places in changed for at in places}


def _story(
    masked: Masked, texts: Texts, messages: int, row_ids: pa.Array, shown: NDArray[np.bool_], config: Config
) -> Story:
    """What is to be said of the rows that are `shown`; the first `messages` texts are messages."""
    issued = [
        (numbers[at], *one)
        for conversation, numbers in masked.conversations.values()
        for at, ones in conversation.issued.items()
        for one in ones
    ]
    every = columns.outcomes(issued, masked.found, config.threshold)
    every = every.taken(shown[texts.rows[every.texts]])
    rows = texts.rows[every.texts]
    first = np.searchsorted(texts.rows[:messages], rows)
    message = np.where(every.texts < messages, every.texts - first, -1)
    story = columns.story(every, rows, message, texts.roles[every.texts].tolist())
    secret = config.secret
    if secret is None:
        return story
    said = [
        (row, *one)
        for row in sorted(masked.conversations)
        if shown[row]
        for one in columns.values(masked.conversations[row][0], row_ids[row].as_py(), secret)
    ]
    return story._replace(values=columns.items("values", said))


def _shared(strings: pa.Array) -> NDArray[np.object_]:
    """Strings of which few are different, each of these made once: ``str[N]``."""
    coded = strings.dictionary_encode()
    different = np.array(coded.dictionary.to_pylist(), np.object_)
    every: NDArray[np.object_] = different[coded.indices.to_numpy()]
    return every


def _inside(meta: pa.Array) -> tuple[int, int]:
    """(offset, length) of the values that the map array `meta` refers to."""
    first, last = (meta.offsets[at].as_py() for at in (0, len(meta.offsets) - 1))
    return first, last - first


def _owners(meta: pa.Array) -> NDArray[np.int64]:
    """Row of each value of the map array `meta`: ``int64[values]``."""
    sizes = np.diff(meta.offsets.to_numpy(zero_copy_only=False))
    return np.repeat(np.arange(len(meta)), sizes).astype(np.int64)


def _with_meta(table: pa.Table, meta: pa.Array, values: pa.Array) -> pa.Table:
    """`table` with other values in its `meta` column."""
    first, size = _inside(meta)
    offsets = pa.array(meta.offsets.to_numpy(zero_copy_only=False) - first, pa.int32())
    masked = pa.MapArray.from_arrays(
        offsets, meta.keys.slice(first, size), values.cast(pa.string()), mask=meta.is_null()
    )
    return table.set_column(table.schema.get_field_index("meta"), "meta", masked.cast(schema.META))


def _withheld(table: pa.Table, fine: NDArray[np.bool_]) -> pa.Table:
    """`table` without the messages and `meta` of the rows that are not `fine`."""
    if fine.all():
        return table
    for name in ("messages", "meta"):
        column = table[name].combine_chunks()
        kept = pc.if_else(pa.array(fine), column, pa.scalar(None, column.type))
        table = table.set_column(table.schema.get_field_index(name), name, kept)
    return table


def _with_paths(table: pa.Table, config: Config) -> pa.Table:
    """`table` with stand-ins in its column `file`, also of marked rows: a path can name somebody, too."""
    coded = table["file"].combine_chunks().dictionary_encode()
    known = _paths(config.model_dump_json(), config.secret)
    if len(known) > PATHS:
        known.clear()
    paths = coded.dictionary.to_pylist()
    new = [path for path in paths if path not in known]
    known.update(zip(new, _paths_masked(new, config), strict=True))
    column = pa.array([known[path] for path in paths], pa.string()).take(coded.indices)
    return table.set_column(table.schema.get_field_index("file"), schema.ROW.field("file"), column)


@functools.lru_cache(2)
def _paths(config: str, secret: bytes | None) -> dict[str, str]:
    """What a process knows of paths under a config: a file has many parts, all of the same path."""
    return {}


def _paths_masked(paths: list[str], config: Config) -> list[str]:
    """Paths with stand-ins."""
    names = sorted({name for path in paths for name in path.split("/")})
    masked, broken = _beginnings_masked(names, config)
    stand_in = dict(zip(names, masked, strict=True))
    shown = ["/".join(stand_in[name] for name in path.split("/")) for path in paths]
    # With a key a stand-in looks like a value, and would be replaced again.
    whole, failed = (shown, set()) if config.secret else _each_masked(shown, config)
    hidden = failed | {n for n, path in enumerate(paths) if broken & set(path.split("/"))}
    return ["(withheld)" if n in hidden else path for n, path in enumerate(whole)]


def _beginnings_masked(names: list[str], config: Config) -> tuple[list[str], set[str]]:
    """Names with stand-ins, and those that could not be examined.

    What follows a value in a file's name hides it (`ann@example.com.jsonl.gz` is no address): every beginning
    of a name is looked through, the shortest in which something is found decides, and so on behind it.
    """
    done, left = ["" for _ in names], list(names)
    broken: set[str] = set()
    while any(left):
        pieces = [(n, rest[:end]) for n, rest in enumerate(left) for end in _ends(rest)]
        masked, failed = _each_masked([text for _, text in pieces], config)
        broken |= {names[pieces[n][0]] for n in failed}
        of_name: dict[int, list[tuple[str, str]]] = {}
        for (n, text), shown in zip(pieces, masked, strict=True):
            of_name.setdefault(n, []).append((text, shown))
        for n, tried in of_name.items():
            changed = [one for one in tried if one[0] != one[1]]
            # A longer beginning that shows the same is the same value, further on.
            same = [one for one in changed if one[1] == changed[0][1]]
            text, shown = (same or tried)[-1]
            done[n] += shown
            left[n] = left[n][len(text) :]
    return done, broken


def _ends(path: str) -> list[int]:
    """Where beginnings of a path end that are looked through, the whole path last."""
    ends = [m.start() for m in _SUFFIX.finditer(path) if m.start()]
    at = path.find("@")
    ends += [m.start() for m in _BREAK.finditer(path, at)] if at >= 0 else []
    return [*sorted(set(ends)), len(path)] if path else []


def _each_masked(texts: list[str], config: Config) -> tuple[list[str], set[int]]:
    """Texts with stand-ins, each on its own, and the numbers of those that could not be examined."""
    each = np.arange(len(texts))
    masked = _masked(
        Texts(pa.array(texts, pa.large_string()), np.full(len(each), "meta", np.object_), each),
        np.ones(len(each), np.bool_),
        config,
    )
    return masked.texts.to_pylist(), set(masked.failures)


_SUFFIX = re.compile(r"\.(?=[^/.]*[A-Za-z])")  # what may be no part of the value before it
_BREAK = re.compile(r"[^A-Za-z0-9@.]")

__all__ = ["FINDINGS", "VERSION", "Config", "UnexaminedError", "apply", "find", "versions"]
