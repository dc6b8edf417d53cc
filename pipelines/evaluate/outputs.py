"""What evaluation asks of models: teacher-forced losses and greedy answers, of the base, of the tuned model,
and of every other arm.

The torch half of `evaluate.run`, which draws the conclusions. Batches are committed one by one
(`arms.pieces`), so what was asked before a kill is not asked again.

Cost: a pass and a generation of each sample an arm.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash
from transformers import GenerationConfig

from headrace.pipelines import stored
from headrace.pipelines.evaluate.arms import asking, both, documents, others, shots, wanted
from headrace.pipelines.evaluate.arms.asking import Manner
from headrace.pipelines.evaluate.arms.both import Both, Loaded
from headrace.pipelines.evaluate.arms.measured import Measured, Outcome, Questions
from headrace.pipelines.evaluate.arms.pieces import Pieces, Share
from headrace.pipelines.evaluate.arms.prompts import Helped, Room
from headrace.pipelines.evaluate.config import FORCED, Config
from headrace.pipelines.train import adapter, batches, models
from headrace.pipelines.train.running import products, ways
from headrace.pipelines.train.running.ways import Way
from headrace.pipelines.train.watch import samples


class Work(NamedTuple):
    """What is to be measured in a run. keys: of every arm that is wanted, by its name; kept: arms that were
    measured before; probes: the key of what the gates ask beside it.
    """

    run: str
    model: str
    config: Config
    seed: int
    shelf: batches.Shelf
    keys: Mapping[str, str]
    kept: Mapping[str, Measured]
    probes: str = ""


def measure(work: Work, also: Callable[[Loaded], Any] | None = None) -> Outcome:
    """Every arm on the drawn samples; without a tuned model, the base as that.

    also: is asked once more of base and tuned model, while they are loaded.

    Raises: ModelError, RecipeError, SourceError, StorageError.
    """
    found, asked, probed = _measured(work, None, also)
    base = found[wanted.BASE]
    arms = {name: found[name] for name in work.keys if name not in (wanted.BASE, wanted.TUNED)}
    return Outcome(base, found.get(wanted.TUNED, base), **asked._asdict(), probed=probed, arms=arms)


def share(work: Work, own: Share) -> None:
    """Ask what is one worker's share of the batches, and commit it for `measure`. Raises: as `measure`."""
    _measured(work, own, None)


def _measured(
    work: Work, own: Share | None, also: Callable[[Loaded], Any] | None
) -> tuple[dict[str, Measured], Questions, Any]:
    """Arms that are whole, what was asked, and what `also` made of base and tuned model."""
    tuned = work.run if wanted.TUNED in work.keys else None
    base, way = base_of(tuned, work.model, work.config)
    exam = _exam(work, base, way, own)
    drawn, manner = exam.drawn, exam.manner
    found: dict[str, Measured] = dict(work.kept)
    probed = None

    def ask(name: str, model: Any, these: _Drawn, manner: Manner, helped: Helped | None = None) -> None:
        if (one := _arm(model, these, manner, exam.pieces(name), helped)) is not None:
            found[name] = one

    missing = [name for name in work.keys if name not in found]
    few = wanted.shots(work.config)
    pool = _pool(exam) if set(few) & set(missing) else None
    for name in missing:  # before it has an adapter, which changes it in place
        if name == wanted.BASE:
            ask(name, base, drawn, manner)
        elif (helped := _helped(name, exam, few.get(name), pool)) is not None:
            ask(name, base, drawn._replace(chosen=helped.samples, pairs=[]), manner, helped)
    if tuned is not None and (wanted.TUNED in missing or also is not None):
        loaded = products.prepared(adapter.load(tuned, base))
        loaded.generation_config = GenerationConfig()
        if wanted.TUNED in missing:
            ask(wanted.TUNED, loaded, drawn, manner)
        if also is not None:
            probed = also(both.loaded(Both(base, loaded), manner, exam.room, Pieces(work.run, work.probes)))
        del loaded
    del base
    gc.collect()  # one model after the other, as a GPU may hold no two
    if wanted.EARLIER in missing:
        model, way = _earlier(work)
        ask(wanted.EARLIER, model, drawn._replace(pairs=[]), manner._replace(way=way))
        del model
        gc.collect()
    if wanted.LARGER in missing and (one := _larger(exam)) is not None:
        found[wanted.LARGER] = one
    return found, exam.questions, probed


