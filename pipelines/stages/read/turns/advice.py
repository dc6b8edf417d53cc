"""What to write into a recipe where records have no shape that can be told.

Cost: some passes over the first records of a file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.pipelines.stages.read.shapes import SIDES, Columns, Marked, lists
from headrace.pipelines.stages.read.turns import markers
from headrace.pipelines.stages.read.turns.exchanges import holds_turns
from headrace.pipelines.stages.read.turns.looks import (
    LOOKED_AT,
    PEOPLE,
    Record,
    bare,
    is_split_table,
    most,
    paths_to,
    people,
    role_of,
    twins,
)
from headrace.pipelines.stages.read.turns.paths import FILE, at, is_value, mapping
from headrace.pipelines.stages.read.turns.proposals import (
    CONTENTS,
    SPEAKERS,
    may_be_turns,
    rank_of_speaker,
)


@dataclass(frozen=True)
class SingleTurns:
    """Records that are turns of conversations."""

    role: str  # the column of speakers
    content: str
    group_by: str | None
    order_by: str | None
    strangers: bool  # speakers' names say nothing of who asks and who answers
    whole_file: bool  # there is no column by which they could belong together
    own: str | None  # column with a record's own name, where they are nodes of trees
    parent: str | None  # column with the name of the one that it answers
    advice: str  # what to write into the recipe


VERDICTS = (
    "desirable",
    "ktotag",
    "wanted",
    "accepted",
    "isgood",
    "good",
    "preferred",
    "thumbsup",
    "liked",
)
SLACK = ("channels.json", "users.json", "integration_logs.json", "groups.json", "dms.json", "mpims.json")
NODES = ("messageid", "id", "nodeid", "msgid", "uuid")
PARENTS = ("parentid", "parentmessageid", "parent", "parentuuid", "replyto", "replytoid", "inreplyto")
GROUPS = (
    "messagetree",
    "tree",
    "conversation",
    "conv",
    "thread",
    "threadts",
    "dialogue",
    "dialog",
    "session",
    "chat",
    "ticket",
    "call",
)
ORDERS = (
    "turn",
    "turnnumber",
    "turnid",
    "turnindex",
    "turnidx",
    "index",
    "idx",
    "position",
    "seq",
    "sequence",
)
CLOCKS = ("timestamp", "createdat", "created", "sentat", "datetime", "date", "time", "ts")


def single_turns(records: Sequence[Record]) -> SingleTurns | None:
    """What the recipe must say where each record is one turn; None where records are none.

    A turn names its speaker: one that stands for the user in some records and for the assistant in others.
    """
    names = list(dict.fromkeys(n for r in records for n in r))
    found = None
    for name in sorted((n for n in names if bare(n) in SPEAKERS), key=rank_of_speaker):
        roles = [role_of(r.get(name)) for r in records]
        if most(role is not None for role in roles) and {"user", "assistant"} <= set(roles):
            found = name
            break
    content = next((n for c in CONTENTS for n in names if bare(n) == bare(c)), None)
    if content is not None and most(_holds(r.get(content), "content") for r in records):
        content = f"{content}.content"
    groups = [n for n in names if bare(n).removesuffix("id") in GROUPS and _repeats(records, n)]
    strangers = found is None
    if strangers and groups:
        people = (n for n in names if bare(n) in PEOPLE)
        found = next((n for n in people if _talk(records, groups[0], n)), None)
    if found is None or content is None:
        return None
    orders = [n for wished in (ORDERS, CLOCKS) for w in wished for n in names if bare(n) == w]
    order = orders[0] if orders else None
    own, parent = _tree(records, names)
    shared = f"COLUMN, the one that a conversation's records share ({FILE} where each file is one)"
    more = ', roles: {NAME: assistant, "*": user}' if strangers else ""
    lines = [f"group_by: {groups[0] if groups else shared}"]
    lines += [f"order_by: {order}"] if order else []
    tree = f", id: {own}, parent: {parent}" if parent else ""
    lines += [f"columns: {{role: {found}, content: {content}{tree}{more}}}"]
    slack = {"ts", "user", "text", "type"} <= set(names)
    words = "They look like an export of Slack, whose threads are conversations. " if slack else ""
    words += "They are the nodes of trees, of which one path each is read. " if parent else ""
    words += "Write into the source: " + "; ".join(lines)
    return SingleTurns(
        found, content, groups[0] if groups else None, order, strangers, not groups, own, parent, words
    )


def _holds(value: Any, key: str) -> bool:
    """Whether a value is a mapping with this key."""
    return isinstance(value := mapping(value), dict) and key in value


def _tree(records: Sequence[Record], names: Sequence[str]) -> tuple[str | None, str | None]:
    """The columns by which records name themselves and the one that they answer; none where they do not."""
    for parent in (n for wished in PARENTS for n in names if bare(n) == wished):
        given = {str(r[parent]) for r in records if r.get(parent) is not None}
        for own in (n for wished in NODES for n in names if bare(n) == wished and n != parent):
            if given & {str(r[own]) for r in records if r.get(own) is not None}:
                return own, parent
    return None, None


def _talk(records: Sequence[Record], group: str, speaker: str) -> bool:
    """Whether several people speak under one value of a column."""
    people: dict[str, set[str]] = {}
    for record in records:
        if record.get(group) is not None and isinstance(record.get(speaker), str | int):
            people.setdefault(str(record[group]), set()).add(str(record[speaker]))
    return any(len(names) > 1 for names in people.values())


def _repeats(records: Sequence[Record], name: str) -> bool:
    """Whether several records share a value."""
    values = [str(r[name]) for r in records if r.get(name) is not None]
    return len(set(values)) < len(values)


def advice(records: Sequence[Record], file: str = "") -> str:
    """What more can be said where no shape fits: begins with a sign, or is empty."""
    if file.rpartition("/")[2] in SLACK:
        return (
            ". In an export of Slack this file lists people or channels, and the messages lie in the folders "
            "of the channels: a path such as DIRECTORY/*/*.json leaves it out"
        )
    turns = single_turns(records)
    if turns is not None:
        return f". Each record is one turn. {turns.advice}"
    names = {n for r in records for n in r}
    if is_split_table(records):
        return (
            ". It is a table as pandas writes it with orient='split', whose rows have no names: write it "
            "again with orient='records', lines=True"
        )
    if alike := twins(paths_to(records[:LOOKED_AT], _are_mappings)):
        listed = " and ".join(map(repr, alike))
        return (
            f". {listed} hold a conversation each: name one, `columns: {{messages: {alike[0]}}}`; or write "
            "the better one to a column `chosen` and the other to `rejected`: `shape: preference`"
        )
    if texts := [name for name in names if isinstance(name, str) and holds_turns(records, name)]:
        return f". The texts of {texts[0]!r} are JSON that holds turns: write it as records of its own"
    if said := _people(records):
        return said
    if marked := marked_texts(records):
        return f". The texts of {marked[0]!r} are whole conversations: {markers.line(*marked)}"
    if {"chosen", "rejected"} <= names:
        return (
            ". Of two answers the prompt has to be told: `columns: {prompt: COLUMN, chosen: chosen, "
            "rejected: rejected}`"
        )
    sides = _one_sided(records[:LOOKED_AT])
    return f". {sides}" if sides else _inner(records[:LOOKED_AT])


def _inner(records: Sequence[Record]) -> str:
    """What is said of lists of records in which rows may lie."""
    for path in paths_to(records, lambda v: type(v) is list and bool(v)):
        found = [mapping(one) for r in records if type(v := at(r, path)) is list for one in v]
        names = dict.fromkeys(n for t in found if isinstance(t, dict) for n in t if not is_value(n))
        if names:
            listed = ", ".join(map(repr, [*names][:SHOWN]))
            return f". {path!r} holds lists of records with {listed}: `records: {path}` reads these"
    return ""


def _people(records: Sequence[Record]) -> str:
    """What is said of lists of what several people said, none of whom is known for user or assistant."""
    for path in paths_to(records[:LOOKED_AT], lambda v: type(v) is list and bool(v)):
        inner = [mapping(t) for r in records[:LOOKED_AT] if type(v := at(r, path)) is list for t in v]
        turns = [t for t in inner if isinstance(t, dict)]
        names = people(turns)
        content = next((n for c in CONTENTS for t in turns[:1] for n in t if bare(n) == bare(c)), None)
        if names and content and content not in names:
            return (
                f". {path!r} holds what several people said: `columns: {{messages: {path}, role: {names[0]}, "
                f'content: {content}, roles: {{NAME: assistant, "*": user}}}}`'
            )
    return ""


def marked_texts(records: Sequence[Record]) -> tuple[str, dict[str, Marked]] | None:
    """The column of texts that are whole conversations, and the markers of their turns."""
    sample = records[:LOOKED_AT]
    for name in dict.fromkeys(n for r in sample for n in r):
        values = [r.get(name) for r in sample]
        texts = [v for v in values if type(v) is str]
        found = markers.of(texts) if most(type(v) is str for v in values) else None
        if found is not None:
            return name, found
    return None


def marked_pairs(
    records: Sequence[Record], shape: str | None, columns: Columns
) -> tuple[str, str, dict[str, Marked]] | None:
    """The key of `columns` and the column of prompts that hold turns, and their markers."""
    if shape not in SIDES or columns.markers:
        return None
    asked, answered = (getattr(columns, side) for side in SIDES[shape])
    values = [(at(r, asked), at(r, answered)) for r in records[:LOOKED_AT]]
    found = markers.of_pairs([(a, b) for a, b in values if type(a) is str and type(b) is str])
    return (SIDES[shape][0], asked, found) if found is not None else None


def _one_sided(records: Sequence[Record]) -> str:
    """What is said of turns in which nobody asks, or nobody answers."""
    for path in (*paths_to(records, may_be_turns), *paths_to(records, _is_turn)):
        roles = set()
        for record in records:
            value = at(record, path)
            turns = value if type(value) is list else [value]
            for turn in turns:
                turn = mapping(turn)
                inner = turn.get("message", turn) if isinstance(turn, dict) else {}
                roles.add(role_of(inner.get("role")) if isinstance(inner, dict) else None)
        roles -= {None, "system", "tool"}
        if roles in ({"user"}, {"assistant"}):
            absent = "no assistant's turn" if roles == {"user"} else "no user's turn"
            text = f"There is {absent} in {path!r}"
            if path.startswith(("body.", "response.")):
                text += (
                    ": name the input and the output files of a batch in one source, with "
                    "`group_by: custom_id`, `columns: {messages: [body.messages, "
                    "response.body.choices.0.message]}`"
                )
            return text
    return ""


def _are_mappings(value: Any) -> bool:
    return type(value) is list and bool(value) and all(isinstance(mapping(one), dict) for one in value)


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value and "content" in value


# What a column that nobody reads may be for, by its bare name.
USES = {
    "system": "`columns: {{system: {0}}}` puts it before the turns",
    "systemprompt": "`columns: {{system: {0}}}` puts it before the turns",
    "reasoning": "`columns: {{reasoning: {0}}}` puts it before the answer",
    "reasoningcontent": "`columns: {{reasoning: {0}}}` puts it before the answer",
    "thinking": "`columns: {{reasoning: {0}}}` puts it before the answer",
    "context": "`shape: alpaca` with `columns: {{input: {0}}}` puts it below the question",
    **dict.fromkeys(("choices", "options"), "the answers may be the numbers of these: write their words"),
    "tools": "what is in it are no tools that could be called",
    "history": "`columns: {{history: {0}}}` puts it before the question where it holds turns",
    "rejected": "`shape: preference` reads it, with the chosen answer",
    "label": "`shape: text_label` makes it the answer",
    "time": "`time: {0}` takes it for the split by time",
    "weight": "rows are not weighted, `weight:` of a source is",
}
SHOWN = 12


def unwanted(records: Sequence[Record], names: Iterable[str], columns: Columns) -> tuple[str, Any] | None:
    """A column nobody reads that says which answers are wanted, and the value that stands at these."""
    for name in names:
        values = [v for r in records if (v := r.get(name)) is not None]
        # `label` alone may say anything: beside `completion` it is trainers' own word for a wanted one.
        told = bare(name) in VERDICTS or (
            bare(name) == "label" and bare(columns.completion or "") == "completion"
        )
        if told and values and all(type(v) is bool for v in values) and not all(values):
            return name, True
        if "accept" in values and all(v in ("accept", "reject", "ignore") for v in values):
            return name, "accept"
    return None


def preferences(columns: Columns) -> str:
    """What is said where the chosen one of two answers is read; empty where it is not."""
    named = [columns.completion, columns.answer, columns.output, *lists(columns)]
    chosen = next((n for n in named if n and bare(n.partition(".")[0]).startswith("chosen")), None)
    if chosen is None:
        return ""
    return (
        f"of a chosen and a rejected answer only {chosen!r} is read, as the answer, and what is rejected is "
        "left out: `shape: preference` reads both"
    )


def unread(names: Sequence[str], more: int) -> str:
    """What is said of columns that nobody looks at: their names, and how some could be read."""
    shown = ", ".join(repr(n) for n in names[:SHOWN])
    rest = more + max(0, len(names) - SHOWN)
    others = f"{f'{rest:,} more' if shown else f'{rest:,} columns'}" if rest else ""
    listed = " and ".join(part for part in (shown, others) if part)
    uses = [f"{n!r}: {USES[bare(n)].format(n)}" for n in names if bare(n) in USES]
    return f"nobody reads {listed}" + (f" ({'; '.join(uses)})" if uses else "")
