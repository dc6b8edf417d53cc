"""What an evaluation has kept of base and tuned model on every sample, for whoever looks at it later.

What: evaluation/scores.json says which measurements it was made of (`arms.kept`), and by which section of the
recipe. A sample's mark is a digest of its tokens and labels: two runs whose samples have one mark asked the
same.

Cost: reads four files, of about as many bytes as prompts and answers have.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from headrace.cluster import storage
from headrace.pipelines import stored, structure
from headrace.pipelines.evaluate import standing
from headrace.pipelines.evaluate.arms import kept as arms
from headrace.pipelines.evaluate.arms import wanted
from headrace.pipelines.evaluate.arms.measured import Measured, Outcome
from headrace.pipelines.evaluate.config import Config

Turns = list[tuple[str, str]]  # role and text of each


class Kept(NamedTuple):
    """An evaluation: its key, both models on all samples, the section that it was made by, and the places of
    samples that stand in training.
    """

    key: str
    outcome: Outcome
    config: Config
    in_training: tuple[int, ...] = ()


def read(run: str) -> Kept | None:
    """The last evaluation of a run; None where it has not kept all of what was said. Raises: StorageError."""
    scores = storage.read_object(storage.join(run, standing.SCORES)) or {}
    if not {"key", "keys", "config"} <= set(scores):
        return None
    names = (wanted.BASE, wanted.TUNED)
    measured = arms.load(run, {name: scores["keys"][name] for name in names})
    asked = arms.questions(run, scores["keys"][wanted.BASE])
    if asked is None or set(measured) != set(names) or len(asked.marks) != len(asked.row_ids):
        return None
    outcome = Outcome(measured[wanted.BASE], measured[wanted.TUNED], **asked._asdict())
    config = Config.model_validate(scores["config"])
    return Kept(scores["key"], outcome, config, tuple(scores.get("in_training", ())))


def taken(outcome: Outcome, places: Sequence[int], answered: Collection[int]) -> Outcome:
    """Some of the samples, in the order of `places`, without pairs of answers.

    answered: the places among them whose answers count.
    """
    of_answer = {place: number for number, place in enumerate(outcome.asked)}
    asked = [at for at, place in enumerate(places) if place in of_answer and at in answered]
    answers = [of_answer[places[at]] for at in asked]
    return replace(
        outcome,
        base=_taken(outcome.base, places, answers),
        tuned=_taken(outcome.tuned, places, answers),
        prompts=[outcome.prompts[n] for n in answers],
        references=[outcome.references[n] for n in answers],
        row_ids=tuple(outcome.row_ids[place] for place in places),
        lengths=tuple(outcome.lengths[place] for place in places),
        marks=tuple(outcome.marks[place] for place in places),
        asked=tuple(asked),
        fits=tuple(outcome.fits[n] for n in answers),
        probed=None,
        arms={},
    )


def _taken(whole: Measured, places: Sequence[int], answers: Sequence[int]) -> Measured:
    """One model on some samples: their places, and the numbers of the answers among all."""
    ended = tuple(whole.ended[n] for n in answers)
    return Measured(
        forced=whole.forced[list(places)],
        answers=[whole.answers[n] for n in answers],
        reasoning=[whole.reasoning[n] for n in answers],
        unfinished=ended.count(False),
        ended=ended,
        unasked=tuple(at for at, n in enumerate(answers) if n in whole.unasked),
    )


def differing(outcome: Outcome) -> tuple[dict[int, int], int]:
    """Answers in which the models differ, the first of each row, as their numbers by row_id; and to how many
    prompts both said the same.
    """
    first: dict[int, int] = {}
    same = 0
    for number, place in enumerate(outcome.asked):
        if outcome.base.answers[number].strip() == outcome.tuned.answers[number].strip():
            same += 1
        else:
            first.setdefault(outcome.row_ids[place], number)
    return dict(sorted(first.items())), same


def turns(run: str, outcome: Outcome) -> list[Turns]:
    """What each answered sample asks, by turns without a template; its prompt as one turn where the run's
    rows do not tell.
    """
    ids = [outcome.row_ids[place] for place in outcome.asked]
    known = "messages" in stored.columns(run)
    rows = {row["row_id"]: row["messages"] for row in stored.rows(run, ids, ["messages"])} if known else {}
    asked = zip(ids, outcome.prompts, outcome.references, strict=True)
    return [_before(rows.get(row) or (), prompt, reference) for row, prompt, reference in asked]


def _before(messages: Any, prompt: str, reference: str) -> Turns:
    """The turns of a row before the one that ends with the reference."""
    for at in range(len(messages) - 1, 0, -1):
        last = messages[at]
        if last["role"] == "assistant" and (last["content"] or "").strip().endswith(reference.strip()):
            before = [(turn["role"], structure.readable(turn["content"] or "")) for turn in messages[:at]]
            if all(structure.text(turn["content"] or "").strip() in prompt for turn in messages[:at]):
                return before
    return [("prompt", prompt)]
