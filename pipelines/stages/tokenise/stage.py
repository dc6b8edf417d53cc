"""Rows into samples: token ids, and labels where there is something to learn.

A conversation goes through its model's chat template, cut into constants once a shape (see `template`), so
that a batch is one call of the encoder and a few jitted loops. What carries loss: of an assistant's turn
everything after the generation prompt, with the token that ends the turn and not the role header; of a
`loss: last` source the last such turn alone; of a `loss: all` source the contents of every message with the
token that ends each; of a plain text (role `text`, no template) every token but the tokenizer's own start
token. A token belongs to where its first byte lies. Strings of special tokens in contents are ordinary
text.

A row with a chosen and a rejected answer gives two samples, one behind the other (see `pairs`).

Drops: `tokenise.no_target` (nothing to learn), `tokenise.only_calls` (calls that the chat template has no
form for, and no other answer), `tokenise.too_long` (by policy, or no exchange of it fits), and those of
`pairs`. Quarantine: `tokenise.error` (the template refuses the conversation; `detail` says how).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema
from headrace.pipelines.stages.tokenise import conversations, overlong, pairs, programs
from headrace.pipelines.stages.tokenise.config import Config as Config
from headrace.pipelines.stages.tokenise.conversations import Encoded, Messages
from headrace.pipelines.stages.tokenise.programs import Ints
from headrace.pipelines.stages.tokenise.proof import Proof
from headrace.pipelines.stages.tokenise.reasoning import by_turn, style
from headrace.pipelines.stages.tokenise.reasoning.by_turn import Units
from headrace.pipelines.stages.tokenise.template import ALL, ASSISTANT
from headrace.pipelines.stages.tokenise.tokenizer import COUNTS, Tokenizer, load

NAME = "tokenise"
VERSION = 8
NOT_IN_KEY = {"template"}  # the tokenizer's fingerprint holds what is in it
SLICE = 2**23  # bytes
SET = ("drop", "error", "detail", "shortened", "changed")  # columns that `apply` adds or changes
PREFERRED = "preferred"  # int8, a column of samples where there are pairs: 1 chosen, -1 rejected, 0 neither
RANK = 32  # bits of a place within one unit of a row

SAMPLES = pa.schema(
    [
        pa.field("row_id", pa.uint64()),
        pa.field("piece", pa.uint32()),  # 0, 1, ... of a row that was split
        pa.field("input_ids", pa.list_(pa.int32())),
        pa.field("labels", pa.list_(pa.int32())),  # -100: no loss
    ]
)


def tokenizer(name: str | None, config: Config, proof: Proof | None = None) -> Tokenizer:
    """The tokenizer of a recipe (`name` as in `model`), built once a process; as `proof` has it for a run.

    Raises: ModelError.
    """
    engine, checked = (config.engine, False) if proof is None else (proof.engine, proof.checked)
    of_recipe = (config.reasoning.earlier, config.variables, config.template)
    return load(name, engine, config.add_eos, checked, *of_recipe)


def warm() -> None:
    """Compile what `apply` and `pack.apply` run, or load it from Numba's cache."""
    message = {"role": "text", "content": "warm"}
    row = {"row_id": 0, "n_records": 1, "source": "", "file": "", "place": "", "messages": [message]}
    apply(schema.from_rows([row]), Config(), tokenizer(None, Config()), {})
    programs.warm()


