"""The shapes that records of conversations have, and the names of their columns.

What a shape's columns are called where the recipe says nothing, which of them must be there, and which are
read. How a record becomes turns: `mappers`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from headrace.pipelines.section import Section
from headrace.pipelines.stages.read import calling
from headrace.pipelines.stages.read.turns import trees

Shape = Literal[
    "preference",
    "messages",
    "sharegpt",
    "alpaca",
    "prompt_completion",
    "question_answer",
    "text_label",
    "text",
]

# Names by which data sets call the speakers; a recipe's `columns.roles` comes first.
ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "customer", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "agent", "model", "ai"), "assistant"),
    **dict.fromkeys(("chatbot", "claude", "gemini", "bard", "bing", "copilot"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "function_response"), "tool"),
}
ANY = "*"
REASONING = ("reasoning_content", "reasoning", "thinking")
_SPEAKERS = ("role", "from", "speaker")
Role = Literal["system", "user", "assistant", "tool"]
END = "end"
Marked = Literal["system", "user", "assistant", "tool", "end"]  # what begins where a marker stands


class Columns(Section):
    """Which column (or key of a turn) holds what; left out, the usual names of the shape hold."""

    messages: str | tuple[str, ...] | None = None
    """Column with the list of turns (`messages`, `conversations`), or columns whose turns follow each other.
    A path such as `body.messages` leads into a column, here as for every other."""
    role: str | None = None
    """Key of a turn with its speaker (`role`, `from`); with `group_by` a column of the record."""
    content: str | None = None
    """Key of a turn with its text (`content`, `value`); with `group_by` a column of the record."""
    reasoning: str | None = None
    """Key of a turn, or column, with a reasoning trace kept apart from the answer."""
    roles: dict[str, Role] = Field(default_factory=dict)
    """Their names of the speakers to ours: `{customer: user}`. `*` stands for every other name and
    for records without one: `{"*": user}`."""
    speakers: tuple[Role, ...] = ()
    """Who speaks in turn where turns are bare texts, or pairs of them: `[user, assistant]`."""
    markers: dict[Annotated[str, Field(min_length=1)], Marked] = Field(default_factory=dict)
    """What begins a turn, where `messages` is a text that holds a whole conversation, or a prompt, a question
    or an instruction all of it but the answer: `{"### Human:": user, "### Assistant:": assistant}`; `end` for
    what only ends one. What begins with a letter is looked for at the beginning of lines."""
    asker: str | None = None
    """Column with the one who asks, by the name that `role` has in the turns: every other one answers
    (a ticket's `requester.id` beside its comments' `author_id`)."""
    id: str | None = None
    """With `group_by`: column with a record's own name, which `parent` of others gives."""
    parent: str | None = None
    """With `group_by`: column with the `id` of the record that this one answers. The conversation is then
    read from its first record on, and where several answer one, the last of them is read."""
    system: str | None = None
    """Column with a system prompt, put before the turns."""
    tools: str | None = None
    """Column with the tools that may be called: a list, or its JSON text (`tools`); "" where none holds any.
    Left out: `tools`, where its first values are tools."""
    instruction: str | None = None
    """alpaca: what is asked for."""
    input: str | None = None
    """alpaca, preference: what it is asked of; may be absent or empty."""
    output: str | None = None
    """alpaca: the answer (`output`, `response`)."""
    history: str | None = None
    """Of a question and its answer: column with what was said before it, as turns or as pairs of texts."""
    prompt: str | None = None
    """prompt_completion: the prompt. preference: the same, as a text or as turns; "" where the two answers
    begin with it."""
    completion: str | None = None
    """prompt_completion: its completion."""
    chosen: str | None = None
    """preference: the better of two answers: a text, a turn, or turns of which the last is the answer."""
    rejected: str | None = None
    """preference: the other one, in the same form."""
    question: str | None = None
    """question_answer: the question."""
    answer: str | None = None
    """question_answer: the answer."""
    text: str | None = None
    """text, text_label: the text."""
    label: str | None = None
    """text_label: the label."""

    @model_validator(mode="after")
    def _marked(self) -> Self:
        named = (self.messages, self.chosen, self.prompt, self.instruction, self.question)
        if self.markers and not any(name is not None for name in named):
            raise ValueError("markers: name the column of the texts, as in `messages: text`")
        return self


