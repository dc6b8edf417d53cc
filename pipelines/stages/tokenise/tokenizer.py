"""The tokenizer that a run uses: its encoder, its chat template, and shapes cut into programs of ids.

Ids are those of `apply_chat_template`: the text between two special tokens is one unit for the encoder.
Only the string of a special token inside a content is ordinary text, so that nobody's message can end a
turn. Added tokens that nobody flagged as special count as such where the template frames turns with them;
others (`<think>`, `<tool_call>`) stay tokens: a model writes them itself.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any

import jinja2
import numpy as np
import xxhash

from headrace.cluster.errors import ModelError
from headrace.pipelines.stages.tokenise import pretrained
from headrace.pipelines.stages.tokenise.config import Earlier
from headrace.pipelines.stages.tokenise.encoder import Encoder, Engine
from headrace.pipelines.stages.tokenise.reasoning.facts import Facts, facts
from headrace.pipelines.stages.tokenise.rendering import controls, plain, shown
from headrace.pipelines.stages.tokenise.rendering.marking import Marking
from headrace.pipelines.stages.tokenise.template import (
    ALL,
    ASSISTANT,
    BREAK,
    SLOT,
    WHOLE,
    Part,
    Refusal,
    Shape,
    Template,
    bounded,
)

SHORT = 6  # messages of a shape whose ids are proved always; of longer ones one in `SPOT` is
SPOT = 16
TEXT: Shape = (("text", SLOT),)
# What is counted of each conversation: turns without an end, reasoning of turns that is kept, or lost, empty
# blocks of it that carry no loss, and turns behind reasoning that is not there when the model answers; calls,
# and whether tools, that the template has no form for; turns whose text it leaves out.
COUNTS = (
    *("unended", "reasoning_kept", "reasoning_lost", "reasoning_empty", "reasoning_behind"),
    *("calls_lost", "tools_lost", "texts_lost"),
)

Operation = tuple[int | tuple[Part, ...], int, int]  # token or segment, loss, message


@dataclass(frozen=True)
class Program:
    """One shape: its parts, and the same as operations; the loss of a segment stands in its parts.

    ended: the last operation is an end token of ours; led: segments after the first operation stand
    behind a special token in the encoder's input, too; altered: the text is not the template's, as reasoning
    was put back; counts: as `COUNTS`.
    """

    parts: tuple[Part, ...]
    operations: tuple[Operation, ...]
    ended: bool
    led: bool
    altered: bool = False
    counts: tuple[int, ...] = (0,) * len(COUNTS)


@lru_cache(maxsize=8)
def load(
    name: str | None,
    engine: Engine = "auto",
    add_eos: bool = True,
    checked: bool = False,
    earlier: Earlier = "keep",
    variables: str = "{}",
    template: str = "chat",
) -> "Tokenizer":
    """The tokenizer `name`, built once a process (see `Tokenizer`)."""
    return Tokenizer(name, engine, add_eos, checked, earlier, variables, template)


class Tokenizer:
    """A Hugging Face tokenizer with its chat template, cut and proved.

    name: a directory (local or s3://), a hub name, or None for the one that ships with headrace. engine:
    "auto" takes gigatoken where it gives the same ids on a sample, else `tokenizers`. add_eos: end a text,
    and a conversation whose template ends it without a special token, by the end token. checked: hold the
    ids of every row against Hugging Face's. earlier: what is made of reasoning that the template leaves out
    (`config.Reasoning`). variables: JSON of what the template sees besides. template: as `tokenise.template`.
    It travels to workers as these seven and is built again there.

    Raises: ModelError where there is no tokenizer, none that is fast, or a template without a mask.
    """

    def __init__(
        self,
        name: str | None = None,
        engine: Engine = "auto",
        add_eos: bool = True,
        checked: bool = False,
        earlier: Earlier = "keep",
        variables: str = "{}",
        template: str = "chat",
    ) -> None:
        self._arguments = (name, engine, add_eos, checked, earlier, variables, template)
        self.checked = checked
        self.earlier = earlier
        self.name = name or "headrace"
        self.hf = pretrained.load(name)
        if template != "chat":
            self.hf.chat_template = plain.source(self.hf) if template == "none" else plain.read(template)
        self.eos_id: int | None = self.hf.eos_token_id
        self.pad_id: int = next((i for i in (self.hf.pad_token_id, self.eos_id) if i is not None), 0)
        self.vocab_size: int = len(self.hf)
        added = sorted(self.hf.added_tokens_decoder.items())
        self._set_specials({t.content: (i, t) for i, t in added if t.special})
        self.template = self._template(self._source())
        common = {t.content: (i, t) for i, t in added if not t.special}
        framing = controls.framing(self.template, common) if self.template is not None and common else set()
        if framing:
            self._set_specials({t.content: (i, t) for i, t in added if t.special or t.content in framing})
            self.template = self._template(self._source())
        self.encoder = Encoder(self.hf.backend_tokenizer, self.name, engine, framing)
        self._programs: dict[Shape, Program | Refusal | None] = {}
        self._constants: dict[Any, list[tuple[int, int]]] = {}
        state = [self.encoder.state, self.hf.special_tokens_map, self._source(), self.pad_id, add_eos]
        if self.template is not None and (earlier != "keep" or variables != "{}"):
            state += [earlier, variables]
        self.fingerprint: str = xxhash.xxh3_128_hexdigest(
            json.dumps(state, sort_keys=True, default=str).encode()
        )
        if self.template is not None:
            self._probe()

    def _set_specials(self, tokens: dict[str, Any]) -> None:
        self.special: dict[str, int] = {content: i for content, (i, _) in tokens.items()}
        self.specials = _alternatives(self.special)
        self._eaters = {c: (t.lstrip, t.rstrip) for c, (_, t) in tokens.items() if t.lstrip or t.rstrip}

    @cached_property
    def facts(self) -> Facts | None:
        """What the chat template does with reasoning; None where there is none."""
        return None if self.template is None else facts(self.template)

    @cached_property
    def marking(self) -> Marking:
        """The cuts of the chat template."""
        assert self.template is not None
        return Marking(self.template, self._arguments[4])

    @cached_property
    def tool_marking(self) -> Marking:
        """The same of the template for conversations with tools, where the model has one of its own."""
        source = self._source(tools=True)
        if self.template is None or source == self.template.source:
            return self.marking
        template = self._template(source)
        assert template is not None
        return Marking(template, self._arguments[4])

    def __reduce__(self) -> tuple[Any, ...]:
        return load, self._arguments

    @property
    def engine(self) -> str:
        """The engine in use, with the reason where it is the slower one for one."""
        warning = self.encoder.warning
        return f"{self.encoder.engine} ({warning})" if warning else self.encoder.engine

    def program(self, shape: Shape) -> Program | None:
        """Operations of `shape`; None where it must be rendered row by row.

        Raises: Refusal where the template refuses such a conversation; ModelError without a template.
        """
        if any(skeleton == WHOLE for _, skeleton in shape):
            return None
        if shape not in self._programs:
            program: Program | Refusal | None
            try:
                program = self._proved_text() if shape == TEXT else self._cut(shape)
            except Refusal as refusal:
                program = refusal
            bounded(self._programs)[shape] = program
        program = self._programs[shape]
        if isinstance(program, Refusal):
            raise program
        return program

    def require_template(self) -> None:
        """Raises: ModelError where the tokenizer has no chat template: conversations need one."""
        if self.template is None:
            raise ModelError(
                f"tokenizer {self.name!r} has no chat template, and the data holds conversations; set "
                "tokenise.template to none (a row is its prompt and its answer as they are) or to a file "
                "with a Jinja template, or take the model's instruct version"
            )

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens as their strings."""
        return str(self.hf.backend_tokenizer.decode(ids, skip_special_tokens=False))

    def reference(self, text: str, plain: bool) -> list[int]:
        """Ids of a rendering, or of a plain text, as Hugging Face's tokenizer gives them."""
        return list(self.hf(text, add_special_tokens=plain)["input_ids"])

    def ends(self, role: str, behind: Sequence[Part]) -> bool:
        """Whether a conversation needs an end token: its last turn is `role`'s, with `behind` after it."""
        wanted = role == "assistant" and self._arguments[2] and self.eos_id is not None
        return wanted and not any(self.specials.search(part.text) for part in behind)

    def compiled(self, parts: Sequence[Part]) -> tuple[list[int], list[int], list[int]]:
        """Ids, loss bits and messages of a row that is rendered by itself."""
        found = self._compile([part._replace(slot=-1) for part in parts])
        columns: list[list[Any]] = [list(column) for column in zip(*found, strict=True)]
        return (columns[0], columns[1], columns[2]) if columns else ([], [], [])

    def _cut(self, shape: Shape) -> Program | None:
        """The program of a conversation, proved on made-up contents; None where they disprove it."""
        self.require_template()
        if not shape or any(role == "text" for role, _ in shape):
            raise Refusal("no messages" if not shape else "a text among other messages")
        cut = self.marking.cut(shape)
        assert self.template is not None
        parts, made_up = cut.parts, shown.made_up(self.template, shape)
        if not all(shown.same_text(self.template, shape, cut, texts) for texts in made_up):
            return None
        last = max((i for i, p in enumerate(parts) if p.slot >= 0), default=-1)
        ended = self.ends(shape[-1][0], parts[last + 1 :])
        operations = self._compile(parts)
        unended = cut.unended
        if ended:
            operations.append((int(self.hf.eos_token_id), ASSISTANT | ALL, len(shape) - 1))
            unended -= {len(shape) - 1}
        counts = (len(unended), cut.kept, cut.lost, cut.empty, cut.behind, 0, 0, cut.texts)
        program = Program(tuple(parts), tuple(operations), ended, True, cut.altered, counts)
        due = len(shape) <= SHORT or xxhash.xxh3_64_intdigest(repr(shape).encode()) % SPOT == 0
        return program if not due or self._same_ids(program, made_up[0], plain=False) else None

    def _same_ids(self, program: Program, texts: list[str], plain: bool) -> bool:
        """Whether a program's ids are Hugging Face's where `texts` are in the slots."""
        if any(self.specials.search(text) for text in texts):
            return True
        ids: list[int] = []
        for number, (what, _, _) in enumerate(program.operations):
            if isinstance(what, int):
                ids.append(what)
                continue
            led = self.encoder.marker.decode() if program.led and number else ""
            text = "".join(texts[p.slot] if p.slot >= 0 else p.text for p in what)
            ids += self.encoder.plain_ids(led + text)[len(led) :]
        rendered = "".join(texts[p.slot] if p.slot >= 0 else p.text for p in program.parts)
        return (ids[:-1] if program.ended else ids) == self.reference(rendered, plain)

    def _proved_text(self) -> Program | None:
        program = self.text()
        return program if self._same_ids(program, [shown.MADE_UP], plain=True) else None

    def text(self) -> Program:
        """A plain text: between what the tokenizer itself puts around one, loss on all but its start."""
        bare, full = self.hf("a", add_special_tokens=False)["input_ids"], self.hf("a")["input_ids"]
        at = next((i for i in range(len(full)) if full[i : i + len(bare)] == bare), 0)
        lead, trail = full[:at], full[at + len(bare) :]
        ended = self._arguments[2] and self.eos_id is not None and self.eos_id not in trail
        trail = [*trail, self.eos_id] if ended else trail
        body = (Part("", 0, ASSISTANT | ALL, 0),)
        operations = [*((i, 0, 0) for i in lead), (body, 0, 0), *((i, ASSISTANT | ALL, 0) for i in trail)]
        return Program(body, tuple(operations), ended, led=False)

    def _compile(self, parts: Sequence[Part]) -> list[Operation]:
        """Constants cut at special tokens; what lies between them is a segment."""
        operations: list[Operation] = []
        for is_text, run in groupby(self._atoms(parts), key=lambda atom: isinstance(atom, Part)):
            atoms = list(run)
            if not is_text:
                operations += atoms
            elif any(p.slot >= 0 for p in atoms):
                owner = next(p.message for p in reversed(atoms) if p.slot >= 0)
                operations.append((tuple(atoms), 0, owner))
            else:
                operations += self._constant(atoms, first=not operations)
        return operations

    def _atoms(self, parts: Sequence[Part]) -> list[Any]:
        """Parts without special tokens, and special tokens as operations, in order."""
        atoms: list[Any] = []
        eats = False  # the last special token swallows the white space after it
        for part in parts:
            if part.slot >= 0:
                atoms.append(part)
                eats = False
                continue
            for place, text in enumerate(self.specials.split(part.text)):
                if place % 2:
                    left, eats = self._eaters.get(text, (False, False))
                    if left:
                        _strip_end(atoms)
                    atoms.append((self.special[text], part.loss, part.message))
                elif rest := text.lstrip() if eats else text:
                    atoms.append(Part(rest, -1, part.loss, part.message))
                    eats = False
        return atoms

    def _constant(self, segment: Sequence[Part], first: bool) -> list[Operation]:
        """Tokens of a segment without slots, each with the loss of the part that it starts in."""
        texts = tuple(part.text.replace(BREAK, "") for part in segment)
        key = (first, texts)
        if key not in self._constants:
            lead = "" if first else self.encoder.marker.decode()
            ids, starts = self.encoder.ids_and_starts(lead + "".join(texts))
            ends = np.cumsum([len(text.encode()) for text in texts]) + len(lead.encode())
            owners = np.searchsorted(ends, starts, side="right").clip(max=len(segment) - 1)
            tokens = list(zip(ids, owners.tolist(), strict=True))
            bounded(self._constants)[key] = tokens[1:] if lead else tokens
        return [(i, segment[o].loss, segment[o].message) for i, o in self._constants[key]]

    def _source(self, tools: bool = False) -> str | None:
        if self.hf.chat_template is None:
            return None
        try:
            return str(self.hf.get_chat_template(tools=[{}] if tools else None))
        except ValueError as error:
            raise ModelError(f"tokenizer {self.name!r}: {error}") from error

    def _template(self, source: str | None) -> Template | None:
        if source is None:
            return None
        variables = {name: str(token) for name, token in self.hf.special_tokens_map.items()}
        variables |= json.loads(self._arguments[5])
        try:
            return Template(source, variables, self.specials, edges=bool(self._eaters))
        except jinja2.TemplateSyntaxError as error:
            raise ModelError(f"the chat template of {self.name!r} is no Jinja: {error.message}") from error

    def _probe(self) -> None:
        """Refuse a template that gives an assistant turn nothing to learn, or opens another turn behind every
        conversation. Raises: ModelError.
        """
        shape: Shape = (("user", SLOT), ("assistant", SLOT))
        try:
            program = self.program(shape)
            parts = self.marking.cut(shape).parts if program is None else program.parts
            loss = [p.loss & ASSISTANT for p in parts if p.slot == 1]
            if not loss and program is None:
                _, said = self.marking.template.spans(
                    [{"role": role, "content": f"text {role}"} for role, _ in shape], everything=False
                )
                loss = [b - a for a, b in said]
        except Refusal as refusal:
            raise ModelError(
                f"the chat template of {self.name!r} cannot be used: it refuses a question and its answer, "
                f"or does not show which tokens the assistant says ({refusal})"
            ) from refusal
        if not any(loss):
            raise ModelError(f"the chat template of {self.name!r} puts out nothing of what an assistant says")
        assert self.template is not None
        if opened := controls.opened(self.template):
            raise ModelError(
                f"the chat template of {self.name!r} cannot be used: behind every conversation it opens "
                f"another turn ({opened!r}), unasked; take one that heeds "
                "add_generation_prompt (put it into chat_template.jinja of a copy of the tokenizer)"
            )


def _strip_end(atoms: list[Any]) -> None:
    """Take the white space off the end of the constants that `atoms` end with."""
    while atoms and isinstance(atoms[-1], Part) and atoms[-1].slot < 0:
        last = atoms.pop()
        if kept := last.text.rstrip():
            atoms.append(last._replace(text=kept))
            return


def _alternatives(tokens: Iterable[str]) -> re.Pattern[str]:
    """Matches the longest of `tokens`, as group 1; nothing where there are none."""
    ordered = sorted(tokens, key=lambda t: (-len(t), t))
    return re.compile("(" + "|".join(map(re.escape, ordered)) + ")" if ordered else "((?!))")
