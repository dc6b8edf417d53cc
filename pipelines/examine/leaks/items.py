"""The items of evaluation sets, read straight from their files.

A file is understood by its columns: those of mmlu, arc, bbh, gsm8k, humaneval, mbpp, truthfulqa, ifeval and
mt-bench are known, others are told by the shape of their records, as a source's are, or named by the recipe.

Cost: what reading the files costs; all items are held in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headrace.cluster.errors import RecipeError, SourceError
from headrace.cluster.fragments import File
from headrace.pipelines import structure
from headrace.pipelines.examine.leaks.config import Against
from headrace.pipelines.stages.read import detection, formats, inputs, rows, values
from headrace.pipelines.stages.read.records import Batch, Manner, ReadError
from headrace.pipelines.stages.read.source import Source

SCHEMA = pa.schema(
    [
        ("item", pa.uint32()),
        ("set", pa.string()),
        ("place", pa.string()),
        ("prompt", pa.large_string()),
        ("options", pa.large_string()),
        ("answer", pa.large_string()),
    ]
)
ABOUT = ("text", "html")  # formats of what only says what the items are, where they lie beside it
LETTERS = ("A", "B", "C", "D")
ANSWERS = ("assistant", "rejected")
Record = dict[str, Any]


class Item(NamedTuple):
    """What a record asks, the answers to choose from, and the right one; each may be empty."""

    prompt: str
    options: str
    answer: str


Reader = Callable[[Record], Item]


def _columns(prompt: str, answer: str | None = None, options: str | None = None) -> Reader:
    """The reader of records with these columns; `prompt` may be empty, where a set is of answers."""

    def read(record: Record) -> Item:
        return Item(
            joined(record[prompt]) if prompt else "",
            joined(record.get(options)) if options else "",
            joined(record.get(answer)) if answer else "",
        )

    return read


def _reference(record: Record) -> Item:
    """An answer of reference to an item of mt-bench."""
    return Item("", "", joined([c.get("turns") for c in record["choices"] if isinstance(c, dict)]))


def _table(record: Record) -> Item:
    """A line of mmlu without names of columns: question, four options, the letter of the right one."""
    question, *options, letter = (joined(value) for value in record.values())
    return Item(question, "\n".join(options), letter)


# Columns that tell a layout, the first that fits; then how it is read. Names are compared in lower case.
LAYOUTS: tuple[tuple[str, frozenset[str], Reader], ...] = (
    ("humaneval", frozenset({"prompt", "canonical_solution"}), _columns("prompt", "canonical_solution")),
    ("mbpp", frozenset({"text", "code", "test_list"}), _columns("text", "code")),
    ("mbpp", frozenset({"prompt", "code", "test_list"}), _columns("prompt", "code")),
    ("truthfulqa", frozenset({"question", "best answer"}), _columns("question", "best answer")),
    ("truthfulqa", frozenset({"question", "best_answer"}), _columns("question", "best_answer")),
    ("ifeval", frozenset({"prompt", "instruction_id_list"}), _columns("prompt")),
    ("mt-bench", frozenset({"question_id", "turns"}), _columns("turns", "reference")),
    ("mt-bench", frozenset({"question_id", "choices"}), _reference),
    ("arc", frozenset({"question", "choices", "answerkey"}), _columns("question", "answerkey", "choices")),
    ("mmlu", frozenset({"question", "choices", "answer"}), _columns("question", "answer", "choices")),
    ("mmlu", frozenset({f"column {n}" for n in range(1, 7)}), _table),
    ("gsm8k", frozenset({"question", "answer"}), _columns("question", "answer")),
    ("bbh", frozenset({"input", "target"}), _columns("input", "target")),
)


def joined(value: Any) -> str:
    """A value as text: the parts of a list or mapping a line each, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, dict):
        # The options of arc: their texts, not the letters.
        return joined(value["text"] if "text" in value else list(value.values()))
    if isinstance(value, list | tuple):
        return "\n".join(filter(None, map(joined, value)))
    return value if isinstance(value, str) else str(value)


def load(against: Sequence[Against]) -> pa.Table:
    """Items of all sets as `SCHEMA`; `place` is "file, line 12".

    Raises: SourceError for a path that holds no data, a file that cannot be read whole or whose columns are
    not understood; RecipeError for a column that is not there; StorageError.
    """
    columns: dict[str, list[str]] = {name: [] for name in SCHEMA.names[1:]}
    for one in against:
        # A name tells the sets of two paths apart, and need not: `inputs.named` would refuse two of one.
        source, before = inputs.named([Source(name=one.name, path=one.path)])[0], len(columns["set"])
        for file in _data(inputs.files(source), source):
            name = source.name
            if not one.name and "/" in file.relative:
                name = file.relative.partition("/")[0]
            for place, item in _of_file(file, source, one):
                for column, value in zip(columns, (name, place, *item), strict=True):
                    columns[column].append(values.clean(value))
        if len(columns["set"]) == before:
            raise SourceError(f"evaluation set {source.name!r}: {source.shown} holds no items")
    number = pa.array(np.arange(len(columns["set"]), dtype=np.uint32))
    return pa.table([number, *columns.values()], schema=SCHEMA)