def apply(
    table: pa.Table, config: Config, tokenizer: Tokenizer, loss: dict[str, str]
) -> tuple[pa.Table, pa.Table]:
    """Mark the rows that give no sample, and give the samples of the others.

    `loss` says of each source "assistant", "last" or "all" (default "assistant"). Returns the table, of the
    same length and with a column `shortened` (bool: a part of the row was too long and is in no
    sample), and samples (schema `SAMPLES`) in the order of rows and, within a row, of pieces.

    Raises: ModelError where conversations meet a tokenizer without a chat template.
    """
    n = table.num_rows
    rows = np.flatnonzero(schema.live(table).to_numpy(zero_copy_only=False))
    given = pairs.parted(table if len(rows) == n else table.take(pa.array(rows)))
    part, owner = given.table, given.owner
    styled, changes = style.apply(part, config.reasoning, tokenizer.facts)
    messages, first = conversations.read(styled, tokenizer)
    units = by_turn.units(messages, first, tokenizer)
    if given.preferred.any():
        units = by_turn.last_turns(units, messages, given.preferred != 0, tokenizer)
    said = _of_sources(part, loss)
    unlearned, earlier = messages.unlearned, _earlier(messages, first, said == "last")
    units = by_turn.without(units, unlearned | earlier)
    whole = _encoded(messages, units, tokenizer)
    strays = np.isin(owner[units.row], given.strays)
    whole.stop[strays] = whole.start[strays]
    whole, gone = pairs.settled(whole, given, config.max_length, len(rows))
    cuts = _Cuts()
    lost = given.any(_policy(cuts, part, messages, units, whole, config, tokenizer), len(rows))
    everything = (said == "all") & (given.preferred == 0)
    modes = np.where(everything, ALL, ASSISTANT).astype(np.uint8)
    index, samples = cuts.gather(modes)
    none = np.ones(len(rows), np.bool_)
    none[owner[index]] = False
    refusals = {**dict.fromkeys(given.strays.tolist(), pairs.STRAY)}
    refusals |= {int(owner[at]): text for at, text in whole.refusals.items()}
    none[list(refusals)] = False
    table = table.append_column("shortened", pa.array(arrays.spread(lost, rows, n)))
    for reason, of_rows in gone.items():
        table = schema.mark_where(table, arrays.spread(of_rows, rows, n), reason)
    long = none & lost & (config.overlong != "truncate")  # a row cut off has no target in what is left
    table = schema.mark_where(table, arrays.spread(long, rows, n), "tokenise.too_long")
    counts = {kind: whole.counts[: len(owner), at] for at, kind in enumerate(COUNTS)} | changes
    counts["unlearned"] = np.diff(arrays.offsets(unlearned)[first])
    counts["earlier"] = np.diff(arrays.offsets(earlier & ~unlearned)[first])
    counts = {kind: given.summed(of, len(rows)) for kind, of in counts.items()}
    calls = none & ~long & (counts["calls_lost"] > 0)
    table = schema.mark_where(table, arrays.spread(calls, rows, n), "tokenise.only_calls")
    table = schema.mark_where(table, arrays.spread(none & ~long & ~calls, rows, n), "tokenise.no_target")
    if refusals:
        causes: list[str | None] = [None] * n
        for row, text in refusals.items():
            causes[int(rows[row])] = text
        table = schema.quarantine(table, causes, "tokenise.error")
    table = schema.changed(table, NAME, {k: arrays.spread(of, rows, n) for k, of in counts.items()})
    return table, _samples(part, given.preferred, index, samples)


