"""A few general texts, to see while training whether a model forgets what it could before.

What: `batch` makes rows of them, one a text; their loss before training and now is what is compared.

Why own words: a text that a model has seen a thousand times is forgotten last. Source of the method: the loss
on general text beside that of the task, https://arxiv.org/abs/2405.09673.

Cost: a forward pass of some 500 tokens a validation.
"""

from typing import Any

import numpy as np

from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train.batches import COLUMNS, Batch

LONGEST = 96  # tokens of a text
KNOWN = 0.5  # least share of tokens that the tokenizer has a name for

TEXTS = (
    "The ferry leaves the small harbour at seven in the morning and comes back before dark. In winter, when "
    "the wind is from the north, it often stays where it is, and the islanders wait for their letters.",
    "To bake a plain loaf you need flour, water, salt and time. Mix them in the evening, let the dough rest "
    "in a cool place overnight, fold it twice, and put it into a hot oven with a little steam.",
    "A triangle with sides of three, four and five has a right angle, because nine and sixteen make "
    "twenty-five. Builders have used a rope with twelve knots in this way for a very long time.",
    "When the two companies merged, nobody asked the people in the workshop. A year later half of the orders "
    "were late, and the new director spent most of his days explaining why.",
    "Water boils at a lower temperature on a mountain, since the air above it weighs less. This is why "
    "beans take longer to become soft in a hut high up than in a kitchen by the sea.",
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n"
    "    return total / len(values)\n",
    "She closed the book, looked out of the window, and said that she had never understood the ending. "
    '"Perhaps there is none," he answered, "and the author only ran out of paper."',
    "The council has decided to plant two hundred trees along the old canal. Most of them will be limes and "
    "maples; the work begins in autumn and is paid for by the sale of the former depot.",
)


def batch(tokenizer: Any) -> Batch | None:
    """The texts as packed rows, one a row, padded: ``int64[texts, length]`` each; every token has a loss.

    None where the tokenizer has no words for them, so that their loss would tell nothing.
    """
    each = [tokenizer(text)["input_ids"][:LONGEST] for text in TEXTS]
    tokens = [token for ids in each for token in ids]
    named = sum(token not in (tokenizer.unk_token_id, tokenizer.pad_token_id) for token in tokens)
    if not tokens or named < KNOWN * len(tokens):
        return None
    shape = len(each), max(len(ids) for ids in each)
    rows = {name: np.zeros(shape, np.int64) for name in COLUMNS}
    rows["labels"][:] = IGNORE
    rows["position_ids"][:] = np.arange(shape[1])
    for row, ids in enumerate(each):
        own = slice(0, len(ids))
        rows["input_ids"][row, own] = rows["labels"][row, own] = ids
        rows["segment_ids"][row, own] = 1
    return rows
