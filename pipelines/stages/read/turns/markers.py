"""A whole conversation in one text, whose turns begin with markers.

Markers are "### Human:" and "### Assistant:", or the tokens of a chat template; which of them begins whose
turn is said by `columns.markers`. What stands before the first one is the system prompt, as templates of this
kind have it; space around a turn is the marker's. Two markers of one role after each other part one turn
(Alpaca's instruction and its input). Behind a marker of an end nothing but space may stand: no word is lost.
A prompt may hold markers too, and stop behind the one whose turn its answer is.

Cost: one regular expression over each text.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.shapes import END, Marked

# Tokens of chat templates: all of a family are named, whichever of them the first texts hold.
TOKENS: tuple[dict[str, Marked], ...] = (
    {
        "<|im_start|>system": "system",
        "<|im_start|>user": "user",
        "<|im_start|>assistant": "assistant",
        "<|im_start|>tool": "tool",
        "<|im_end|>": "end",
        "<|endoftext|>": "end",
    },
    {
        "<|start_header_id|>system<|end_header_id|>": "system",
        "<|start_header_id|>user<|end_header_id|>": "user",
        "<|start_header_id|>assistant<|end_header_id|>": "assistant",
        "<|start_header_id|>ipython<|end_header_id|>": "tool",
        "<|eot_id|>": "end",
        "<|begin_of_text|>": "end",
        "<|end_of_text|>": "end",
    },
    {
        "<start_of_turn>user": "user",
        "<start_of_turn>model": "assistant",
        "<end_of_turn>": "end",
        "<bos>": "end",
        "<eos>": "end",
    },
    {
        "[INST]": "user",
        "[/INST]": "assistant",
        "<<SYS>>": "system",
        "<</SYS>>": "user",
        "<s>": "end",
        "</s>": "end",
    },
    {
        "<|system|>": "system",
        "<|user|>": "user",
        "<|prompter|>": "user",
        "<|assistant|>": "assistant",
        "<|end|>": "end",
        "<|endoftext|>": "end",
        "</s>": "end",
    },
    {"<human>:": "user", "<bot>:": "assistant"},
)
# Names before a colon: who asks, who answers, and others that may be there.
NAMES = (
    *(("Human", "Assistant"), ("User", "Assistant"), ("USER", "ASSISTANT"), ("Instruction", "Response")),
    *(("Question", "Answer"), ("Q", "A"), ("Human", "AI"), ("User", "AI"), ("User", "Bot")),
    *(("Customer", "Agent"), ("Prompt", "Response"), ("Input", "Output")),
)
BESIDE: dict[str, Marked] = {
    "System": "system",
    "SYSTEM": "system",
    "Input": "user",
    "Context": "user",
    "FUNCTION RESPONSE": "tool",
    "Observation": "tool",
    "Tool": "tool",
}
ENDS = ("<|endoftext|>", "</s>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<eos>")
_SYSTEM = re.compile(r"\s*(?:### )?system(?: prompt)?:\s*", re.IGNORECASE)
BEFORE = ("### ", "## ", "")  # a name
ENOUGH = 0.8  # share of the texts in which markers must part a question and its answer


def split(text: str, markers: Mapping[str, str], name: str) -> list[tuple[str, str]]:
    """The turns of a text, by `markers`; `name`: its column. Raises: ReadError."""
    pieces = _pattern(tuple(markers)).split(text)
    before, begun = pieces[0].strip(), [m.lstrip() for m in pieces[1::2]]
    if not begun:
        raise ReadError("read.wrong_type", f"no marker of columns.markers in {name!r}")
    turns = [("system", before)] if before else []
    for number, (marker, piece) in enumerate(zip(begun, pieces[2::2], strict=True)):
        role, content = markers[marker], piece.strip()
        last = number == len(begun) - 1
        if role == END and content:
            raise ReadError("read.wrong_type", f"words behind the end {marker!r} of a turn in {name!r}")
        if role == END or not (content or last or role == "assistant"):
            continue
        if turns and number and turns[-1][0] == role and begun[number - 1] != marker:
            content = f"{turns.pop()[1]}\n\n{content}"
        turns.append((role, content))
    return turns


def sides(
    prompt: str, answer: str, markers: Mapping[str, str], names: tuple[str, str]
) -> list[tuple[str, str]]:
    """The turns of a prompt that holds markers and of its answer, which goes on where the prompt stops; a
    prompt without any is one turn. `names`: their columns. Raises: ReadError.
    """
    marked = _begun(prompt, markers) > 0
    before = split(prompt, markers, names[0]) if marked else [("user", prompt)]
    if before[-1][0] == "assistant":
        return split(prompt + answer, markers, names[1])
    theirs = tuple(marker for marker, role in markers.items() if role == "assistant")
    if theirs and not answer.lstrip().startswith(theirs):
        if not marked:
            return [*before, ("assistant", answer)]
        answer = theirs[0] + answer
    return [*before, *split(answer, markers, names[1])]


def bare_system(text: str) -> str:
    """A system prompt without the marker that it begins with, beside texts that hold markers."""
    found = _SYSTEM.match(text)
    return text[found.end() :] if found else text


def _begun(text: str, markers: Mapping[str, str]) -> int:
    """How many turns markers begin in a text."""
    return sum(markers[m.lstrip()] != END for m in _pattern(tuple(markers)).findall(text))


@lru_cache(maxsize=64)
def _pattern(markers: tuple[str, ...]) -> re.Pattern[str]:
    """What parts the turns: a marker that begins with a letter stands at the beginning of a line."""
    each = (
        (r"^[ \t]*" if marker[0].isalpha() else "") + re.escape(marker)
        for marker in sorted(markers, key=len, reverse=True)
    )
    return re.compile(f"({'|'.join(each)})", re.MULTILINE)


def of(texts: Sequence[str]) -> dict[str, Marked] | None:
    """Markers by which nearly all of some texts are conversations; None where there are none such."""
    return next((found for found in _families(texts) if _part(texts, found)), None)


def of_pairs(pairs: Sequence[tuple[str, str]]) -> dict[str, Marked] | None:
    """Markers by which nearly all prompts of some pairs hold turns; None where there are none such."""
    prompts = [prompt for prompt, _ in pairs]
    return next((found for found in _families(prompts) if _part_pairs(pairs, found)), None)


def _part_pairs(pairs: Sequence[tuple[str, str]], markers: Mapping[str, str]) -> bool:
    """Whether nearly all prompts begin with a question and stop where their answers go on."""
    good = 0
    theirs = tuple(marker for marker, role in markers.items() if role == "assistant")
    for prompt, answer in pairs:
        try:
            roles = [role for role, _ in split(prompt, markers, "") if role != "system"]
        except ReadError:
            continue
        goes_on = roles[-1:] == ["assistant"] or answer.lstrip().startswith(theirs)
        good += roles[:1] == ["user"] and goes_on
    return bool(pairs) and good >= ENOUGH * len(pairs)


def _families(texts: Sequence[str]) -> Iterator[dict[str, Marked]]:
    yield from TOKENS
    for before in BEFORE:
        for asks, answers in NAMES:
            found: dict[str, Marked] = {f"{before}{asks}:": "user", f"{before}{answers}:": "assistant"}
            for name, role in BESIDE.items():
                marker = f"{before}{name}:"
                if marker not in found and any(map(_pattern((marker,)).search, texts)):
                    found[marker] = role
            found |= {end: "end" for end in ENDS if any(end in text for text in texts)}
            yield found


def _part(texts: Sequence[str], markers: Mapping[str, str]) -> bool:
    """Whether markers part nearly all texts to a question and its answer at the least."""
    good = 0
    for text in texts:
        try:
            roles = [role for role, content in split(text, markers, "") if content and role != "system"]
        except ReadError:
            continue
        good += roles[:1] == ["user"] and "assistant" in roles
    return bool(texts) and good >= ENOUGH * len(texts)


def line(column: str, markers: Mapping[str, str], field: str = "messages") -> str:
    """What to write into the source; `field`: the key of `columns` that names the column."""
    pairs = ", ".join(f"{json.dumps(marker)}: {role}" for marker, role in markers.items())
    shape = "`shape: messages`, " if field == "messages" else ""
    return f"{shape}`columns: {{{field}: {json.dumps(column)}, markers: {{{pairs}}}}}`"
