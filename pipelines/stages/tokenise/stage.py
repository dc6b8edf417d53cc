"""Rows into samples: token ids, and labels where there is something to learn.

A conversation goes through its model's chat template, cut into constants once a shape (see
`template`), so that a batch is one call of the encoder and a few jitted loops. What carries
loss: of an assistant's turn everything after the generation prompt, with the token that ends the turn
and not the role header; of a `loss: all` source the contents of every message with the token that
ends each; of a plain text (role `text`, no template) every token but the tokenizer's own start token.
A token belongs to where its first byte lies. Strings of special tokens in contents are ordinary text.

Drops: `tokenise.no_target` (nothing to learn), `tokenise.too_long` (by policy, or no exchange of it
fits). Quarantine: `tokenise.error` (the template refuses the conversation; `detail` says how).

Cost: 35 to 75 MB/s a core, most of it the encoder's and two copies of the text.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.pipelines import arrays, schema
from headrace.pipelines.stages.tokenise import conversations, overlong, programs
from headrace.pipelines.stages.tokenise.config import Config as Config
from headrace.pipelines.stages.tokenise.conversations import Encoded, Messages
from headrace.pipelines.stages.tokenise.programs import Ints
from headrace.pipelines.stages.tokenise.proof import Proof
from headrace.pipelines.stages.tokenise.template import ALL, ASSISTANT
from headrace.pipelines.stages.tokenise.tokenizer import COUNTS, Tokenizer, load

NAME = "tokenise"
VERSION = 5

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
    return load(name, engine, config.add_eos, checked, config.reasoning == "keep", config.variables)


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

    `loss` says of each source "assistant" or "all" (default "assistant"). Returns the table, of the
    same length and with a column `shortened` (bool: a part of the row was too long and is in no
    sample), and samples (schema `SAMPLES`) in the order of rows and, within a row, of pieces.

    Raises: ModelError where conversations meet a tokenizer without a chat template.
    """
    n = table.num_rows
    rows = np.flatnonzero(schema.live(table).to_numpy(zero_copy_only=False))
    part = table if len(rows) == n else table.take(pa.array(rows))
    messages, first = conversations.read(part, tokenizer)
    whole = conversations.encode(messages, first, np.arange(first[-1]), tokenizer)
    cuts = _Cuts()
    lost = _policy(cuts, part, messages, first, whole, config, tokenizer)
    index, samples = cuts.gather(_modes(part, loss))
    none = np.ones(part.num_rows, np.bool_)
    none[index] = False
    none[list(whole.refusals)] = False
    table = table.append_column("shortened", pa.array(arrays.spread(lost, rows, n)))
    long = none & lost & (config.overlong != "truncate")  # a row cut off has no target in what is left
    table = schema.mark_where(table, arrays.spread(long, rows, n), "tokenise.too_long")
    table = schema.mark_where(table, arrays.spread(none & ~long, rows, n), "tokenise.no_target")
    if whole.refusals:
        causes: list[str | None] = [None] * n
        for row, text in whole.refusals.items():
            causes[int(rows[row])] = text
        table = schema.quarantine(table, causes, "tokenise.error")
    counts = {kind: arrays.spread(whole.counts[:, at], rows, n) for at, kind in enumerate(COUNTS)}
    table = schema.changed(table, NAME, counts)
    ids = part["row_id"].combine_chunks().take(pa.array(index))
    return table, pa.Table.from_arrays([ids.cast(pa.uint64()), *samples], schema=SAMPLES)


def _modes(table: pa.Table, loss: dict[str, str]) -> NDArray[np.uint8]:
    """Which loss bit counts in each row, ``uint8[N]``."""
    sources = table["source"].combine_chunks().dictionary_encode()
    bits = [ALL if loss.get(name) == "all" else ASSISTANT for name in sources.dictionary.to_pylist()]
    modes: NDArray[np.uint8] = np.array(bits, np.uint8)[sources.indices.to_numpy(zero_copy_only=False)]
    return modes


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
    first: Ints,
    whole: Encoded,
    config: Config,
    tokenizer: Tokenizer,
) -> NDArray[np.bool_]:
    """Add the samples of all rows of `table` to `cuts`; returns which rows lost something to their length."""
    size = whole.stop - whole.start
    long = size > config.max_length
    rows = np.flatnonzero(~long & (size > 0))
    cuts.add(whole, rows, np.zeros_like(rows), whole.start[rows], whole.stop[rows])
    if config.overlong == "drop":
        return long
    rows = np.flatnonzero(long)
    text = messages.codes[first[rows]] == schema.ROLES.index("text")
    cut = rows if config.overlong == "truncate" else rows[text]
    for row, values in overlong.values(table, cut).items():
        _cut_between(cuts, row, values, whole, config, tokenizer)
    if config.overlong == "truncate":
        return long
    return _split_conversations(cuts, rows[~text], messages, first, whole, config.max_length, tokenizer)


