"""Faults that rows are flagged for, and what advice says of each: how grave it is, what is wrong, what to do.

Source: https://developers.openai.com/api/docs/guides/fine-tuning-best-practices, for what answers say.
"""

from headrace.pipelines.examine.advice.reasons import Level

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
    "repeated_turn": (
        "mend",
        "say the very same in two answers of a conversation, or say what was asked",
        "the model learns to go in circles: look how turns were put together, or `traits: {drop: {flags: "
        "[repeated_turn]}}`",
    ),
    "disclaimer": (
        "mend",
        'say "as an AI" or the like',
        "the model will too: `traits: {drop: {flags: [disclaimer]}}`",
    ),
    "opener": (
        "note",
        'begin with a stock phrase ("Sure! Here is")',
        "the model will as well: right only if you want it to",
    ),
    "refusal": ("note", "refuse", "the model will refuse more often: right only if you train for that"),
}
# Flags of what machines left in texts: sure ones, so that fewer are a fault (`least`); a note from `SEEN` on.
DAMAGE: dict[str, tuple[Level, str, str]] = {
    "missing": (
        "mend",
        'hold what a program writes where a value was missing ("nan", "undefined")',
        "the model learns to write it: read its blanks as blanks, or `traits: {drop: {flags: [missing]}}`",
    ),
    "error": (
        "mend",
        "hold a program's error message in the place of an answer",
        "make them again, as the call failed, or `traits: {drop: {flags: [error]}}`",
    ),
    "escaped": (
        "mend",
        r"hold line breaks or letters as escapes (\n and \u00e9 as they stand in code)",
        "they were written as JSON twice, or read as plain text: `clean: {escapes: true}` decodes them",
    ),
    "placeholder": (
        "mend",
        "hold a placeholder that nobody filled in ({name}, [Your Name])",
        "the model learns to write it: fill them in, unless your program does so with what the model says",
    ),
    "markers": (
        "mend",
        "hold markers of a chat template or a tokenizer in a turn",
        "the model learns to write them; take them out, or name the format that the rows are in",
    ),
    "lost_letters": (
        "mend",
        "hold letters that were lost when they were decoded (\ufffd, or ? within words)",
        "what is lost stays lost: read the first file there was, in its own encoding",
    ),
    "next_turn": (
        "mend",
        'go on as the next speaker in their answer ("User:", "### Instruction:")',
        "whatever made them did not stop: cut them there, or `traits: {drop: {flags: [next_turn]}}`",
    ),
    "printed": (
        "mend",
        "hold a value as Python prints it (b'...', ['...']) for an answer",
        "write the value itself: the column was printed when it was saved",
    ),
    "unbroken": (
        "mend",
        "hold data as letters (base64) in a text",
        "nothing is learnt of it: take it out, or `traits: {drop: {flags: [unbroken]}}`",
    ),
    "identity": (
        "mend",
        'say that they are a model of somebody ("I am ChatGPT")',
        "the model will call itself so: put its name there, or `traits: {drop: {flags: [identity]}}`",
    ),
    "pasted": (
        "mend",
        'hold what a chat window shows beside an answer ("Copy code", 【4†source】)',
        "the model learns to write it: take it out (`steps`)",
    ),
    "media": (
        "mend",
        "speak of an image, a sound or a video that is not there (<image>)",
        "a model of texts learns to invent what is seen: `traits: {drop: {flags: [media]}}`",
    ),
    "broken_words": (
        "mend",
        "hold words that a hyphen parts over two lines, as out of a PDF",
        "the model learns to part them: join lines before (`steps`)",
    ),
}
STOCK = 0.3  # share of rows that begin with a stock phrase below which people just talk so
SEEN = 0.002, 3  # share of rows, and rows, that show the same damage
ALWAYS = frozenset(("rare_label",))  # forms that are said of however few rows, as few is what they are
# Forms of a set (`forms`): level above `suspect`, what is wrong, and what to do.
FORMS: dict[str, tuple[Level, str, str]] = {
    "shifted": (
        "stop",
        "bear the answer of another row, as it looks: words of prompts stand in the answers of rows before"
        " or behind",
        "put the two columns together again",
    ),
    "unrelated": (
        "stop",
        "bear answers that have no more to do with their prompts than with those of other rows",
        "one of the two columns was sorted or shuffled without the other: put them together again",
    ),
    "backwards": (
        "stop",
        "begin with a farewell or end with a greeting, as conversations do that stand there last turn first",
        "turn them round before (`steps`)",
    ),
    "given": (
        "mend",
        "hold their answer in the prompt, always behind the same words",
        "the model learns to copy it: leave that column out, unless it will be there when the model is asked",
    ),
    "blank": (
        "mend",
        'say that there is no answer ("None", "N/A"), where the others are texts',
        "the model learns to say so: leave them out, or take the answers from another column",
    ),
    "spelled": (
        "mend",
        "give a label that most rows write in another way",
        "a label in two spellings is two labels to a model: write each in one (`steps`)",
    ),
    "rare_label": (
        "note",
        "bear a label that fewer than five rows have",
        "the model hardly learns it: gather more of each, or put such labels together",
    ),
    "tagged": (
        "note",
        "hold tags of HTML in their answer, and the others of their source do not",
        "the model learns both: `clean: {inline_tags: true}` takes them out",
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


def least(name: str, suspect: float) -> float:
    """The share of rows with a flag above which it is as grave as it says; suspect: `advise.suspect`."""
    if name in DAMAGE:
        return suspect / 5 if suspect < 1 else 1
    return max(STOCK, suspect) if name == "opener" else suspect
