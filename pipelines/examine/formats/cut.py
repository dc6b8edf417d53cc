"""Answers that lose their end, the token to stop on, to `tokenise.max_length`.

What: rows that are longer than a sample may be are tokenised as pass 3 will do it; those that come out
*shortened* are counted by the format of their last answer. `overlong: truncate` cuts it off before its end;
split leaves an exchange out that does not fit, drop the row. Where the last answer alone is learned, it has
its end if split leaves out what stands before it.

Why: a model that was never shown where its JSON ends does not end it.

Cost: that of the encoder (35 to 75 MB/s), over rows of as many bytes as a sample may have tokens.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.examine import rows
from headrace.pipelines.stages.tokenise.config import Config as Tokenise

TURN, ROW = 64, 512  # most tokens that a template writes around a turn, and before them all
THEN = {
    "truncate": "cut off before their end",
    "split": "in exchanges that are left out",
    "drop": "in rows that are left out",
}


class Limit(NamedTuple):
    """What decides how long rows come out."""

    model: str | None
    config: Tokenise
    loss: dict[str, str]  # of each source


def of_run(run: str) -> Limit:
    """What the recipe of a run directory says."""
    recipe = yaml.safe_load(storage.read_bytes(storage.join(run, "recipe.yaml")))
    config = Tokenise.model_validate(recipe.get("tokenise") or {})
    return Limit(recipe.get("model"), config, rows.losses(recipe))


def shortened(table: pa.Table, exchanged: pa.Table, limit: Limit) -> NDArray[np.bool_]:
    """Rows with an answer of which a part will be in no sample, ``bool[N]``. A token is a byte or more."""
    _, owners, texts = schema.contents(table)
    sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False) + TURN
    size = np.bincount(owners, sizes, table.num_rows) + ROW
    answered = pc.not_equal(exchanged["answer"], "").to_numpy()
    lost: NDArray[np.bool_] = (size > limit.config.max_length) & answered & _spoken(table)
    if not lost.any():
        return lost
    from headrace.pipelines.stages.tokenise import overlong  # transformers takes a second
    from headrace.pipelines.stages.tokenise import stage as tokenise

    tokenizer = tokenise.tokenizer(limit.model, limit.config)
    # Half of these are short after all: most templates write a few tokens around a turn.
    part = table.select(["row_id", "source", "messages"]).filter(pa.array(lost)).combine_chunks()
    may = overlong.at_most(part, limit.config, tokenizer) > limit.config.max_length
    lost[lost] = may
    part = part.filter(pa.array(may))
    for name in ("drop", "error", "detail"):
        part = part.append_column(name, pa.nulls(part.num_rows, pa.string()))
    marked, _ = tokenise.apply(part.combine_chunks(), limit.config, tokenizer, limit.loss)
    shortened = marked["shortened"].to_numpy()
    if limit.config.overlong == "split":  # what is left of such a row ends as it did
        shortened &= ~(rows.last_alone(marked, limit.loss) & schema.live(marked).to_numpy(False))
    lost[lost] = shortened
    return lost


def _spoken(table: pa.Table) -> NDArray[np.bool_]:
    """Rows in which an assistant speaks."""
    roles, owners, _ = schema.contents(table)
    found = np.zeros(table.num_rows, np.bool_)
    found[owners[pc.equal(roles, "assistant").to_numpy(zero_copy_only=False)]] = True
    return found


def sentences(lost: Counter[str], of: Mapping[str, int], limit: Limit, most: float) -> list[str]:
    """For people, of formats of which more than the share `most` is lost. lost, of: answers by format, ""
    for those that begin in none, of which only those that are cut off are told.
    """
    overlong = limit.config.overlong
    return [
        f"{n:,} of {of.get(form, n):,} {f'answers that begin as {form}' if form else 'other answers'} are "
        f"{THEN[overlong]}: they do not fit into tokenise.max_length, {limit.config.max_length:,} tokens "
        f"(tokenise.overlong: {overlong})"
        for form, n in sorted(lost.items())
        if n > most * of.get(form, n) and (form or overlong == "truncate")
    ]
