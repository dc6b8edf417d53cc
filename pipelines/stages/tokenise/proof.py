"""Whether a run's own rows come out as Hugging Face has them, settled once, before any of them is tokenised.

What a row becomes must hang on that row, the template and the recipe alone, and so must not hang on what a
worker happened to meet before. What workers are to trust is therefore settled here, on the first rows of
every source: which engine, and whether each row must be checked.

Cost: that of `tokenizers` (4 MB/s) over `ROWS` rows a source.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.cluster.errors import ModelError
from headrace.pipelines import schema
from headrace.pipelines.stages.tokenise import conversations
from headrace.pipelines.stages.tokenise.config import Config, Engine
from headrace.pipelines.stages.tokenise.reasoning import style
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer, load

ROWS = 64  # of each source
CHARACTERS = 100_000  # of a row; longer ones are passed over


@dataclass(frozen=True)
class Proof:
    """What was settled: the engine that all workers use (`reason`: why it is not the fast one), and whether
    they hold every row against Hugging Face's ids.
    """

    engine: Engine = "auto"
    checked: bool = False
    reason: str | None = None


def prove(table: pa.Table, name: str | None, config: Config) -> Proof:
    """Hold the rows of `table` that are not marked against Hugging Face; `name` as in `model`.

    Raises: ModelError where gigatoken is asked for by name and gives other ids.
    """
    table = table.filter(schema.live(table))
    of_recipe = (config.reasoning.earlier, config.variables, config.template)
    tokenizer = load(name, config.engine, config.add_eos, False, *of_recipe)
    table, _ = style.apply(table, config.reasoning, tokenizer.facts)
    if _same(table, tokenizer):
        return Proof(config.engine)
    reason = "gigatoken gave other ids on a row"
    slower = load(name, "tokenizers", config.add_eos, False, *of_recipe)
    if tokenizer.encoder.engine == "gigatoken" and _same(table, slower):
        if config.engine == "gigatoken":
            raise ModelError(
                f"tokenise.engine is 'gigatoken', but for tokenizer {tokenizer.name!r} {reason}; use 'auto'"
            )
        return Proof("tokenizers", reason=reason)
    return Proof("tokenizers", checked=True, reason="a row came out otherwise than Hugging Face has it")


def _same(table: pa.Table, tokenizer: Tokenizer) -> bool:
    """Whether all rows have Hugging Face's ids, but for those that are meant to differ."""
    if not table.num_rows:
        return True
    messages, first = conversations.read(table, tokenizer)
    encoded = conversations.encode(messages, first, np.arange(first[-1]), tokenizer)
    for row in range(table.num_rows):
        plain = messages.plain(np.arange(first[row], first[row + 1]))
        if row in encoded.refusals or sum(len(m["content"]) for m in plain) > CHARACTERS:
            continue
        ids = encoded.ids[encoded.start[row] : encoded.stop[row]].tolist()
        if not conversations.agrees(ids, plain, tokenizer):
            return False
    return True
