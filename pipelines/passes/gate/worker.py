"""The gate: is there PII in what a model will read?

What: the token shards of one window are read back, decoded (`stages.tokenise.decode`), and the contents of
messages looked through one by one (what the chat template puts around them is taken off by
`stages.tokenise.frames`). Recognisers are asked about what is not word for word what `pii` left, and about
a sample of the rest (`unchanged`). A finding at or above the threshold is no leak if its entity is kept
there, if it lies in a stand-in that was issued in its row, or in a message of an exempt role, or where a cut
brought together what was looked through apart (an end of a piece, a place where a passage was cut).
Everything else is. Where there is a key, the values that were replaced in a row are looked for in that row,
too, by keyed digests. And the gate looks for itself at values in other dress, in all messages
(`stages.pii.second_look`).

A leak is told by entity, split and row; a value never leaves this module.

Cost: that of decoding, of reading and hashing the messages of `prepared/`, and of `pii.find` for what is
another text there; whole rows of `prepared/` are read where something was found.
"""

import functools
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster import ledger, storage
from headrace.pipelines.passes import outputs, pack_worker, parts, prepare_worker
from headrace.pipelines.passes.gate import unchanged
from headrace.pipelines.passes.parts import Window
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.schema import ROLES, SPLITS
from headrace.pipelines.stages.dedup import passages
from headrace.pipelines.stages.pii import second_look
from headrace.pipelines.stages.pii.columns import value_digest
from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.masking.values import Folded, folded
from headrace.pipelines.stages.pii.search import findings_in
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.decode import Decoder, Runs
from headrace.pipelines.stages.tokenise.frames import Frames, frames
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer

NAME = parts.GATE
VERSION = 4
READ = ("input_ids", "segment_ids", "row_ids")  # columns of the shards
NAMED = 20  # leaking rows of a window that are named
EDGE = 64  # characters at an end of a piece
AROUND = 160  # characters beside a finding in which context words may be
UNEXAMINED = "UNEXAMINED"  # a message that a recogniser failed on


class Leak(NamedTuple):
    """A finding that nothing excuses: in which split and row, and of what entity."""

    split: str
    row_id: int
    entity: str


@dataclass(frozen=True)
class Job:
    """What every task of the pass needs."""

    recipe: Recipe
    keys: dict[int, str] = field(default_factory=dict)  # window -> pass key
    cuts: frozenset[str] = frozenset()  # units of `prepared/` that repeated passages are cut from


class Row(NamedTuple):
    """A row as it was prepared: its messages, where stand-ins and kept values are, digests of values; and its
    contents after repeated passages were cut, where any was.
    """

    messages: list[dict[str, str]]
    spans: list[dict[str, Any]]
    values: list[dict[str, Any]]
    cut: tuple[str, ...] = ()


class Message(NamedTuple):
    """Content of a decoded message, its role ("": not known), its row, what was found in it, its split."""

    text: str
    role: str
    row_id: int
    found: list[Finding]
    split: str = ""


def work(item: tuple[Window, list[dict[str, Any]]], job: Job) -> ledger.Record:
    """Look through the shards (outputs of the window's pack record), commit; returns the record."""
    window, shards = item
    recipe = job.recipe
    started = time.process_time()
    tokenizer = tokenise.tokenizer(recipe.model, recipe.tokenise)
    decoder, around = _decoding(tokenizer)
    judge = Judge(recipe, window, job.cuts)
    known = unchanged.known(recipe.output, window)
    rows, parts = 0, list[Contents]()
    for output in shards:
        for shard in outputs.row_groups(recipe.output, output["path"], output.get("xxh3"), READ):
            parts.append(_contents(decoder.runs(shard), shard, around, output["split"]))
            rows += shard.num_rows
    counts, leaks = {"rows": rows, "messages": 0, "bytes": 0}, list[Leak]()
    if parts:
        # All at once: what looks through texts makes its patterns ready every time.
        contents = _together(parts)
        counts["messages"] = len(contents.texts)
        counts["bytes"] = pc.sum(pc.binary_length(contents.texts)).as_py() or 0
        due = unchanged.changed(known, contents.texts, contents.roles, contents.row_ids)
        leaks = leaking(_messages(contents, due, recipe.pii), judge)
    timing = {"seconds": time.process_time() - started, "rows": counts["rows"], "bytes": counts["bytes"]}
    record: ledger.Record = {
        "window": window.number,
        "key": job.keys[window.number],
        "outputs": [],
        **counts,
        "stages": {NAME: timing},
        "leaks": _counted(leaks),
    }
    ledger.commit(recipe.output, NAME, window.unit, record)
    return record


@functools.lru_cache(2)
def _decoding(tokenizer: Tokenizer) -> tuple[Decoder, Frames]:
    """What takes a tokenizer's packed rows apart; a process has many windows and mostly one tokenizer."""
    return Decoder(tokenizer), frames(tokenizer)


