"""What a row asks for, by rules that say their names.

What: `tell` gives each row a task of `config.TASKS` and the rule that said so. The first rule that holds, in
the order of `RULES`, decides. A short system prompt that speaks of one thing to be done with a text ("You
translate into French") says so of every turn of the user, whatever that asks.

Why: a rule that can be read can be disagreed with; rows say which one it was.
Cost: a few operations on bits a row.
Source: kinds of tasks as in InstructGPT (https://arxiv.org/abs/2203.02155, table 1) and Dolly.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.pipelines.stages.traits.signals import ASKS, FENCE_CODE, LONG, SUM, Signals
from headrace.pipelines.stages.traits.words import bit

SHORT = 30  # words of a question about what everybody may know; a longer one tells a story
LABEL = 3  # words of an answer that may be the name of a class
RULES = (
    *("text", "translation.words", "code.answer", "code.words", "code.fence", "summarisation.words"),
    *("classification.label_answer", "rewriting.words", "extraction.words", "classification.words"),
    *("translation.system", "summarisation.system", "rewriting.system", "extraction.system"),
    *("classification.system", "creative.words", "creative.role", "creative.works", "opinion.words"),
    *("maths.answer", "maths.words"),
    *("chat.words", "knowledge.words", "knowledge.short_question", "question.mark", "question.words"),
    *("chat.turns", "other"),
)
OF_TEXTS = ("translation", "summarisation", "rewriting", "extraction", "classification")
Mask = NDArray[np.bool_]


def tell(
    system: Signals,
    prompt: Signals,
    answer: Signals,
    labels: Mask,
    asked: Mask,
    turns: NDArray[np.int64],
    tools: Mask,
) -> pa.Table:
    """``task`` and ``rule`` of each row, string[N].

    system: of its first system turn; labels: the answer looks like the name of a class; asked: the row has a
    turn of a user; turns: how many; tools: a tool is called, so nobody has to know.
    """

    def has(name: str, of: Signals = prompt, where: str = "anywhere") -> Mask:
        found: Mask = (getattr(of, where) & bit(name)) != 0
        return found

    plain = (prompt.forms & LONG) == 0
    short = (prompt.words <= SHORT) & plain
    question = (prompt.forms & ASKS) != 0
    begins = has("asking", where="first")
    coded = has("code_answer", answer, "first") | ((answer.forms & FENCE_CODE) != 0)
    counted = has("maths") & (prompt.numbers >= 2)
    systems = {name: has(name, system) & ((system.forms & LONG) == 0) for name in OF_TEXTS}
    alone = np.sum(list(systems.values()), axis=0) == 1
    holds = {
        **{f"{name}.system": of & alone for name, of in systems.items()},
        "text": ~asked,
        "translation.words": has("translation"),
        "code.answer": has("code_answer", answer, "first"),
        "code.words": has("code"),
        "code.fence": coded | ((prompt.forms & FENCE_CODE) != 0),
        "summarisation.words": has("summarisation"),
        "classification.label_answer": labels & (turns == 1),
        "rewriting.words": has("rewriting"),
        "extraction.words": has("extraction"),
        "classification.words": has("classification"),
        "creative.words": has("creative"),
        "creative.role": has("roles", where="first") & ~has("assistants"),
        "creative.works": has("making", where="opening") & has("works"),
        "opinion.words": has("opinion"),
        "maths.answer": counted & ((answer.forms & SUM) != 0),
        "maths.words": has("maths") & ((prompt.numbers >= 2) | ((prompt.forms & SUM) != 0)),
        "chat.words": has("chat", where="first") & short,
        "knowledge.words": has("knowledge", where="opening") & ~has("personal") & short & ~tools,
        "knowledge.short_question": (begins | question) & ~has("personal") & short & (turns == 1) & ~tools,
        "question.mark": question,
        "question.words": begins | has("knowledge", where="opening"),
        "chat.turns": turns > 1,
    }
    first = np.full(len(asked), len(RULES) - 1, np.int8)
    for at in range(len(RULES) - 2, -1, -1):
        first[holds[RULES[at]]] = at
    tasks = pa.array([rule.partition(".")[0] for rule in RULES])
    return pa.table({"task": tasks.take(pa.array(first)), "rule": pa.array(RULES).take(pa.array(first))})