def _earlier(work: Work) -> tuple[Any, Way]:
    """The base with an earlier adapter, and how it is run. Raises: ModelError, StorageError."""
    base, way = base_of(None, work.model, work.config)
    model = products.prepared(others.earlier(str(work.config.earlier), base, work.model))
    model.generation_config = GenerationConfig()
    return model, way


def _mark(sample: samples.Sample) -> str:
    """A digest of a sample's tokens and labels: samples of two runs with one mark are the same."""
    return str(xxhash.xxh3_64_hexdigest(np.stack([sample.ids, sample.labels]).tobytes()))


class _Exam(NamedTuple):
    """What is asked, of which samples, and whose share of it is asked here."""

    work: Work
    drawn: "_Drawn"
    manner: Manner
    room: float
    questions: Questions
    own: Share | None

    def pieces(self, name: str) -> Pieces:
        """Where the batches of an arm are committed."""
        return Pieces(self.work.run, self.work.keys[name], self.own)


def _exam(work: Work, base: Any, way: Way, own: Share | None) -> _Exam:
    """What all arms are asked."""
    configured = base.generation_config
    base.generation_config = GenerationConfig()  # whatever `generate` is not told it takes from the model's
    tokenizer = models.load_tokenizer(work.model)
    room = samples.context(base)
    drawn = _drawn(work.shelf, work.config, work.seed, room)
    ends = samples.stops(configured, tokenizer, drawn.chosen)
    references = [s.ids[slice(*s.span())] for s in drawn.asked]
    longest = asking.longest([len(ids) for ids in references], work.config)
    before = [s.ids[: s.span()[0]] for s in drawn.asked]
    questions = Questions(
        prompts=tokenizer.batch_decode(before, skip_special_tokens=False) if before else [],
        references=[answer for _, answer in samples.said(references, tokenizer)],
        beyond=drawn.beyond,
        longest=longest,
        row_ids=tuple(s.row_id for s in drawn.chosen),
        lengths=tuple(len(s.ids) for s in drawn.chosen),
        asked=tuple(drawn.places),
        fits=tuple(len(ids) <= longest for ids in references),
        marks=tuple(_mark(s) for s in drawn.chosen),
    )
    manner = Manner(tokenizer, ends, longest, work.config.batch_size, way)
    return _Exam(work, drawn, manner, room, questions, own)


def _pool(exam: _Exam) -> shots.Pool:
    """The training samples that examples are taken from."""
    return shots.pool(batches.shelf(exam.work.run, "train"), exam.manner.tokenizer, exam.work.seed)


def _helped(name: str, exam: _Exam, few: wanted.Shots | None, pool: shots.Pool | None) -> Helped | None:
    """The samples with what an arm puts into their prompts; None of an arm that puts nothing there."""
    work, drawn, tokenizer = exam.work, exam.drawn, exam.manner.tokenizer
    room = Room(exam.room, exam.manner.longest)
    if few is not None and pool is not None:
        references = exam.questions.references
        return shots.helped(drawn.chosen, pool, tokenizer, room, *few, references, work.seed)
    if name != wanted.RETRIEVAL or work.config.documents is None:
        return None
    texts = documents.passages(work.config.documents.path, work.config.documents.words)
    last = [""] * len(drawn.chosen)
    rows = turns(work.run, exam.questions.row_ids)
    for place, prompt in zip(drawn.places, exam.questions.prompts, strict=True):
        last[place] = last_asked(rows.get(drawn.chosen[place].row_id, ()), prompt)
    return documents.helped(drawn.chosen, last, texts, tokenizer, room, work.config.documents.top)


def _larger(exam: _Exam) -> Measured | None:
    """The answers of a larger base. Raises: ModelError where it can be asked nothing."""
    work, drawn = exam.work, exam.drawn
    name = str(work.config.larger)
    model, way = base_of(None, name, work.config)
    tokenizer, room = models.load_tokenizer(name), samples.context(model)
    ends = samples.stops(model.generation_config, tokenizer, [])
    model.generation_config = GenerationConfig()
    references, rows = exam.questions.references, turns(work.run, exam.questions.row_ids)
    anew = others.asked_anew(drawn.asked, references, rows, exam.manner.tokenizer, tokenizer)
    asked = {at: ids for at, ids in enumerate(anew) if ids is not None and len(ids) < room}
    if drawn.asked and not asked:
        raise others.refused(name)
    lengths = [len(tokenizer(text, add_special_tokens=False).input_ids) + 1 for text in references]
    manner = Manner(tokenizer, ends, asking.longest(lengths, work.config), work.config.batch_size, way)
    said = asking.said(model, list(asked.values()), manner, exam.pieces(wanted.LARGER))
    if said is None:
        return None
    texts = dict(zip(asked, said[0], strict=True))
    whole = [texts.get(at, ("", "")) for at in range(len(anew))]
    ended = dict(zip(asked, said[1], strict=True))
    return Measured(
        forced=np.zeros((0, 3)),
        answers=[answer for _, answer in whole],
        reasoning=[reasoning for reasoning, _ in whole],
        unfinished=said[1].count(False),
        ended=tuple(ended.get(at, False) for at in range(len(anew))),
        unasked=tuple(at for at in range(len(anew)) if at not in asked),
    )