def _counted(leaks: list[Leak]) -> list[dict[str, Any]]:
    """Leaks by split and entity: how many, and the first rows that have one."""
    groups: dict[tuple[str, str], list[int]] = {}
    for leak in leaks:
        groups.setdefault((leak.split, leak.entity), []).append(leak.row_id)
    return [
        {"split": split, "entity": entity, "n": len(rows), "rows": sorted(set(rows))[:NAMED]}
        for (split, entity), rows in sorted(groups.items())
    ]


class Contents(NamedTuple):
    """Contents of decoded messages (large_string[N]), and the role, the split (both dictionaries) and the row
    of each.
    """

    texts: pa.Array
    roles: pa.DictionaryArray
    splits: pa.DictionaryArray
    row_ids: NDArray[np.uint64]


def _contents(runs: Runs, shard: pa.Table, around: Frames, split: str) -> Contents:
    """Contents of all runs of packed rows of a split."""
    lists = shard["row_ids"].combine_chunks()
    first = lists.offsets.to_numpy()[runs.rows] + runs.segments
    parts = around.contents(runs.texts, runs.before)
    roles = pa.DictionaryArray.from_arrays(parts.speakers, pa.array(around.roles))
    codes = np.full(len(parts.texts), SPLITS.index(split), np.int8)
    splits = pa.DictionaryArray.from_arrays(codes, pa.array(SPLITS))
    return Contents(parts.texts, roles, splits, lists.values.to_numpy()[first[parts.runs]])


def _together(parts: Sequence[Contents]) -> Contents:
    """Contents of several pieces, one at least, in their order."""
    texts, roles, splits = (pa.concat_arrays([part[at] for part in parts]) for at in range(3))
    return Contents(texts, roles, splits, np.concatenate([part.row_ids for part in parts]))


def _messages(contents: Contents, due: NDArray[np.int64], config: Config) -> Iterator[Message]:
    """Contents with what is found in them at or above the threshold; where there is a key, all of them.

    due: numbers of the contents that recognisers look through.
    """
    found = findings_in(contents.texts.take(pa.array(due)), config)
    failed = Finding(0, 0, UNEXAMINED, 1.0, "")
    inside: dict[int, list[Finding]] = {int(due[at]): [failed] for at in found.failures}
    for at, finding in zip(due[found.rows].tolist(), found.findings, strict=True):
        if finding.score >= config.threshold:
            inside.setdefault(at, []).append(finding)
    for at, finding in second_look.look(contents.texts, config):
        if not any(_covers(one, finding) for one in inside.get(at, ())):
            inside.setdefault(at, []).append(finding)
    asked = range(len(contents.texts)) if config.secret else sorted(inside)
    texts = contents.texts.take(pa.array(asked, pa.int64())).to_pylist()
    for at, text in zip(asked, texts, strict=True):
        role, split = contents.roles[at].as_py(), contents.splits[at].as_py()
        yield Message(text, role, int(contents.row_ids[at]), inside.get(at, []), split)


def _covers(one: Finding, other: Finding) -> bool:
    """Whether `one` says what `other` says."""
    return one.entity == other.entity and one.start < other.end and other.start < one.end


class Judge:
    """What excuses a finding; rows of the window's part of `prepared/` are read when they are asked for."""

    def __init__(self, recipe: Recipe, window: Window, cuts: frozenset[str]) -> None:
        self.config = recipe.pii
        self._recipe, self._window, self._cuts = recipe, window, cuts
        self._rows: dict[int, Row] | None = None

    def row(self, row_id: int) -> Row:
        """A row as it was prepared."""
        if self._rows is None:
            self._rows = dict(_prepared(self._recipe.output, self._window, self._cuts))
        return self._rows[row_id]

    def leaks(self, message: Message) -> Iterator[str]:
        """Entities of what the message must not hold."""
        asked = [f for f in message.found if not self._is_kept(f.entity, message.role)]
        if not asked and self.config.secret is None:
            return
        row = self.row(message.row_id)
        if not message.role and len(row.messages) == 1:
            message = message._replace(role=row.messages[0]["role"])
            asked = [f for f in asked if not self._is_kept(f.entity, message.role)]
        if not asked and not row.values:
            return
        text, excuses = Folded(message.text), {f.entity: self._excuses(f.entity, message, row) for f in asked}
        for finding in asked:
            span = finding.start, finding.end
            excused = (
                any(_inside(span, text, excuse) for excuse in excuses[finding.entity])
                or _is_cut(span, message.text, row)
                or _is_joined(span, message, row)
            )
            if finding.entity == UNEXAMINED or not excused:
                yield finding.entity
        yield from self._known(text, message, row)

    def _is_kept(self, entity: str, role: str) -> bool:
        """Whether `entity` is kept in messages of `role`; where that is not known, in those of any."""
        roles = (role,) if role else ("", *ROLES)
        if entity == UNEXAMINED:  # which may hold anything
            return all(self.config.of_role(one) == "keep" for one in roles)
        return all(self.config.kind_of(entity, one) == "keep" for one in roles)

    def _excuses(self, entity: str, message: Message, row: Row) -> list[str]:
        """What a row says in which a finding of `entity` is no leak."""
        kept = [s for s in row.spans if s["kind"] == "keep" and s["entity"] == entity and not message.role]
        exempt = [] if message.role else self._exempt(entity, row)
        return [*_issued(row), *(_text_at(row, span) for span in kept), *exempt]

    def _exempt(self, entity: str, row: Row) -> list[str]:
        """What messages of exempt roles say."""
        return [m["content"] for m in row.messages if self._is_kept(entity, m["role"])]

    def _known(self, text: Folded, message: Message, row: Row) -> Iterator[str]:
        """Entities of values that were replaced in the row and stand in it all the same."""
        if self.config.secret is None or not row.values:
            return
        wanted = {(v["size"], v["digest"]): v["entity"] for v in row.values}
        entities: dict[str, str | None] = {}  # entity of each stretch that was looked up
        issued = _issued(row)
        for size in sorted({size for size, _ in wanted}):
            for start, end, value in text.wholes(size):
                if value not in entities:
                    digest = value_digest(self.config.secret, message.row_id, value)
                    entities[value] = wanted.get((size, digest))
                entity = entities[value]
                if entity is None or self._is_kept(entity, message.role):
                    continue
                excuses = [*issued, *([] if message.role else self._exempt(entity, row))]
                if not any(_inside((start, end), text, excuse) for excuse in excuses):
                    yield entity