def marks(against: Sequence[Against]) -> list[tuple[str, int, str]]:
    """Path, size and stamp of each file of the sets. Raises: SourceError, StorageError."""
    return [
        (file.path, file.size, file.stamp)
        for one in against
        for source in [Source(path=one.path)]
        for file in _data(inputs.files(source), source)
    ]


def strings(texts: Sequence[str | None] | pa.Array | pa.ChunkedArray) -> pa.Array:
    """Texts as ``large_string[N]``, a null as an empty one."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    flat = texts if isinstance(texts, pa.Array) else pa.array(list(texts), pa.large_string())
    return flat.cast(pa.large_string()).fill_null("")


def of_texts(texts: Sequence[str | None] | pa.Array | pa.ChunkedArray) -> pa.Table:
    """Texts in memory as items without answers."""
    prompts = strings(texts)
    n = len(prompts)
    nothing = pa.repeat(pa.scalar("", pa.large_string()), n)
    number = np.arange(n, dtype=np.uint32)
    places = pa.array([f"text {at}" for at in range(n)], pa.string())
    return pa.table([number, pa.repeat("items", n), places, prompts, nothing, nothing], schema=SCHEMA)


def _data(files: Sequence[File], source: Source) -> list[File]:
    """The files with items: plain text beside tables and JSON only says what those are."""
    told = [file for file in files if file.size and source.format_of(file.relative) not in ABOUT]
    return told or [file for file in files if file.size]


def _of_file(file: File, source: Source, one: Against) -> Iterator[tuple[str, Item]]:
    """Places and items of a file, or of the files of an archive."""
    readers: dict[str, Reader] = {}
    for batch in _batches(file, source, header=not _nameless(file, source)):
        if batch.member and formats.of_name(batch.member) in ABOUT:
            continue
        where = rows.of_member(batch, file.relative)
        for _, problem in sorted(batch.errors.items()):
            raise SourceError(
                f"evaluation set {source.name!r}: a record of {where!r} cannot be read: {problem.cause}, "
                f"{problem.detail}; mend the file, or name those that can be read"
            )
        for at, record in zip(batch.places, batch.records, strict=True):
            for inner, suffix in _unfolded(record):
                low = {str(k).lower(): v for k, v in inner.items()}
                if where not in readers:
                    readers[where] = _reader(low, inner, where, file, source, one)
                try:
                    item = readers[where](low)
                except (ReadError, KeyError, TypeError, ValueError) as error:
                    raise SourceError(
                        f"evaluation set {source.name!r}: {where!r}, {batch.unit} {at}{suffix} is not "
                        "like the records before it; mend it, or say which column holds what: {path: ..., "
                        "prompt: ..., answer: ...}"
                    ) from error
                yield f"{where}, {batch.unit} {at}{suffix}", item


def _batches(file: File, source: Source, *, header: bool) -> Iterator[Batch]:
    form = source.format_of(file.relative)
    return formats.read(file.path, file.size, form, guarded=True, manner=Manner(header=header))


def _nameless(file: File, source: Source) -> bool:
    """Whether a file begins with an item of mmlu where names of columns should be."""
    for batch in _batches(file, source, header=True):
        for record in batch.records[:1]:
            return len(record) == 6 and list(record)[-1] in LETTERS
    return False


def _unfolded(record: Record) -> Iterator[tuple[Record, str]]:
    """The records that a record holds: a file of bbh is one, with its items under `examples`."""
    examples = record.get("examples")
    if isinstance(examples, list) and examples and all(isinstance(e, dict) for e in examples):
        yield from ((example, f", example {n}") for n, example in enumerate(examples, 1))
    else:
        yield record, ""


def _reader(low: Record, record: Record, where: str, file: File, source: Source, one: Against) -> Reader:
    """How the records of a file are read, by its first."""
    if one.prompt or one.answer or one.options:
        for column in (one.prompt, one.answer, one.options):
            if column is not None and column.lower() not in low:
                raise RecipeError(
                    f"leaks.against: no column {column!r} in {where!r}; the columns there are "
                    f"{', '.join(map(repr, record))}"
                )
        named = [c and c.lower() for c in (one.prompt, one.answer, one.options)]
        return _columns(named[0] or "", named[1], named[2])
    for _, needed, reader in LAYOUTS:
        if needed <= low.keys() and (reader is not _table or len(low) == 6):
            return reader
    with suppress(SourceError):
        seen = detection.Look(where, [record], None, source.format_of(file.relative))
        turns = detection.shape(Source(name=source.name, path=file.path), seen).mapper()
        names = {str(k).lower(): str(k) for k in record}
        return lambda given: _of_turns(turns({names.get(k, k): v for k, v in given.items()}))
    raise SourceError(
        f"evaluation set {source.name!r}: the columns of {where!r} are not understood: "
        f"{', '.join(map(repr, record))}; say which holds what: {{path: ..., prompt: ..., answer: ...}}"
    )


def _of_turns(turns: Sequence[tuple[str, str]]) -> Item:
    sides: tuple[list[str], list[str]] = ([], [])
    for role, content in turns:
        sides[role in ANSWERS].append(structure.text(content))
    return Item("\n".join(sides[0]), "", "\n".join(sides[1]))