def turns(run: str, row_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """The turns of rows, by row_id, as far as the run has them. Raises: StorageError."""
    if "messages" not in stored.columns(run):
        return {}
    return {row["row_id"]: row["messages"] or [] for row in stored.rows(run, row_ids, ["messages"])}


def last_asked(of_row: Sequence[Mapping[str, Any]], prompt: str) -> str:
    """What a row asks last, without its template; the whole prompt where that is not in it."""
    text = next((turn["content"] for turn in reversed(of_row) if turn["role"] == "user"), "")
    return text if text and text in prompt else prompt


class _Drawn(NamedTuple):
    """Samples to measure by. pairs: chosen and rejected answers by turns; places: of those among the chosen
    ones that are answered; beyond: how many have no room for an answer.
    """

    chosen: list[samples.Sample]
    pairs: list[samples.Sample]
    places: list[int]
    beyond: int

    @property
    def asked(self) -> list[samples.Sample]:
        """The samples that are answered."""
        return [self.chosen[place] for place in self.places]


def base_of(run: str | None, model: str, config: Config) -> tuple[Any, Way]:
    """The base model, with room for what the run has trained, and how it is run.

    Raises: ModelError, StorageError.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    allowed = ways.candidates("auto", config.attention)
    kinds = models.kinds(models.configuration(model), model, (way.attention for way in allowed))
    loaded = models.load(model, models.precision(config.precision, device), kinds[0])
    base = products.prepared(loaded.to(device))
    way = ways.proved(base, [way for way in allowed if way.attention in kinds], model)
    if run is not None:
        models.widened(base, adapter.tokens(run))
    return base, way


def _drawn(shelf: batches.Shelf, config: Config, seed: int, room: float) -> _Drawn:
    """The samples that the recipe asks for; `room`: tokens of the model's context."""
    pairs: list[samples.Sample] = []
    if "preference_accuracy" in config.metrics:
        pairs = samples.drawn_pairs(shelf, config.samples, seed)
    chosen = samples.drawn(shelf, config.samples, seed, beside=len(pairs))
    answered = bool(set(config.metrics) - FORCED)
    prompts = [s.span()[0] if answered else 0 for s in chosen]
    places = [i for i, length in enumerate(prompts) if samples.FEWEST <= length < room]
    return _Drawn(chosen, pairs, places, sum(length >= max(room, samples.FEWEST) for length in prompts))


def _arm(
    model: Any, drawn: "_Drawn", manner: Manner, pieces: Pieces, helped: Helped | None
) -> Measured | None:
    """One model on all samples, which are helped ones or as they are; None where others ask some."""
    forced = asking.sums(model, drawn.chosen, manner, pieces)
    said = asking.said(model, [s.ids[: s.span()[0]] for s in drawn.asked], manner, pieces)
    pairs = asking.sums(model, drawn.pairs, manner, pieces, "pairs")
    if forced is None or said is None or pairs is None:
        return None
    texts, ended = said
    answers, reasoning = [a for _, a in texts], [r for r, _ in texts]
    if helped is not None and helped.delimiter:
        ended = [
            end or helped.delimiter in answer.lstrip("\n") for answer, end in zip(answers, ended, strict=True)
        ]
        answers = [answer.lstrip("\n").partition(helped.delimiter)[0] for answer in answers]
    return Measured(
        forced=forced,
        answers=answers,
        reasoning=reasoning,
        unfinished=ended.count(False),
        ended=tuple(ended),
        pairs=-pairs[:, 0].reshape(-1, 2),
        fewer=helped.fewer if helped is not None else 0,
    )
