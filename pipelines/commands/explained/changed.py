"""What cleaning and a recipe's own steps made of one row: its text before and after, masked.

Nothing stores what a row was: its fragment is read again and the row taken through the stages again, in this
process. A file that is gone, or another than the run has read, shows nothing; nor do the rows of a source
with `group_by`, whose records lie all over it.

What is shown is masked twice over. Both texts are looked through for personal data; and where a change
touches what is masked in either, all of that change is withheld: a value that a broken character hid from the
scanner before it was mended is shown on neither side.

Cost: reads one fragment, up to the row.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.cluster.errors import HeadraceError
from headrace.cluster.fragments import Fragment
from headrace.pipelines import schema, stored
from headrace.pipelines.commands.duplicates import marked
from headrace.pipelines.console import Line
from headrace.pipelines.passes import prepare_worker
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.report.pairs import COMPARED, TOKENS, Piece, shortened
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.read import rows as read_rows

MASKED = "<masked>"
REWRITERS = ("clean", "steps")  # what else comes before masking changes no text, and may load models


def lines(recipe: Recipe, fragment: Fragment, row_id: int, stages: Sequence[str]) -> Iterator[Line]:
    """For each of `stages` (their names, before masking) that changed the row: both texts."""
    if fragment.kind == "grouped":
        yield Line("  what it was before is not shown: its records lie all over its source (group_by)")
        return
    try:
        row = _row(recipe, fragment, row_id)
        states = list(_states(recipe, row, stages)) if row is not None else []
    except (HeadraceError, FileNotFoundError):
        row, states = None, []
    if row is None:
        yield Line("  what it was before is not shown: its file, or that of a step, is gone or another now")
        return
    for stage, before, after in states:
        left, right = _shown(before, after, recipe)
        texts = [marked(left, "[-", "-]"), marked(right, "{+", "+}")]
        fields = {"changed_by": stage, "before": texts[0], "after": texts[1]}
        yield Line(f"  {stage}, before: {texts[0]}\n  {stage}, after: {texts[1]}", fields)


def _row(recipe: Recipe, fragment: Fragment, row_id: int) -> pa.Table | None:
    source = next((s for s in recipe.sources if s.name == fragment.source), None)
    if source is None:
        return None
    tables = read_rows.read(fragment, source, fragment_size=recipe.fragment_size, seed=recipe.seed)
    for table in tables:
        row = table.filter(pc.equal(table["row_id"], pa.scalar(row_id, pa.uint64())))
        if row.num_rows:
            return row.select(schema.ROW.names).combine_chunks()
    return None


def _states(recipe: Recipe, row: pa.Table, stages: Sequence[str]) -> Iterator[tuple[str, pa.Table, pa.Table]]:
    """Stage, the row before and the row after it, of the stages that changed its text."""
    names = [f"headrace.pipelines.stages.{name}.stage" for name in stages]
    for stage, config in prepare_worker.placed(names, recipe):
        if stage.NAME not in REWRITERS:
            continue
        after = prepare_worker.isolated(stage, row, config)
        if not after["messages"].equals(row["messages"]):
            yield stage.NAME, row, after
        row = after


def _shown(before: pa.Table, after: pa.Table, recipe: Recipe) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts in pieces, as `pairs.differences` has them, without what is masked in either."""
    sides = [_tokens(table) for table in (before, after)]
    secret = [_secret(table, tokens, recipe) for table, tokens in zip((before, after), sides, strict=True)]
    changes = SequenceMatcher(None, sides[0], sides[1], autojunk=False).get_opcodes()
    for kind, i, j, k, m in changes:
        if kind == "equal":
            both = secret[0][i:j] | secret[1][k:m]
            secret[0][i:j] = secret[1][k:m] = both
    for kind, i, j, k, m in changes:
        if kind != "equal" and (
            secret[0][max(i - 1, 0) : j + 1].any() or secret[1][max(k - 1, 0) : m + 1].any()
        ):
            secret[0][i:j] = secret[1][k:m] = True
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    for kind, i, j, k, m in changes:
        name = "same" if kind == "equal" else "changed"
        for side, (start, stop) in enumerate(((i, j), (k, m))):
            pieces[side].extend(_pieces(name, sides[side][start:stop], secret[side][start:stop]))
    return tuple(shortened(pieces[0])), tuple(shortened(pieces[1]))


def _tokens(table: pa.Table) -> list[str]:
    return TOKENS.findall(_text(table)[:COMPARED])


def _text(table: pa.Table) -> str:
    return stored.as_text(table["messages"][0].as_py())


def _secret(table: pa.Table, tokens: list[str], recipe: Recipe) -> NDArray[np.bool_]:
    """Which tokens are other ones once the row is masked: ``bool[N]``; all, where it cannot be."""
    config = recipe.pii.model_copy(update={"enabled": True, "kind": "tag", "kinds": {}, "roles": {}})
    masked = pii.apply(table.select(schema.ROW.names).combine_chunks(), config)
    secret = np.ones(len(tokens), np.bool_)
    if schema.live(masked)[0].as_py():
        for kind, i, j, *_ in SequenceMatcher(None, tokens, _tokens(masked), autojunk=False).get_opcodes():
            secret[i:j] = kind != "equal"
    return secret


def _pieces(name: str, tokens: list[str], secret: NDArray[np.bool_]) -> Iterator[Piece]:
    """Tokens as pieces, secret ones as a mark, characters that a terminal would obey written out."""
    start = 0
    for stop in range(1, len(tokens) + 1):
        if stop == len(tokens) or secret[stop] != secret[start]:
            text = f" {MASKED}" if secret[start] else "".join(tokens[start:stop])
            yield name, "".join(map(_visible, text))
            start = stop


def _visible(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return character.encode("unicode_escape").decode()