# The columns of a shape with the names to look for, the most usual first. Order matters twice:
# shapes are tried from the top, and the first name that is there is taken.
NAMES: dict[Shape, dict[str, tuple[str, ...]]] = {
    "preference": {"chosen": ("chosen",), "rejected": ("rejected",)},
    "messages": {"messages": ("messages",)},
    "sharegpt": {"messages": ("conversations", "conversation")},
    "alpaca": {"instruction": ("instruction",), "output": ("output", "response", "completion")},
    "prompt_completion": {"prompt": ("prompt",), "completion": ("completion", "response", "chosen")},
    "question_answer": {"question": ("question", "query"), "answer": ("answer", "response")},
    "text_label": {
        "text": ("text", "utterance", "sentence"),
        "label": ("label", "intent", "category", "class"),
    },
    "text": {"text": ("text", "content", "document")},
}
# Keys of speaker and text of a turn, by shape; the first pair is what a source means that was not
# looked at.
_PAIRS = tuple((role, content) for content in ("content", "value", "text", "utterance") for role in _SPEAKERS)
TURN_NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "messages": _PAIRS,
    "sharegpt": (("from", "value"), *_PAIRS),
}
SIDES = {  # the columns of a question and of its answer
    "alpaca": ("instruction", "output"),
    "prompt_completion": ("prompt", "completion"),
    "question_answer": ("question", "answer"),
}
PAIRS = ("preference", *SIDES)
TOOLS = "tools"  # the column, where the recipe names none
OPTIONAL: dict[str, dict[str, str]] = {
    "alpaca": {"input": "input"},
    "preference": {"prompt": "prompt", "input": "input"},
}
PROMPTS = ("prompt", "instruction", "question", "query", "messages", "conversations", "conversation")


def complete(shape: Shape, columns: Columns, grouped: bool = False) -> Columns:
    """`columns` with the usual names of `shape` where the recipe names none."""
    given = columns.model_dump(exclude_none=True)
    usual = {**{c: names[0] for c, names in NAMES[shape].items()}, **OPTIONAL.get(shape, {})}
    if shape in TURN_NAMES or shape in PAIRS:
        usual["tools"] = TOOLS
    if shape in TURN_NAMES:
        role, content = TURN_NAMES[shape][0]
        usual |= {"content": content, "reasoning": REASONING[0]}
        if grouped and columns.messages is None:
            del usual["messages"]
        if ANY not in columns.roles or columns.messages or not grouped:
            usual["role"] = role
    return Columns(**{**usual, **given})


def wanted(shape: Shape, columns: Columns) -> list[str]:
    """Columns of a record that the shape reads (of completed `columns`), in a fixed order."""
    beside: list[str] = []
    if shape in TURN_NAMES and columns.messages is None:
        names = ["system", "tools", "role", "content", "reasoning", "id", "parent"]
        beside = [*calling.IN_RECORDS]
    elif shape in TURN_NAMES:
        names = ["system", "tools", "asker"]
        beside = [*lists(columns), trees.CURRENT]
    else:
        names = ["system", "tools", "reasoning", "history", *NAMES[shape], *OPTIONAL.get(shape, {})]
    chosen: list[str | None] = [*(getattr(columns, n) for n in names), *beside]
    return list(dict.fromkeys(c for c in chosen if c))  # "" stands for none


def lists(columns: Columns) -> tuple[str, ...]:
    """The columns that hold turns."""
    return (columns.messages,) if isinstance(columns.messages, str) else columns.messages or ()


def required(shape: Shape, columns: Columns) -> list[str]:
    """Columns without which no record of the shape can be read."""
    asked: list[str | None]
    if shape in TURN_NAMES and columns.messages is None:
        asked = [columns.role, columns.content]
    elif shape in TURN_NAMES:
        asked = [next(iter(lists(columns)), None)]  # of several any may be there
    else:
        asked = [getattr(columns, c) for c in NAMES[shape]]
    return [c for c in asked if c is not None]
