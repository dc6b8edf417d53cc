"""Which rows may be over-long, and where one is cut: never inside a value that PII found, be it kept or a
stand-in.

Half a tag teaches a model to write half tags, and half a number is another one. A place is moved ahead of a
value that would stand on both sides of it, and of digits; only what is as long as a whole sample is cut.

Cost: a few decodings of some dozen tokens a cut; more where a value is long.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from headrace.pipelines import arrays
from headrace.pipelines.schema import REJECTED
from headrace.pipelines.stages.pii.masking.values import folded
from headrace.pipelines.stages.tokenise import conversations
from headrace.pipelines.stages.tokenise.config import Config
from headrace.pipelines.stages.tokenise.programs import Ints
from headrace.pipelines.stages.tokenise.reasoning import style
from headrace.pipelines.stages.tokenise.template import Refusal, Shape
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer

Decode = Callable[[Sequence[int]], str]
UNTOLD = 1 << 40  # tokens, as many as no row has
NUMBER = 32  # tokens by which a place is moved for digits' sake


def at_most(table: pa.Table, config: Config, tokenizer: Tokenizer) -> Ints:
    """Most tokens that each row comes out with, ``int64[N]``, told without encoding it: a token is a byte or
    more. `UNTOLD` where a row is rendered by itself, or becomes several conversations.
    """
    template = tokenizer.template
    if template is None or template.sees_anything or tokenizer.earlier == "by_turn":
        return np.full(table.num_rows, UNTOLD)
    styled, _ = style.apply(table, config.reasoning, tokenizer.facts)
    messages, first = conversations.read(styled, tokenizer)
    shapes, of_row = conversations.shapes_of(messages, first, np.arange(first[-1]))
    own = np.array([_written(shape, tokenizer) for shape in shapes], np.int64)
    before = arrays.offsets(messages.stop - messages.start)[messages.first][first]
    most: Ints = np.minimum(np.diff(before) + own[of_row], UNTOLD)
    return most


def _written(shape: Shape, tokenizer: Tokenizer) -> int:
    """Most tokens of what the template writes around the contents of a shape."""
    if any(role == REJECTED for role, _ in shape):
        return UNTOLD
    try:
        program = conversations.program_of(shape, tokenizer)
    except Refusal:
        return 0  # no sample comes of it
    slots = [part.slot for part in program.parts if part.slot >= 0] if program else []
    if program is None or len(set(slots)) < len(slots):
        return UNTOLD
    return len(program.operations) + sum(len(part.text.encode()) for part in program.parts)


def values(table: pa.Table, rows: Ints) -> dict[int, list[str]]:
    """Values and stand-ins in each of the `rows`, as ``spans`` tell them."""
    values_of: dict[int, list[str]] = {row: [] for row in rows.tolist()}
    if "spans" not in table.column_names or not values_of:
        return values_of
    chosen = table.select(["messages", "spans"]).take(pa.array(rows)).to_pylist()
    for row, one in zip(rows.tolist(), chosen, strict=True):
        texts = {one["messages"][s["message"]]["content"][s["start"] : s["end"]] for s in one["spans"] or ()}
        values_of[row] = sorted(texts - {""})
    return values_of


def stretches(ids: Sequence[int], limit: int, values: Sequence[str], decode: Decode) -> list[tuple[int, int]]:
    """Consecutive stretches of at most `limit` tokens that cover `ids` and cut none of the `values`."""
    cuts, start = [], 0
    while start < len(ids):
        stop = min(start + limit, len(ids))
        if stop < len(ids):
            stop = _last_cut(ids, start, stop, values, decode)
        cuts.append((start, stop))
        start = stop
    return cuts


def _last_cut(ids: Sequence[int], start: int, stop: int, values: Sequence[str], decode: Decode) -> int:
    """The last cut up to `stop` that no value stands across, nor digits; `stop` where there is none."""
    reach = max([NUMBER, *(len(value.encode()) for value in values)])
    around = max(start, stop - reach), min(len(ids), stop + reach)
    whole = decode(ids[around[0] : around[1]])
    near = [(value, whole.count(value)) for value in values if value in whole]
    letters = folded(whole)  # of tokenizers that give other characters back
    near += [(v, letters.count(v)) for v in map(folded, values) if v and v in letters]
    for cut in range(stop, start, -1):
        left, right = decode(ids[around[0] : cut]), decode(ids[cut : around[1]])
        if stop - cut < NUMBER and left[-1:].isdigit() and right[:1].isdigit():
            continue
        parts = left, right, folded(left), folded(right)
        if all(count <= max(_count(value, parts[:2]), _count(value, parts[2:])) for value, count in near):
            return cut
        if cut <= around[0] + 1:
            break
    return stop


def _count(value: str, parts: Sequence[str]) -> int:
    return sum(part.count(value) for part in parts)
