"""Names of people, places and organisations, found by a model through Presidio's own engines.

What: `names` gives every text to the model that the recipe names and returns what Presidio's recogniser
makes of its answer, with places in characters. Equal texts are asked about once, texts of like length
together. A text longer than `PIECE` is given in pieces that end at a paragraph, line, sentence or word and
overlap, so that a name at an end stands whole in one of them. A tag such as `<PERSON_1>` holds no name.

Why: a name has no form that a pattern could know.

Cost: that of the model, by far the largest of all stages: some 10,000 words a second a core for small spaCy
models, a tenth of it for transformers without a GPU. That is why names have a pool of actors of their own.
Source: https://microsoft.github.io/presidio/analyzer/nlp_engines/
"""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from headrace.pipelines.stages.pii.config import Ner
from headrace.pipelines.stages.pii.findings import TAG, Finding, Findings, collected
from headrace.pipelines.stages.pii.ner import models
from headrace.pipelines.stages.pii.presidio.setup import LANGUAGE, engine

PIECE = 20_000  # characters; spaCy needs some 10 KB of memory for one
OVERLAP = 200  # characters that two pieces of a text share
BATCH = 100_000  # characters given to the model at once, at most
TAG_LENGTH = 64  # characters, at most
BREAKS = ("\n\n", "\n", ". ", "。", " ")


class Asker:
    """A model in this process, with the recogniser that reads its answers."""

    def __init__(self, ner: Ner) -> None:
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer, TransformersRecognizer

        self.engine = models.load(ner, device=models.device(ner))
        self.batch = ner.batch
        self.entities = sorted({*models.LABELS.values(), *ner.labels.values()})
        replaced = sorted({*self.entities, *engine().get_supported_entities(LANGUAGE)})
        self.tag = re.compile(f"{TAG}|<(?:{'|'.join(map(re.escape, replaced))})>")
        kind = SpacyRecognizer if ner.engine == "spacy" else TransformersRecognizer
        self.recognizer = kind(supported_entities=self.entities, supported_language=LANGUAGE)

    def ask(self, texts: Sequence[str]) -> list[list[Finding]]:
        """Findings in each text. Raises: whatever the model raises."""
        found = []
        with self.engine.nlp[LANGUAGE].memory_zone():  # else spaCy keeps every word that it has ever met
            for text, artifacts in self.engine.process_batch(list(texts), LANGUAGE, batch_size=len(texts)):
                results = self.recognizer.analyze(text, self.entities, artifacts)
                found.append([self._finding(result) for result in results])
        return found

    def _finding(self, result: Any) -> Finding:
        return Finding(result.start, result.end, result.entity_type, result.score, self.recognizer.name)


def names(texts: pa.Array, ner: Ner) -> Findings:
    """Findings of the model in all texts (string or large_string[N]), by row and place.

    Null holds nothing. A text that the model fails on is in `failures` with the error's type.
    Raises: ModelError where there is no such model.
    """
    coded = texts.cast(pa.large_string()).dictionary_encode()
    unique: list[str] = coded.dictionary.to_pylist()
    if not any(unique):
        return collected([], [], {})
    pieces = [(at, start, piece) for at, text in enumerate(unique) for start, piece in _pieces(text)]
    known: list[dict[tuple[int, int, str], Finding]] = [{} for _ in unique]
    failed: dict[int, str] = {}
    asker = _asker(ner.model_dump_json())
    for batch in _batches(pieces, asker.batch):
        for (at, start, _), findings in zip(batch, _answers(asker, [p for _, _, p in batch]), strict=True):
            if isinstance(findings, str):
                failed[at] = findings
                continue
            for one in findings:
                moved = one._replace(start=one.start + start, end=one.end + start)
                for left in _untagged(unique[at], moved, asker.tag):
                    known[at].setdefault(left[:3], left)
    codes = list(enumerate(coded.indices.fill_null(-1).to_pylist()))
    failures = {row: failed[code] for row, code in codes if code in failed}
    pairs = [
        (row, one)
        for row, code in codes
        if code >= 0 and code not in failed
        for one in sorted(known[code].values())
    ]
    return collected([row for row, _ in pairs], [one for _, one in pairs], failures)


def entities(ner: Ner) -> list[str]:
    """Entities that are taken from the model."""
    labels = {**models.LABELS, **ner.labels}
    return sorted({e for label, e in labels.items() if not {label, e} & set(ner.ignore)})


def unused(ner: Ner) -> list[str]:
    """Labels that the model gives and that stand for no entity. Loads it, on a CPU. Raises: ModelError."""
    taken = {**models.LABELS, **ner.labels}
    return [label for label in models.known(models.load(ner, device="cpu")) if label not in taken]


@functools.cache
def _asker(ner: str) -> Asker:
    return Asker(Ner.model_validate_json(ner))


def _answers(asker: Asker, texts: Sequence[str]) -> list[list[Finding] | str]:
    """Findings in each text, or the type of error that it alone led to."""
    try:
        return list(asker.ask(texts))
    except Exception as error:  # noqa: BLE001 - whatever a text makes a model raise
        if len(texts) == 1:
            return [type(error).__name__]  # the type alone: a message may quote the text
        return [answer for text in texts for answer in _answers(asker, [text])]


def _untagged(text: str, finding: Finding, tag: re.Pattern[str]) -> Iterator[Finding]:
    """The parts of a finding outside of tags such as `<PERSON>`, which models take for names."""
    start = finding.start
    for first, last in (*_tags(text, finding, tag), (finding.end, finding.end)):
        inside = text[start:first]
        begin = start + len(inside) - len(inside.lstrip())
        if any(map(str.isalnum, inside)):
            yield finding._replace(start=begin, end=start + len(inside.rstrip()))
        start = max(start, last)


def _tags(text: str, finding: Finding, tag: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """(start, end) of the tags that overlap a finding, cut to it."""
    around = max(0, finding.start - TAG_LENGTH)
    for match in tag.finditer(text, around, finding.end + TAG_LENGTH):
        if match.start() < finding.end and finding.start < match.end():
            yield max(match.start(), finding.start), min(match.end(), finding.end)


def _batches(pieces: Sequence[tuple[int, int, str]], count: int) -> Iterator[list[tuple[int, int, str]]]:
    """Pieces of like length together, at most `count` and about `BATCH` characters of them."""
    batch: list[tuple[int, int, str]] = []
    size = 0
    for piece in sorted(pieces, key=lambda p: (len(p[2]), p[:2])):
        if batch and (len(batch) == count or size + len(piece[2]) > BATCH):
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += len(piece[2])
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """(first character, piece) of a text; nothing of an empty one."""
    start = 0
    while len(text) - start > PIECE:
        end = _break(text, start + PIECE // 2, start + PIECE)
        yield start, text[start:end]
        start = max(start + 1, _break(text, end - 2 * OVERLAP, end - OVERLAP))
    if text:
        yield start, text[start:]


def _break(text: str, first: int, last: int) -> int:
    """The best place between two to cut `text`; the last one where it has none."""
    for mark in BREAKS:
        at = text.rfind(mark, first, last)
        if at >= 0:
            return at + len(mark)
    return last