def _issued(row: Row) -> list[str]:
    """The stand-ins of a row."""
    return [_text_at(row, span) for span in row.spans if span["kind"] != "keep"]


def _text_at(row: Row, span: dict[str, Any]) -> str:
    content: str = row.messages[span["message"]]["content"]
    return content[span["start"] : span["end"]]


def _is_cut(span: tuple[int, int], text: str, row: Row) -> bool:
    """Whether a span lies at an end of a piece of an over-long message: there, digits stand without their
    neighbours and are found as what they are not. The whole message was looked through when it was prepared.
    """
    if span[0] >= EDGE and span[1] <= len(text) - EDGE:
        return False
    return any(len(text) < len(m["content"]) and text in m["content"] for m in row.messages)


def _is_joined(span: tuple[int, int], message: Message, row: Row) -> bool:
    """Whether a span stands where a passage was cut: in what cutting gives, and with what is around it not in
    what was prepared, which was looked through.
    """
    for how in (str, _normal):
        text = how(message.text)
        if text and any(text in how(content) for content in row.cut):
            around = how(message.text[max(0, span[0] - AROUND) : span[1] + AROUND])
            return not any(around in how(m["content"]) for m in row.messages)
    return False


def _normal(text: str) -> str:
    """`text` as tokenizers that normalise may give it back: without case, accents and white space."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in letters if not c.isspace() and not unicodedata.combining(c))


def leaking(messages: Iterable[Message], judge: Judge) -> list[Leak]:
    """Every leak in the messages, in order."""
    return [
        Leak(message.split, message.row_id, entity) for message in messages for entity in judge.leaks(message)
    ]


def _inside(span: tuple[int, int], text: Folded, excuse: str) -> bool:
    """Whether a span of `text` lies in `excuse` where that stands in it, or `text` is a piece of that."""
    start, end = span
    at = text.text.find(excuse) if excuse else -1
    while at >= 0:
        if at <= start and end <= at + len(excuse):
            return True
        at = text.text.find(excuse, at + 1)
    value = folded(excuse)  # a tokenizer that normalises gives other letters back
    if not value or folded(text.text[start:end]) not in value:
        return False
    if text.letters in value:
        return True
    edges = [at for at in range(start, end) if text.text[at].isalnum()] or [start]
    return any(a <= edges[0] and edges[-1] < b for a, b in text.find(value))


def _prepared(run: str, window: Window, cuts: frozenset[str]) -> Iterator[tuple[int, Row]]:
    shorter = dict(_shorter(run, window, cuts))
    columns = ["row_id", "messages", "spans", "values"]
    for path, xxh3 in window.parts:
        table = outputs.read(run, path, xxh3, columns)
        for row in table.to_pylist():
            parts = row["messages"] or [], row["spans"] or [], row["values"] or []
            yield row["row_id"], Row(*parts, shorter.get(row["row_id"], ()))


def _shorter(run: str, window: Window, cuts: frozenset[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Contents of the rows that passages are cut from, without them."""
    for unit in sorted(cuts.intersection(window.units)):
        cut = pack_worker.read_cuts(run, [unit])
        path = storage.join(run, f"prepared/part-{unit}.parquet")
        table = storage.read_table(path, columns=["row_id", "messages"])
        table = prepare_worker.unmarked(table.filter(pc.is_in(table["row_id"], cut["row_id"])))
        for row in passages.cut(table, cut).table.select(["row_id", "messages"]).to_pylist():
            yield row["row_id"], tuple(message["content"] for message in row["messages"] or ())


def note(leaks: Iterable[dict[str, Any]]) -> str:
    """Leaks in words: how many of what, where, and in which rows."""
    lines = []
    for leak in leaks:
        rows = ", ".join(str(row) for row in leak["rows"][:3])
        more = ", ..." if len(leak["rows"]) > 3 else ""
        lines.append(f"{leak['n']} {leak['entity']} in {leak['split']} (rows {rows}{more})")
    return "; ".join(lines)