def _cut_between(
    cuts: _Cuts, row: int, values: list[str], whole: Encoded, config: Config, tokenizer: Tokenizer
) -> None:
    """One row cut between the values in it: its first stretch, or all where texts are split."""
    begin = int(whole.start[row])
    ids = whole.ids[begin : int(whole.stop[row])].tolist()
    cuts_of_row = np.array(overlong.stretches(ids, config.max_length, values, tokenizer.decode), np.int64)
    cuts_of_row = cuts_of_row[:1] if config.overlong == "truncate" else cuts_of_row
    order = np.arange(len(cuts_of_row))
    cuts.add(whole, np.full_like(order, row), order, begin + cuts_of_row[:, 0], begin + cuts_of_row[:, 1])


Stretch = tuple[int, list[int], list[list[int]]]  # row, messages of the system turn, exchanges


def _split_conversations(
    cuts: _Cuts,
    rows: Ints,
    messages: Messages,
    first: Ints,
    whole: Encoded,
    limit: int,
    tokenizer: Tokenizer,
) -> NDArray[np.bool_]:
    """Conversations between exchanges, each piece a conversation of its own led by the system turn.

    As many exchanges as their tokens in the whole say will fit; a piece that comes out too long after
    all (its template looks back) is halved. Returns the rows that lost an exchange, ``bool[N]``. A
    Python loop, over over-long rows alone: 10 to 60 us a piece.
    """
    lost = np.zeros(len(whole.start), np.bool_)
    roles = np.array([role for role, _ in messages.classes])
    waiting: list[Stretch] = []
    for row in rows.tolist():
        mine = slice(first[row], first[row + 1])
        waiting += _stretches(
            row, roles[messages.codes[mine]], whole.turns[mine].tolist(), int(first[row]), limit
        )
    while waiting:
        lists = [[*head, *(m for exchange in exchanges for m in exchange)] for _, head, exchanges in waiting]
        ends = arrays.offsets([len(one) for one in lists])
        encoded = conversations.encode(messages, ends, np.concatenate(lists).astype(np.int64), tokenizer)
        size = encoded.stop - encoded.start
        good = np.flatnonzero((size > 0) & (size <= limit))
        row = np.array([w[0] for w in waiting])[good]
        order = np.array([w[2][0][0] for w in waiting])[good]
        cuts.add(encoded, row, order, encoded.start[good], encoded.stop[good])
        again: list[Stretch] = []
        for one in np.flatnonzero((size == 0) | (size > limit)):
            number, head, exchanges = waiting[one]
            half = len(exchanges) // 2
            lost[number] |= half == 0
            again += [(number, head, part) for part in (exchanges[:half], exchanges[half:]) if half]
        waiting = again
    return lost


def _stretches(row: int, roles: NDArray[np.str_], turns: list[int], shift: int, limit: int) -> list[Stretch]:
    """Exchanges of one conversation (`turns`: tokens of each turn), as many together as fit."""
    body = int(np.argmax(roles != "system")) if (roles != "system").any() else 0
    head = list(range(shift, shift + body))
    exchanges: list[list[int]] = []
    for at in range(body, len(roles)):
        if at == body or (roles[at] == "user" and roles[at - 1] != "user"):
            exchanges.append([])
        exchanges[-1].append(shift + at)
    stretches: list[Stretch] = []
    room = 0
    for exchange in exchanges:
        size = sum(turns[m - shift] for m in exchange)
        if not stretches or size > room:
            stretches.append((row, head, []))
            room = limit - sum(turns[:body])
        stretches[-1][2].append(exchange)
        room -= size
    return stretches
