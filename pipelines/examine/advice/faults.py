"""Faults that rows are flagged for, and what advice says of each: how grave it is, what is wrong, what to do.

Source: https://developers.openai.com/api/docs/guides/fine-tuning-best-practices, for flags.
"""

from typing import Literal

Level = Literal["stop", "mend", "note", "fine"]
# Flags of rows: level above `suspect`, what is wrong, and what to do.
FLAGS: dict[str, tuple[Level, str, str]] = {
    "empty_answer": (
        "mend",
        "hold no answer",
        "nothing is learned of them; look whether their roles are read rightly, else `traits: {drop: {flags: "
        "[empty_answer]}}`",
    ),
    "copies_prompt": (
        "mend",
        "repeat the prompt as their answer",
        "the model learns to echo: `traits: {drop: {flags: [copies_prompt]}}`",
    ),
    "other_language": (
        "mend",
        "are answered in another language than they ask in",
        "leave them out, or have the prompt ask for it",
    ),
    "disclaimer": (
        "mend",
        'say "as an AI" or the like',
        "the model will too: `traits: {drop: {flags: [disclaimer]}}`",
    ),
    "refusal": ("note", "refuse", "the model will refuse more often: right only if you train for that"),
}
# Forms of a set (`forms`): level above `suspect`, what is wrong, and what to do.
FORMS: dict[str, tuple[Level, str, str]] = {
    "shifted": (
        "stop",
        "bear the answer of another row, as it looks: words of prompts stand in the answers of rows before"
        " or behind",
        "put the two columns together again",
    ),
    "exchanged": (
        "stop",
        "ask in the answer and tell in the prompt",
        "the two columns are taken for each other, as it looks: name them (`sources[].columns`)",
    ),
    "one_answer": (
        "mend",
        "give the very same answer",
        "nothing else is learnt of them, and a model that always says it is right as often; keep some, or"
        " take the answers from another column",
    ),
    "begun": (
        "mend",
        "are the beginning of another row, as where a conversation stands there turn by turn",
        "their answers are learned again with each row that goes on: `loss: last` in the source puts the loss"
        " on the last answer of each row alone",
    ),
    "pieces": (
        "mend",
        "give an answer that stands in the prompt of another row, as where a conversation is in pieces or a"
        " translation goes both ways",
        "a test would hold what was trained on; say which rows belong together (`sources[].group`)",
    ),
    "markers": (
        "mend",
        "hold markers of a chat template in a turn",
        "the model learns to write them; take them out, or name the format that the rows are in",
    ),
    "cut_off": (
        "mend",
        "break off in the middle of a sentence",
        "the model learns to break off; look whether a length limit cut them when they were made",
    ),
    "some_system": (
        "note",
        "have a system prompt, and the others of their source have none",
        "the model is taught both; give all of them one, or none, if it will be asked in one way",
    ),
}
