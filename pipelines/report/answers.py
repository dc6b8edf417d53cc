"""Sample answers: prompts as the turns they are made of, and which answers were won, lost, or are odd.

What: evaluation/samples.json holds prompts as the model was given them, with the marks of its chat template.
Known marks (ChatML, Llama 3, Gemma, Phi, Mistral) are read back into turns; of another template the text
stays, with what looks like a mark shown as a thin line. Each answer's likeness to the reference is its token
F1: the tuned model won where it is nearer, lost where the base is; a surprise is an answer of the tuned model
that has little to do with the reference though it was not lost.

Cost: none to speak of.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from headrace.pipelines.evaluate import metrics

SHOWN = 3  # of each kind
CHARACTERS = 1200  # of one text
APART = 0.1  # token F1 between two answers that counts as a difference
FAR = 0.3  # token F1 to the reference under which an answer is a surprise
KINDS = {
    "won": "The tuned model is nearer to the reference",
    "lost": "The base is nearer to the reference",
    "surprise": "Neither is near: look what the tuned model says",
    "even": "Both are alike",
}
ROLES = ("system", "user", "assistant", "tool", "model", "developer")
_ROLE = "|".join(ROLES)
# What begins a turn, with the role in the first group that matches; a reasoning model's own marks stay text.
BEGIN = re.compile(
    rf"<\|im_start\|>\s*({_ROLE})[^\n]*\n?"
    rf"|<\|start_header_id\|>\s*({_ROLE})\s*<\|end_header_id\|>\s*"
    rf"|<start_of_turn>\s*({_ROLE})[^\n]*\n?"
    rf"|<\|({_ROLE})\|>\s*"
    r"|(?:<s>)?\s*(\[INST\])\s*"
)
MARK = re.compile(r"<\|[\w/ .-]{1,40}\|>|</?(?:s|bos|eos|start_of_turn|end_of_turn)>|\[/?INST\]")


class Turn(NamedTuple):
    """What one speaker said."""

    role: str
    text: str


class Answer(NamedTuple):
    """A prompt with the answers to it. kind: one of `KINDS`; times: to how many of the kept prompts the tuned
    model said just this.
    """

    kind: str
    turns: list[Turn]
    reference: str
    base: str
    tuned: str
    times: int


def view(written: Mapping[str, Any]) -> dict[str, Any] | None:
    """Some answers of each kind, and how many of each there are; None before evaluation.

    `written` is evaluation/samples.json.
    """
    samples = written.get("samples") or ()
    times = Counter(sample["tuned"] for sample in samples)
    each = [_answer(sample, times[sample["tuned"]]) for sample in samples]
    if not each:
        return None
    kinds = {kind: [one for one in each if one.kind == kind] for kind in KINDS}
    shown = [(kind, KINDS[kind], of[:SHOWN], len(of)) for kind, of in kinds.items() if of]
    return {"kinds": shown, "kept": len(each)}


def _answer(sample: Mapping[str, str], times: int) -> Answer:
    reference = sample["reference"]
    base, tuned = (_near(sample[who], reference) for who in ("base", "tuned"))
    kind = "won" if tuned > base + APART else "lost" if base > tuned + APART else "even"
    if kind == "even" and tuned < FAR:
        kind = "surprise"
    texts = {name: cut(plain(sample[name])) for name in ("reference", "base", "tuned")}
    return Answer(kind, turns(sample["prompt"]), **texts, times=times)


def _near(answer: str, reference: str) -> float:
    """Token F1 of an answer; 1 where it is the reference, whatever its script."""
    return 1.0 if answer.strip() == reference.strip() else float(metrics.token_f1([answer], [reference])[0])


def turns(prompt: str) -> list[Turn]:
    """A rendered prompt as turns; one of role `prompt` where no mark is known. Empty turns are left out."""
    begins = list(BEGIN.finditer(prompt))
    if not begins:
        return [Turn("prompt", cut(plain(prompt)))]
    ends = [*(match.start() for match in begins[1:]), len(prompt)]
    found = [Turn("", prompt[: begins[0].start()])]
    for match, end in zip(begins, ends, strict=True):
        role = next(group for group in match.groups() if group)
        found.append(Turn("user" if role == "[INST]" else role, prompt[match.end() : end]))
    said = [Turn(turn.role or "before", cut(plain(turn.text))) for turn in found]
    return [turn for turn in said if turn.text]


def plain(text: str) -> str:
    """A text without the marks of a template."""
    return MARK.sub("", text).strip()


def cut(text: str) -> str:
    """A text of a readable length; what is missing is said."""
    more = len(text) - CHARACTERS
    return text if more <= 0 else f"{text[:CHARACTERS]} … {more:,} characters more"
