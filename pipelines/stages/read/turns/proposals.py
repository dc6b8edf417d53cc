"""What the columns of a source may hold where their names are not the usual ones of a shape.

Names are compared without case and signs ("Question", "question_text"), turns are told by what stands in
them: a key whose values are speakers, a key whose values are their words. A proposal is held against all
records that were looked at before it is taken; what is taken is written into the recipe that is kept with
the run.

Cost: some passes over the first records of a file.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.shapes import Columns, Role, Shape
from headrace.pipelines.stages.read.turns import blocks, exchanges, given, trees
from headrace.pipelines.stages.read.turns.looks import (
    ENOUGH,
    LOOKED_AT,
    Record,
    bare,
    is_split_table,
    most,
    paths_to,
    role_of,
    twins,
)
from headrace.pipelines.stages.read.turns.paths import EVERY, MISSING, at, is_value, mapping

BOTH: tuple[Role, ...] = ("user", "assistant")

CONTENTS = ("content", "value", "text", "utterance", "message", "body", "msg", "parts", "plain_body")
SPEAKERS = ("role", "from", "speaker", "sender", "author", "user", "type", "isbot", "name")
SPOKEN = ("role", "from", "speaker")  # keys that name a speaker and nothing else
# Columns of bare texts that are turns; under other names a list of texts is several answers.
BARE = {
    "messages",
    "conversation",
    "conversations",
    "dialog",
    "dialogue",
    "turns",
    "history",
    "chat",
    "data",
    "utterances",
}
WHO = ("authorid", "userid", "senderid", "fromid", "author", "user", "sender", "from")
ASKERS = ("requester", "reporter", "customer", "submitter", "asker", "creator", "op", "poster")

QUESTIONS = (
    "question",
    "questiontext",
    "query",
    "problem",
    "ask",
    "q",
    "frage",
    "pregunta",
    "domanda",
    "vraag",
    *("pergunta", "pytanie", "soru", "fråga", "spørgsmål", "kysymys", "otázka", "вопрос", "питання"),
    *("问题", "問題", "问", "質問", "質問文", "질문", "سؤال", "שאלה", "प्रश्न", "câuhỏi", "pertanyaan"),
)
ANSWERS = (
    *("answer", "answers", "answertext", "solution", "response", "reply", "a", "antwort", "respuesta"),
    *("réponse", "reponse", "risposta", "antwoord", "resposta", "odpowiedź", "odpowiedz", "cevap", "yanıt"),
    *("svar", "vastaus", "odpověď", "ответ", "відповідь", "答案", "回答", "答", "답변", "대답"),
    *("جواب", "إجابة", "תשובה", "उत्तर", "câutrảlời", "trảlời", "jawaban"),
)
CONTEXTS = ("context", "passage", "paragraph", "background", "input")
NAMES: tuple[tuple[Shape, dict[str, tuple[str, ...]]], ...] = (
    ("alpaca", {"instruction": QUESTIONS, "input": CONTEXTS, "output": ANSWERS}),
    ("question_answer", {"question": QUESTIONS, "answer": ANSWERS}),
    (
        "alpaca",
        {
            "instruction": ("instruction", "instructions", "task"),
            "output": ("output", "response", "completion", "answer", "result", "target"),
        },
    ),
    (
        "prompt_completion",
        {
            "prompt": ("prompt", "user", "human", "usermessage", "request", "input", "inputs", "source"),
            "completion": (
                *("completion", "response", "assistant", "gpt", "bot", "assistantmessage", "output"),
                *("outputs", "target", "targets", "reply", "answer", "generation", "chosen", "ideal"),
                *("expected", "expectedoutput", "referenceanswer", "groundtruth"),
            ),
        },
    ),
    (
        "prompt_completion",
        {"prompt": ("article", "document", "text", "dialogue"), "completion": ("summary", "highlights")},
    ),
)
PLAIN: tuple[tuple[Shape, dict[str, tuple[str, ...]]], ...] = (
    (
        "text_label",
        {
            "text": ("text", "utterance", "sentence", "review", "comment", "message"),
            "label": ("label", "labels", "intent", "category", "class", "sentiment", "labeltext"),
        },
    ),
    ("text", {"text": ("text", "content", "document", "body", "article", "story", "markdown", "rawcontent")}),
)


@dataclass(frozen=True)
class Proposal:
    """A shape with its columns."""

    shape: Shape
    columns: Columns


def conversations(records: Sequence[Record]) -> Iterator[Proposal]:
    """Columns that hold turns, and pairs of columns that hold what was asked and answered."""
    sample = records[:LOOKED_AT]
    if _by_ids(sample) or is_split_table(sample):
        return
    preferred = exchanges.preferred(sample)
    if preferred is not None:
        yield Proposal("preference", preferred)
    exchanged = exchanges.exchange(sample)
    if exchanged is not None:
        yield Proposal("messages", exchanged)
    found = {p: c for p in paths_to(sample, may_be_turns) if (c := _turns(sample, p)) is not None}
    alike = twins(found)
    for path, columns in found.items():
        if path not in alike:
            yield Proposal("messages", columns)
    if alike:
        return
    yield from _named(sample, NAMES)


def texts(records: Sequence[Record]) -> Iterator[Proposal]:
    """Texts with a label, and plain texts."""
    yield from _named(records[:LOOKED_AT], PLAIN)


def envelopes(records: Sequence[Record]) -> Iterator[str]:
    """Paths under which the records may lie, the one with the most records first."""
    sample = records[:LOOKED_AT]
    sizes: dict[str, int] = {}
    for path in paths_to(sample, lambda v: type(v) is list and bool(v)):
        found = [at(r, path) for r in sample]
        inner = [mapping(one) for v in found if type(v) is list for one in v]
        if not (most(type(v) is list for v in found) and most(isinstance(one, dict) for one in inner)):
            continue
        if not any(
            most(role_of(one.get(key)) is not None for one in inner if isinstance(one, dict))
            for key in SPOKEN
        ):
            sizes[path] = len(inner)
    if _by_ids(sample):
        sizes = {EVERY: len(sample[0])}
    yield from sorted(sizes, key=lambda path: (-sizes[path], path))


def _by_ids(records: Sequence[Record]) -> bool:
    """Whether the one record is a mapping of names to records, all with the same columns."""
    values = [mapping(v) for v in records[0].values()] if len(records) == 1 else []
    return len(values) > 1 and all(isinstance(v, dict) and v.keys() == values[0].keys() for v in values)


def may_be_turns(value: Any) -> bool:
    if type(value) is list:
        return bool(value)
    if type(value) is str:
        return value.lstrip()[:1] in ("[", "{") and len(value) < given.LONGEST_PRINTED
    if not isinstance(value, dict):
        return False
    lists = bool(value) and all(
        type(v) is list and not any(isinstance(one, dict) for one in v) for v in value.values()
    )
    return lists or trees.is_nodes(value) or trees.is_replies(value) or given.is_numbered(value)


def _turns(records: Sequence[Record], path: str) -> Columns | None:
    """The columns of turns under `path`; None where no turns lie there."""
    conversations: list[list[Any]] = []
    speakers: tuple[Role, ...] = ()
    for record in records:
        value = at(record, path)
        if value is MISSING or value is None:
            continue
        try:
            turns = given.turns(value, path, (), record.get(trees.CURRENT), {})
        except ReadError:
            conversations.append([])
            continue
        turns = [mapping(t) for t in turns]
        if turns and all(type(t) is list and len(t) == 2 for t in turns):
            if any(role_of(t[0]) is None for t in turns):
                speakers = BOTH
            else:
                turns = [{"role": t[0], "content": t[1]} for t in turns]
        elif turns and all(type(t) is str for t in turns) and bare(path.rpartition(".")[2]) in BARE:
            speakers = BOTH if len(turns) > 1 else speakers
        conversations.append(turns)
    if speakers:
        return Columns(messages=path, speakers=speakers) if _all_bare(conversations) else None
    named = [[t for t in turns if isinstance(t, dict)] for turns in conversations]
    return _keys(records, path, named) if most(bool(turns) for turns in named) else None


def _all_bare(conversations: Sequence[Sequence[Any]]) -> bool:
    """Whether turns are texts, or pairs of them."""

    def is_text(turn: Any) -> bool:
        return type(turn) is str or (
            type(turn) is list and all(t is None or type(t) is str for t in turn) and len(turn) == 2
        )

    return most(bool(turns) and all(map(is_text, turns)) for turns in conversations)


def _keys(records: Sequence[Record], path: str, conversations: list[list[Any]]) -> Columns | None:
    """Which keys of turns hold the speaker and the words; None where there are none."""
    turns = [t for turns in conversations for t in turns]
    content = _content_key(turns)
    if content is None:
        return None
    messages = _with_opening(records, path, content)
    if not isinstance(messages, str):
        first = [o for r in records if isinstance(o := mapping(r.get(messages[0])), dict)]
        if any(bare(k.rpartition(".")[2]) in (*SPEAKERS, *WHO) for k in _inner(first) & _inner(turns)):
            turns += first
        else:  # what stands before the turns names no speaker: it is none of them
            messages = path
    for key in sorted(_inner(turns), key=rank_of_speaker):
        values = [at(t, key) for t in turns]
        spoken = [v for v in values if v is not MISSING and v is not None]
        if key == content or len(spoken) < ENOUGH * len(turns):
            continue
        if all(isinstance(v, bool) for v in spoken) and "bot" in bare(key):
            return Columns(
                messages=messages,
                role=key,
                content=content,
                roles={"true": "assistant", "false": "user"},
            )
        roles = {role_of(v) for v in spoken}
        # One side alone is taken for turns where nothing else can be meant.
        sided = key in SPOKEN and "." not in path and bare(path) in BARE
        if most(role_of(v) is not None for v in spoken) and (sided or {"user", "assistant"} <= roles):
            return Columns(messages=messages, role=key, content=content)
    return _by_asker(records, messages, conversations, content)


def rank_of_speaker(key: str) -> tuple[int, str]:
    last = bare(key.rpartition(".")[2])
    return (SPEAKERS.index(last) if last in SPEAKERS else len(SPEAKERS), key)


def _inner(turns: Sequence[Any]) -> set[str]:
    """Keys of turns, and of mappings in them, that are names."""
    keys = set()
    for turn in turns:
        for name, value in turn.items():
            if isinstance(name, str) and not is_value(name):
                keys.add(name)
                value = mapping(value)
                keys |= (
                    {f"{name}.{k}" for k in value if isinstance(k, str) and not is_value(k)}
                    if isinstance(value, dict)
                    else set()
                )
    return keys


def _content_key(turns: Sequence[Any]) -> str | None:
    for name in CONTENTS:
        for key in sorted(k for k in _inner(turns) if bare(k.rpartition(".")[2]) == bare(name)):
            values = [at(t, key) for t in turns]
            if any(isinstance(v, str) and v for v in values) or any(
                blocks.is_parts(v) or blocks.is_untyped(v) for v in values
            ):
                return key
    return None


def _with_opening(records: Sequence[Record], path: str, content: str) -> str | tuple[str, ...]:
    """The column of turns, after one that holds the first of them alone, as tickets have it."""
    for name in records[0]:
        values = [mapping(r.get(name)) for r in records]
        inner = [v for v in values if isinstance(v, dict) and at(v, content) is not MISSING]
        if name != path and not path.startswith(f"{name}.") and len(inner) >= ENOUGH * len(records):
            return (name, path)
    return path


def _by_asker(
    records: Sequence[Record], messages: str | tuple[str, ...], conversations: list[list[Any]], content: str
) -> Columns | None:
    """Turns that name people: who asks is named beside them."""
    turns = [t for turns in conversations for t in turns]
    path = messages if isinstance(messages, str) else messages[-1]
    keys = [k for k in sorted(_inner(turns)) if bare(k) in WHO]
    beside = [
        p
        for p in paths_to(records, lambda v: isinstance(v, str | int) and not isinstance(v, bool))
        if bare(p.removesuffix("_id").partition(".")[0]) in ASKERS
    ]
    for key in keys:
        for asker in beside:
            sides = []
            for record in records:
                value = mapping(at(record, path))
                inner = value if isinstance(value, list) else []
                who = [str(at(mapping(t), key)) for t in inner if isinstance(mapping(t), dict)]
                sides.append(str(at(record, asker)) in who)
            if most(sides):
                return Columns(messages=messages, role=key, content=content, asker=asker)
    return None


def _named(
    records: Sequence[Record], names: Iterable[tuple[Shape, dict[str, tuple[str, ...]]]]
) -> Iterator[Proposal]:
    """Shapes whose columns are there under names like theirs."""
    by_name: dict[str, list[str]] = {}
    for path in paths_to(records, _is_words):
        by_name.setdefault(_last_name(path), []).append(path)
    for shape, wished in names:
        chosen: dict[str, str] = {}
        for column, usual in wished.items():
            fitting = (p for name in usual for p in by_name.get(name, ()) if p not in chosen.values())
            found = next((p for p in fitting if _holds_words(records, p)), None)
            if found is not None:
                chosen[column] = _first_of(records, found)
        asked = next(iter(chosen.values()), "")
        if len(chosen) == len(wished) and not exchanges.holds_turns(records, asked):
            yield Proposal(shape, Columns(**chosen))


def _last_name(path: str) -> str:
    """The name that a path is known by: of `answers.text` the first, which says what it is."""
    steps = path.split(".")
    return bare(steps[-2] if len(steps) > 1 and steps[-1] in ("text", "value", "content") else steps[-1])


def _is_words(value: Any) -> bool:
    if type(value) is list:
        turns = bool(value) and all(isinstance(mapping(t), dict) for t in value)
        return turns or (bool(value) and all(type(v) is str for v in value))
    return isinstance(value, str | int | float)


def _holds_words(records: Sequence[Record], path: str) -> bool:
    values = [at(r, path) for r in records]
    there = [v for v in values if v is not MISSING and v is not None]
    return len(there) >= len(records) / 2 and most(map(_is_words, there))


def _first_of(records: Sequence[Record], path: str) -> str:
    """A path to the first of several texts, where a column holds lists of them."""
    values = [v for r in records if type(v := at(r, path)) is list]
    texts = [v for v in values if v and all(type(t) is str for t in v)]
    return f"{path}.0" if values and len(texts) >= ENOUGH * len(values) else path
