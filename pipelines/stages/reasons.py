"""Every reason for which a record is not kept: what it means, and what to do about it.

What: one entry a reason, named as the books name it (`stage.reason`). README's table, the report, `explain`,
`check` and the message of `quarantine.limit` all take their words from here; a test holds that the code gives
no other reason, and each of these.

Cost: none; no import of ours.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

OWN = "steps.NAME"  # stands for the reasons that are called as the recipe's own functions are


class Reason(NamedTuple):
    """Why a record went. kind: dropped (it could be read, and is not wanted) or quarantined (it could not be
    used); either, where the recipe says which. Both texts are clauses without a full stop.
    """

    kind: Literal["dropped", "quarantined", "either"]
    means: str
    remedy: str


def _dropped(means: str, remedy: str) -> Reason:
    return Reason("dropped", means, remedy)


def _quarantined(means: str, remedy: str) -> Reason:
    return Reason("quarantined", means, remedy)


def _failed(stage: str) -> Reason:
    return _quarantined(
        f"the stage {stage} failed on the row",
        "`headrace rejected RUN` has the class of the error; other rows are not touched by it",
    )


REASONS: Mapping[str, Reason] = {
    "read.only": _dropped(
        "the source's `only` asks for other values than the record has",
        "`sources[].only` says which columns must hold what",
    ),
    "read.malformed_json": _quarantined(
        "a line or file that is no JSON",
        "in the source: `format:` says what its files are, where they are no JSON; else mend the lines",
    ),
    "read.malformed_csv": _quarantined(
        "a record that breaks the rules of CSV",
        "in the source: `delimiter`, `quote` and `escape` say how it was written",
    ),
    "read.wrong_type": _quarantined(
        "a value of another type than the shape has there, such as a list where text is asked for",
        "in the source: a path takes a part of a list or a mapping, such as "
        "`columns: {answer: answers.text.0}`; `columns: {messages: NAME}` names a column of turns",
    ),
    "read.wrong_columns": _quarantined(
        "a record with more or fewer fields than the header",
        "in the source: `format: tsv`, or csv, where the other was guessed",
    ),
    "read.missing_field": _quarantined(
        "a column or field that the shape needs is not there",
        "in the source: `columns: {...}` names the columns that its records have; "
        "`headrace init PATH` looks at them",
    ),
    "read.unknown_role": _quarantined(
        "a speaker whose name is not known",
        "in the source: `columns: {roles: {NAME: user}}`, with their names; "
        '`columns: {roles: {"*": user}}` takes every other name',
    ),
    "read.bad_utf8": _quarantined(
        "text in a binary file that is no UTF-8", "write the file again with its texts in UTF-8"
    ),
    "read.binary": _quarantined(
        "a file that is not what its name says: pictures, documents, encrypted or nested archives",
        "unpack or convert it, or leave it out of `path`",
    ),
    "read.truncated": _quarantined(
        "a file that ends too early", "fetch it again; what stands before the break was read"
    ),
    "read.corrupt": _quarantined(
        "a damaged file or part of one", "fetch it again; `bytes_lost` says how much could not be read"
    ),
    "read.fatal": _quarantined(
        "a file that ends the process that reads it", "write it again with another program; it is damaged"
    ),
    "read.too_long": _quarantined(
        "a line or record longer than the source's memory allows",
        "in the source: `memory:` takes longer ones; often a newline is missing",
    ),
    "clean.empty": _dropped(
        "no text is left after cleaning", "nothing, where they were empty; else look at `columns`"
    ),
    "clean.empty_answer": _dropped(
        "a turn of the assistant that should be learned is empty",
        "look at the column of the answers; `clean: {drop_empty: false}` keeps them",
    ),
    "clean.unknown_role": _dropped(
        "a speaker who is neither user, assistant, system nor tool",
        "in the source: `columns: {roles: {NAME: user}}`",
    ),
    "clean.no_user": _dropped(
        "a conversation in which no user speaks",
        "in the source: `columns: {roles: ...}` says who the user is",
    ),
    "clean.late_system": _dropped(
        "a system prompt behind other turns, or a second one",
        "`clean: {alternation: keep}` leaves the order as it is",
    ),
    "clean.stray_tool": _dropped(
        "a tool's result that follows no call", "look at the order of turns: `order_by` in the source"
    ),
    "clean.no_alternation": _dropped(
        "one speaker has two turns in a row, or turns stand where none may",
        "look at `order_by` and `columns: {roles: ...}`; `clean: {merge: true}` joins turns",
    ),
    "clean.error": _failed("clean"),
    OWN: _dropped("your own function of that name in `steps` left the row out", "change the function"),
    "steps.error": _quarantined(
        "your own function in `steps` failed on the row",
        "in the recipe: that function of `steps` fails on these rows; the line is one of its file",
    ),
    "quality.too_short": _dropped("fewer visible characters than `quality.shortest`", "lower it"),
    "quality.too_long": _dropped("more characters than `quality.longest`", "raise it"),
    "quality.no_letters": _dropped(
        "no letter, digit or ideograph of any script", "`quality: {letters: false}` keeps them"
    ),
    "quality.symbols": _dropped(
        "more of the text than `quality.symbols` is neither letter nor digit", "raise it, as for code"
    ),
    "quality.replacements": _dropped(
        "more of the text than `quality.replacements` is the mark of a lost character",
        "in the source: `encoding:` says what it was written in",
    ),
    "quality.repetition": _dropped(
        "more of the text than `quality.repetition` repeats itself", "raise it, as for logs and tables"
    ),
    "quality.echo": _dropped(
        "every answer is its question over again", "look at `columns`; `quality: {echo: false}` keeps them"
    ),
    "quality.empty_answer": _dropped(
        "every answer is blank", "look at `columns`; `quality: {empty_answer: false}` keeps them"
    ),
    "quality.phrase": _dropped("an answer holds one of `quality.phrases`", "take the phrase out"),
    "quality.error": _failed("quality"),
    "traits.language": _dropped("the row's language is not wanted", "`traits.keep`, `traits.drop`"),
    "traits.answer_language": _dropped("the answer's language is not wanted", "`traits.keep`, `traits.drop`"),
    "traits.task": _dropped("the row's task is not wanted", "`traits.keep`, `traits.drop`"),
    "traits.format": _dropped("the answer's form is not wanted", "`traits.keep`, `traits.drop`"),
    "traits.reasoning": _dropped("the form of its reasoning is not wanted", "`traits.keep`, `traits.drop`"),
    "traits.flags": _dropped(
        "it has a mark that is not wanted, such as a refusal", "`traits.keep`, `traits.drop`"
    ),
    "traits.error": _failed("traits"),
    "pii.error": _quarantined(
        "the row could not be searched to its end for personal data, so nothing of it is kept",
        "look at the row in its file; a text of another size or form may pass",
    ),
    "fingerprint.error": _failed("fingerprint"),
    "dedup.exact": _dropped(
        "a copy of a row that is kept", "nothing; `headrace duplicates RUN` shows both side by side"
    ),
    "dedup.near": _dropped(
        "nearly a copy of a row that is kept: their texts were compared",
        "where pairs look different to you, raise `dedup.threshold`",
    ),
    "dedup.sketch": _dropped(
        "like a row of an earlier run of which only sketches are known",
        "compare against the run itself in `dedup.against`, which holds the texts",
    ),
    "dedup.passages": _dropped(
        "all of its text is passages that other rows keep", "raise `dedup.passages.copies`"
    ),
    "decontaminate.leak": _dropped(
        "it holds an item of an evaluation set",
        "nothing: a model that trained on it cannot be judged by that set",
    ),
    "contradictions.conflict": Reason(
        "either",
        "another row gives another answer to the same question",
        "mend the answers; `examine.contradictions.policy` says which go",
    ),
    "label_noise.suspect": Reason(
        "either",
        "its label is likely wrong: rows like it have another",
        "look at `findings/`, mend the labels; `examine.label_noise.policy: keep` only reports them",
    ),
    "split.protected": _dropped(
        "like a row that its source holds out for a test", "nothing: it would leak the test"
    ),
    "split.bridge": _dropped(
        "it is like rows on two sides of the split", "nothing: it would join what is kept apart"
    ),
    "split.no_time": _quarantined(
        "no time, where the split goes by time", "in the source: `time:` names its column"
    ),
    "split.time": _dropped(
        "like a row of another side's time", "nothing: it would tell one side of the other"
    ),
    "split.gap": _dropped("in the days before a side that `split.gap` leaves out", "lower `split.gap`"),
    "mix.not_drawn": _dropped(
        "a row to mix in that is over the share asked for", "nothing; `mix.share` says how many are drawn"
    ),
    "mix.held_out": _dropped(
        "a row to mix in that the split holds out", "nothing: the test is of the task alone"
    ),
    "tokenise.too_long": _dropped(
        "no piece of it fits into `tokenise.max_length` tokens",
        "raise it; `tokenise: {overlong: split}` cuts rows between their turns",
    ),
    "tokenise.no_target": _dropped(
        "nothing in it carries a loss: no answer to learn",
        "in the source: `columns: {roles: ...}` says who the assistant is; `loss:` what is learned",
    ),
    "tokenise.only_calls": _dropped(
        "all that its assistant says are calls of tools, and the model's chat template has no form for them",
        "take a model whose chat template renders tool calls, or a template of your own that does "
        "(`tokenise: {template: FILE}`)",
    ),
    "tokenise.pair_too_long": _dropped(
        "one answer of a pair does not fit into `tokenise.max_length` tokens", "raise it"
    ),
    "tokenise.equal_answers": _dropped(
        "chosen and rejected are the same tokens", "nothing: no preference can be learned from it"
    ),
    "tokenise.error": _quarantined(
        "the chat template refuses the conversation",
        "the chat template refuses these conversations: `model:` names another, or "
        "`clean: {alternation: enforce}` puts turns in the order that it asks for",
    ),
}


def of(reason: str) -> Reason | None:
    """What is known of a reason of the books; None of one that an other version gave."""
    if reason.startswith("steps.") and reason not in REASONS:
        return REASONS[OWN]
    return REASONS.get(reason)


def remedy(reason: str) -> str | None:
    """What to do about a reason; None where that is not known."""
    known = of(reason)
    return known.remedy if known else None
