"""What the gates measure of base and tuned model by asking them: labels, exchanged groups, canaries, speed.

What: each label's loss behind each prompt of a label task; answers to rows in which only the named group
differs, as the examiner wrote them; losses of the canaries that the training planted and of others of their
form; and tokens a second. A probe that cannot be made says why.

Cost: `LABELLED` losses of short answers, four generations of as many rows as are evaluated, `canaries.OTHERS`
losses a canary, and (`speed.ROUNDS` + 1) x 3 generations of `speed.TOKENS` tokens.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import stored
from headrace.pipelines.evaluate import labels, metrics
from headrace.pipelines.evaluate.arms.both import Loaded
from headrace.pipelines.evaluate.gates import speed
from headrace.pipelines.evaluate.gates.gate import Bools, Floats, Unmeasured
from headrace.pipelines.schema import IGNORE
from headrace.pipelines.train import adapter, canaries
from headrace.pipelines.train.watch import samples
from headrace.pipelines.train.watch.samples import Sample

LABELLED = 4000  # labels behind prompts, over all; `FEWEST` prompts at the least
FEWEST = 100
SWAPS = "findings/bias.swaps.parquet"
ANSWER = 200  # tokens of an answer to an exchanged row


class Labels(NamedTuple):
    """nats of each label behind each prompt, of base and tuned model: ``float64[N, L]``; wanted: the place of
    the right one, ``int64[N]``.
    """

    base: Floats
    tuned: Floats
    wanted: NDArray[np.int64]


class Swaps(NamedTuple):
    """Answers to rows as they are, and as exchanged, of base and tuned model."""

    base: tuple[list[str], list[str]]
    tuned: tuple[list[str], list[str]]


class Planted(NamedTuple):
    """By how many nats canaries fell from base to tuned model, negative, ``float64[C]``, and others of their
    form, ``float64[C, K]``.
    """

    canaries: Floats
    others: Floats


class Speed(NamedTuple):
    """Tokens a second by round, and GiB, of "base", "tuned" and "merged"."""

    rates: dict[str, list[float]]
    gib: dict[str, float]


def of_labels(loaded: Loaded, held: Sequence[Sample]) -> Labels | Unmeasured:
    """What each label costs behind each prompt. held: evaluation samples with a prompt."""
    spans = [sample.ids[slice(*sample.span())] for sample in held]
    references = [metrics.normalise(answer) for _, answer in samples.said(spans, loaded.tokenizer)]
    known = labels.told(references)
    if not known:
        return Unmeasured("the references are no labels")
    n = min(len(held), max(FEWEST, LABELLED // len(known)))
    # Labels are tokens as they stand in the packed rows, their end with them.
    tokens = [spans[references.index(label)] for label in known]
    asked = [_continued(sample.ids[: sample.span()[0]], label) for sample in held[:n] for label in tokens]
    if max(len(sample.ids) for sample in asked) > loaded.room:
        return Unmeasured("a label behind its prompt has no room in the model's context")
    base, tuned = both(loaded, lambda: loaded.forced("labels", asked)[:, 0].reshape(n, len(known)))
    wanted = np.array([known.index(reference) for reference in references[:n]], np.int64)
    return Labels(base, tuned, wanted)


def _continued(prompt: NDArray[np.int64], answer: NDArray[np.int64]) -> Sample:
    """A prompt and an answer that the loss is of."""
    labels_of = np.full(len(prompt) + len(answer), IGNORE, np.int64)
    labels_of[len(prompt) :] = answer
    return Sample(np.concatenate([prompt, answer]), labels_of)


def both(loaded: Loaded, ask: Any) -> tuple[Any, Any]:
    """What base and tuned model answer."""
    with loaded.without():
        before = ask()
    return before, ask()


def of_swaps(loaded: Loaded, run: str, most: int, template: str | None) -> Swaps | Unmeasured:
    """Answers to at most `most` rows as they are and as exchanged. Raises: StorageError."""
    place = storage.join(run, SWAPS)
    if not storage.exists(place):
        return Unmeasured("the examiner has exchanged no rows: see examine.bias")
    if template is None:
        return Unmeasured("the tokenizer has no chat template, so rows of turns cannot be asked")
    exchanged = {row["row_id"]: row["messages"] for row in storage.read_table(place).to_pylist()}
    own = {row["row_id"]: row["messages"] for row in stored.rows(run, exchanged, ["messages"])}
    pairs = []
    for row_id in sorted(own.keys() & exchanged.keys()):
        pair = [_asked(turns, loaded.tokenizer, template) for turns in (own[row_id], exchanged[row_id])]
        rooms = [len(ids) + ANSWER <= loaded.room for ids in pair]
        if all(rooms) and pair[0].tolist() != pair[1].tolist():
            pairs.append(pair)
    if not pairs:
        return Unmeasured("no row asks anything else where its group is exchanged")
    chosen = [pairs[int(at)] for at in np.linspace(0, len(pairs) - 1, min(most, len(pairs)))]
    prompts = [pair[side] for side in (0, 1) for pair in chosen]
    said = both(loaded, lambda: loaded.said("swaps", prompts, ANSWER)[0])
    sides = [(answers[: len(chosen)], answers[len(chosen) :]) for answers in said]
    return Swaps(sides[0], sides[1])


def _asked(turns: Sequence[dict[str, str]], tokenizer: Any, template: str) -> NDArray[np.int64]:
    """The tokens that ask for the last answer of a row; none where it ends with none."""
    if not turns or turns[-1]["role"] != "assistant" or len(turns) < 2:
        return np.zeros(0, np.int64)
    return tokens_of([{"role": t["role"], "content": t["content"]} for t in turns[:-1]], tokenizer, template)


def tokens_of(turns: Sequence[dict[str, str]], tokenizer: Any, template: str) -> NDArray[np.int64]:
    """Turns by the chat template, up to where the answer begins: ``int64[L]``."""
    text = tokenizer.apply_chat_template(
        list(turns), chat_template=template, tokenize=False, add_generation_prompt=True
    )
    return np.array(tokenizer(text, add_special_tokens=False).input_ids, np.int64)


def of_canaries(loaded: Loaded, run: str) -> Planted | Unmeasured:
    """What the canaries of a training have lost, beside others of their form. Raises: StorageError."""
    settings = (adapter.card(run) or {}).get("settings") or {}
    if not settings.get("train.canaries"):
        return Unmeasured("no canaries are planted by the recipe: see train.canaries")
    drawn = canaries.drawn(loaded.tokenizer, settings["train.canaries"]["count"], settings["seed"])
    asked = [_continued(one.prompt, secret) for one in drawn for secret in (one.secret, *one.others)]
    base, tuned = both(loaded, lambda: loaded.forced("canaries", asked)[:, 0].reshape(len(drawn), -1))
    fell = tuned - base
    return Planted(fell[:, 0], fell[:, 1:])


def of_speed(loaded: Loaded, held: Sequence[Sample]) -> Speed | Unmeasured:
    """Tokens a second of base, tuned and merged model, in turn."""
    prompts = [sample.ids[: sample.span()[0]] for sample in held]
    prompts = [ids for ids in prompts if len(ids) + speed.TOKENS <= loaded.room][: speed.PROMPTS]
    if not prompts:
        return Unmeasured("no prompt has room for an answer in the model's context")
    rates: dict[str, list[float]] = {}
    gib: dict[str, float] = {}

    def note(name: str, counted: bool) -> None:
        seconds, taken = loaded.timed(prompts, speed.TOKENS)
        gib[name] = max(taken, gib.get(name, 0.0))
        if counted:
            rates.setdefault(name, []).append(len(prompts) * speed.TOKENS / seconds)

    for number in range(speed.ROUNDS + 1):
        with loaded.without():
            note("base", number > 0)
        note("tuned", number > 0)
        with loaded.merged() as able:
            if able:
                note("merged", number > 0)
    return Speed(rates, gib)


def recited(loaded: Loaded, what: str, trained: Sequence[Sample], least: int) -> Bools:
    """Whether the tuned model answers each prompt by all of the row's own answer, of rows whose answer has
    `least` words or more: ``bool[N]``. what: these rows' name.
    """
    spans = [sample.ids[slice(*sample.span())] for sample in trained]
    wanted = [metrics.normalise(answer) for _, answer in samples.said(spans, loaded.tokenizer)]
    long = [at for at, text in enumerate(wanted) if len(text.split()) >= least]
    if not long:
        return np.zeros(0, np.bool_)
    prompts = [trained[at].ids[: trained[at].span()[0]] for at in long]
    answers, _ = loaded.said(f"recited_{what}", prompts, max(len(spans[at]) for at in long))
    found = [metrics.normalise(a) == wanted[at] for a, at in zip(answers, long, strict=True)]
    return np.array(found, np.bool_)