def by_slices(
    table: pa.Table, config: Config, tokenizer: Tokenizer, loss: dict[str, str]
) -> tuple[pa.Table, pa.Table]:
    """What `apply` gives, of about `SLICE` bytes of rows at a time: tokenising holds ten times what it reads.

    Raises: as `apply`.
    """
    rows = max(1, table.num_rows * SLICE // max(table.nbytes, 1))
    firsts = range(0, max(table.num_rows, 1), rows)
    done = [apply(table.slice(first, rows), config, tokenizer, loss) for first in firsts]
    marked, samples = zip(*done, strict=True)
    every = pa.concat_tables(samples, promote_options="default")
    if PREFERRED in every.column_names:  # slices without pairs do not have it
        place = every.schema.get_field_index(PREFERRED)
        every = every.set_column(place, PREFERRED, pc.fill_null(every[PREFERRED], 0))
    return _marked(table, marked), every.combine_chunks()


def _marked(table: pa.Table, slices: Sequence[pa.Table]) -> pa.Table:
    """`table` with what `apply` has set in its slices: the texts stay where they are."""
    own = [one.select([name for name in one.column_names if name in SET]) for one in slices]
    joined = pa.concat_tables(own, promote_options="default").combine_chunks()  # `changed` where any is
    for name in joined.column_names:
        at = table.schema.get_field_index(name)
        field, column = joined.schema.field(name), joined[name]
        table = table.append_column(field, column) if at < 0 else table.set_column(at, field, column)
    return table.combine_chunks()


def _samples(part: pa.Table, preferred: NDArray[np.int8], index: Ints, samples: list[pa.Array]) -> pa.Table:
    """Samples (schema `SAMPLES`) of the rows `index`; with a column `PREFERRED` where some are of pairs."""
    ids = part["row_id"].combine_chunks().take(pa.array(index))
    made = pa.Table.from_arrays([ids.cast(pa.uint64()), *samples], schema=SAMPLES)
    of_samples = preferred[index]
    if not of_samples.any():
        return made
    piece = np.where(of_samples < 0, 1, made["piece"].to_numpy()).astype(np.uint32)
    made = made.set_column(1, SAMPLES.field("piece"), pa.array(piece))
    return made.append_column(PREFERRED, pa.array(of_samples))


def _encoded(messages: Messages, units: Units, tokenizer: Tokenizer) -> Encoded:
    """The units, with loss on what each teaches; of a row with several, refusals and counts are those of
    all.
    """
    encoded = conversations.encode(messages, units.first, units.chosen, tokenizer, units.apart)
    if units.taught is None:
        return encoded
    encoded = by_turn.silenced(encoded, units.first, units.taught)
    refusals = {int(units.row[unit]): text for unit, text in encoded.refusals.items()}
    for row, counted in units.counts.items():
        encoded.counts[row, : len(counted)] = counted
    of_refused = np.isin(units.row, list(refusals))
    encoded.stop[of_refused] = encoded.start[of_refused]
    return replace(encoded, refusals=refusals)


def _of_sources(table: pa.Table, loss: dict[str, str]) -> NDArray[np.str_]:
    """What each row's source says of the loss, ``str[N]``."""
    sources = table["source"].combine_chunks().dictionary_encode()
    said = np.array([loss.get(name, "assistant") for name in sources.dictionary.to_pylist()], np.str_)
    of_rows: NDArray[np.str_] = said[sources.indices.to_numpy(zero_copy_only=False)]
    return of_rows


def _earlier(messages: Messages, first: Ints, last: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which messages are an assistant's before the last one of a row that is `last`, ``bool[M]``.

    first int64[N + 1]: the first message of each row; last ``bool[N]``.
    """
    spoken = np.flatnonzero(messages.assistants)
    owner = np.searchsorted(first, spoken, side="right") - 1
    followed = np.append(owner[1:] == owner[:-1], False)[: len(spoken)]
    found = np.zeros(first[-1], np.bool_)
    found[spoken[followed & last[owner]]] = True
    return found


class _Cuts:
    """Samples as stretches of encoded conversations, gathered at the end."""

    def __init__(self) -> None:
        self._buffers: list[Encoded] = []
        self._columns: list[Ints] = []  # int64[4, n] each: row, order within the row, start, stop
        self._before = 0

    def add(self, encoded: Encoded, row: Ints, order: Ints, start: Ints, stop: Ints) -> None:
        """Stretches ``ids[start:stop]`` of `encoded`, one a sample."""
        if not self._buffers or self._buffers[-1] is not encoded:
            self._before += len(self._buffers[-1].ids) if self._buffers else 0
            self._buffers.append(encoded)
        self._columns.append(
            np.stack([row, order, start + self._before, stop + self._before]).astype(np.int64)
        )

    def gather(self, modes: NDArray[np.uint8]) -> tuple[Ints, list[pa.Array]]:
        """Row of each sample with a target, and its piece, ids and labels; `modes` uint8[rows]."""
        row, order, start, stop = np.concatenate(self._columns, axis=1)
        sort = np.lexsort((order, row))
        row, start, stop = row[sort], start[sort], stop[sort]
        offsets = arrays.offsets(stop - start)
        ids, loss = self._buffers[0].ids, self._buffers[0].loss
        if len(self._buffers) > 1:
            ids = np.concatenate([b.ids for b in self._buffers])
            loss = np.concatenate([b.loss for b in self._buffers])
        tokens, labels, targets = programs.gather(ids, loss, modes[row], start, offsets)
        index = row[targets > 0]
        new = np.diff(index, prepend=-1) != 0
        piece = np.arange(len(index)) - np.maximum.accumulate(np.where(new, np.arange(len(index)), 0))
        lists = [
            pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(v)) for v in (tokens, labels)
        ]
        if len(index) < len(row):
            lists = [values.filter(pa.array(targets > 0)) for values in lists]
        return index, [pa.array(piece, pa.uint32()), *lists]


def _policy(
    cuts: _Cuts,
    table: pa.Table,
    messages: Messages,
    units: Units,
    whole: Encoded,
    config: Config,
    tokenizer: Tokenizer,
) -> NDArray[np.bool_]:
    """Add the samples of all rows of `table` to `cuts`; returns which rows lost something to their length."""
    size = whole.stop - whole.start
    long = size > config.max_length
    short = np.flatnonzero(~long & (size > 0))
    cuts.add(whole, units.row[short], units.rank[short] << RANK, whole.start[short], whole.stop[short])
    lost = np.zeros(table.num_rows, np.bool_)
    over = np.flatnonzero(long)
    if config.overlong != "split":
        lost[units.row[over]] = True
    if config.overlong == "drop" or not len(over):
        return lost
    text = messages.codes[units.chosen[units.first[over]]] == schema.ROLES.index("text")
    cut = over if config.overlong == "truncate" else over[text]
    values = overlong.values(table, np.unique(units.row[cut]))
    for unit in cut.tolist():
        _cut_between(cuts, unit, values[int(units.row[unit])], units, whole, config, tokenizer)
    if config.overlong == "split":
        over = over[~text]
        lost[_split_conversations(cuts, over, messages, units, whole, config.max_length, tokenizer)] = True
    return lost


def _cut_between(
    cuts: _Cuts,
    unit: int,
    values: list[str],
    units: Units,
    whole: Encoded,
    config: Config,
    tokenizer: Tokenizer,
) -> None:
    """One unit cut between the values in it: its first stretch, or all where texts are split."""
    begin = int(whole.start[unit])
    ids = whole.ids[begin : int(whole.stop[unit])].tolist()
    found = np.array(overlong.stretches(ids, config.max_length, values, tokenizer.decode), np.int64)
    found = found[:1] if config.overlong == "truncate" else found
    order = (units.rank[unit] << RANK) + np.arange(len(found))
    cuts.add(whole, np.full_like(order, units.row[unit]), order, begin + found[:, 0], begin + found[:, 1])


Stretch = tuple[int, list[int], list[list[int]]]  # unit, messages of the system turn, exchanges


def _split_conversations(
    cuts: _Cuts,
    over: Ints,
    messages: Messages,
    units: Units,
    whole: Encoded,
    limit: int,
    tokenizer: Tokenizer,
) -> list[int]:
    """Conversations between exchanges, each piece a conversation of its own led by the system turn.

    As many exchanges as their tokens in the whole say will fit; a piece that comes out too long after
    all (its template looks back) is halved. Where the last answer alone is learned there is one piece, with
    as many exchanges before it as fit. Returns the rows that lost an exchange with something to learn, or one
    before it. A Python loop, over over-long units alone: 10 to 60 us a piece.
    """
    waiting, lost = _parted(over, messages, units, whole, limit)
    while waiting:
        lists = [[*head, *(m for exchange in exchanges for m in exchange)] for _, head, exchanges in waiting]
        ends = arrays.offsets([len(one) for one in lists])
        flat = np.concatenate(lists).astype(np.int64)
        of = np.array([w[0] for w in waiting])
        apart = np.flatnonzero(np.isin(of, list(units.apart))).tolist()
        encoded = conversations.encode(messages, ends, flat, tokenizer, apart)
        taught = units.taught_in(np.repeat(of, np.diff(ends)), flat)
        encoded = by_turn.silenced(encoded, ends, taught)
        size = encoded.stop - encoded.start
        good = np.flatnonzero((size > 0) & (size <= limit))
        order = (units.rank[of] << RANK) + np.array([w[2][0][0] for w in waiting])
        cuts.add(encoded, units.row[of[good]], order[good], encoded.start[good], encoded.stop[good])
        again: list[Stretch] = []
        for one in np.flatnonzero((size == 0) | (size > limit)):
            unit, head, exchanges = waiting[one]
            half = len(exchanges) // 2
            if not half and (taught is None or taught[ends[one] : ends[one + 1]].any()):
                lost.append(int(units.row[unit]))
            again += [(unit, head, part) for part in (exchanges[:half], exchanges[half:]) if half]
        waiting = again
    return lost


def _parted(
    over: Ints, messages: Messages, units: Units, whole: Encoded, limit: int
) -> tuple[list[Stretch], list[int]]:
    """Stretches of over-long units, by the tokens of their turns; and rows of which a part is in none."""
    lost: list[int] = []
    roles = np.array([role for role, _ in messages.classes])
    waiting: list[Stretch] = []
    for unit in over.tolist():
        mine = slice(units.first[unit], units.first[unit + 1])
        of_unit = roles[messages.codes[units.chosen[mine]]]
        shift = int(units.chosen[mine.start])
        last = _last_alone(of_unit == "assistant", units.taught[mine] if units.taught is not None else None)
        found = _stretches(unit, of_unit, whole.turns[mine].tolist(), shift, limit, last=last)
        if last and len(found[0][1]) + sum(map(len, found[0][2])) < len(of_unit):
            lost.append(int(units.row[unit]))
        waiting += found
    return waiting, lost


def _last_alone(answers: NDArray[np.bool_], taught: NDArray[np.bool_] | None) -> bool:
    """Whether of a conversation's turns, which are `answers` and carry loss where `taught`, the last answer
    alone is learned."""
    spoken = np.flatnonzero(answers)
    return taught is not None and len(spoken) > 1 and bool(taught[spoken[-1]] and taught[spoken].sum() == 1)


def _stretches(
    unit: int, roles: NDArray[np.str_], turns: list[int], shift: int, limit: int, *, last: bool
) -> list[Stretch]:
    """Exchanges of one conversation (`turns`: tokens of each turn), as many together as fit; last: only those
    at its end."""
    body = int(np.argmax(roles != "system")) if (roles != "system").any() else 0
    head = list(range(shift, shift + body))
    exchanges: list[list[int]] = []
    for at in range(body, len(roles)):
        if at == body or (roles[at] == "user" and roles[at - 1] != "user"):
            exchanges.append([])
        exchanges[-1].append(shift + at)
    stretches: list[Stretch] = []
    room = 0
    for exchange in exchanges[::-1] if last else exchanges:
        size = sum(turns[m - shift] for m in exchange)
        if last and stretches and size > room:
            break
        if not stretches or size > room:
            stretches.append((unit, head, []))
            room = limit - sum(turns[:body])
        stretches[-1][2].append(exchange)
        room -= size
    return [(unit, head, found[::-1]) for _, _, found in stretches] if last else stretches
