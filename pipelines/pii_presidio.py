"""Presidio's default English pattern recognisers, set up once a process and asked only where they could find.

What: the recognisers of Presidio's own registry over a blank spaCy tokenizer: no language model, nothing
downloaded, the list of domain suffixes pinned to the one that tldextract ships. For a text, the recognisers
that the gate (`pipelines.pii_gate`) does not rule out are called as Presidio's engine calls them, and their
results take the same two steps: raised by context words (only with `context`), duplicates removed. Findings
are those of `AnalyzerEngine.analyze`, to the last score.

Why not the engine: per text it tokenises, copies every result deeply and calls all recognisers; 0.1 to 0.35
MB/s. Without context words nothing of the tokens is ever looked at.

Privacy: Presidio's loggers are silenced below ERROR and have no text; a pattern that ran out of time, which
Presidio only logs and skips, is an error here, so that no text passes unexamined.
Source: https://microsoft.github.io/presidio/
"""

import functools
import logging
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kernels.factors import factors
from kernels.textstats import byte_classes
from pipelines import pii_gate
from pipelines.pii_phone import Phones

LANGUAGE = "en"
DIGIT, WIDE = np.uint64(1), np.uint64(2)


class Finding(NamedTuple):
    """One finding: characters ``start:end`` of its text."""

    start: int
    end: int
    entity: str
    score: float
    recognizer: str


class RanOutOfTimeError(Exception):
    """A pattern was not searched for to the end."""


class Watch(logging.Filter):
    """Lets nothing below ERROR pass, and remembers whether a pattern ran out of time."""

    def __init__(self) -> None:
        super().__init__()
        self.late = False

    def filter(self, record: logging.LogRecord) -> bool:
        self.late |= record.levelno >= logging.WARNING and "timed out" in str(record.msg)
        return False


def versions() -> dict[str, str]:
    """Libraries that decide what is found."""
    names = ("presidio-analyzer", "phonenumbers", "regex", "spacy", "tldextract")
    return {name: version(name) for name in names}


@functools.cache
def engine() -> Any:
    """Presidio's `AnalyzerEngine` over the pattern recognisers and a blank tokenizer."""
    _quiet()
    import spacy
    import tldextract.tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_analyzer.recognizer_registry import RecognizerRegistryProvider

    # The recogniser of e-mail addresses asks the module's own extractor, which would fetch the list.
    offline = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    tldextract.tldextract.TLD_EXTRACTOR = offline
    nlp = SpacyNlpEngine()
    nlp.nlp = {LANGUAGE: spacy.blank(LANGUAGE)}
    nlp.nlp[LANGUAGE].max_length = 1 << 40  # the limit protects models from memory; a tokenizer needs none
    provider = RecognizerRegistryProvider(registry_configuration={"supported_languages": [LANGUAGE]})
    return AnalyzerEngine(
        registry=provider.create_recognizer_registry(), nlp_engine=nlp, supported_languages=[LANGUAGE]
    )


@functools.cache
def _quiet() -> Watch:
    watch = Watch()
    for name in ("presidio-analyzer", "decision_process", "tldextract"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        logger.addFilter(watch)
    logging.getLogger("presidio-analyzer").setLevel(logging.WARNING)  # seen by the watch, then gone
    return watch


class Scanner:
    """All recognisers with their gates; `find` is the whole of Presidio for one text."""

    def __init__(self, *, context: bool) -> None:
        self.context = context
        self.watch = _quiet()
        self.engine = engine()
        self.recognizers = self.engine.registry.get_recognizers(language=LANGUAGE, all_fields=True)
        self.entities = self.engine.get_supported_entities(language=LANGUAGE)
        self.phones: dict[int, Phones] = {}
        gates = []
        for at, recognizer in enumerate(self.recognizers):
            if type(recognizer).__name__ == "PhoneRecognizer":
                self.phones[at] = Phones(tuple(recognizer.supported_regions), recognizer.leniency)
            gates.append(_gate(recognizer))
            recognizer.analyze(text="-", entities=self.entities, nlp_artifacts=None)  # compiles its patterns
        self.always = np.array([gate is None for gate in gates])
        self.gates = [tuple(sorted(gate or (), key=_listed)) for gate in gates]

    def candidates(self, texts: pa.Array) -> NDArray[np.bool_]:
        """Which recognisers could find something in which text: ``bool[N, recognisers]``."""
        classes = byte_classes(texts, _classes())
        possible: NDArray[np.bool_] = factors(texts, self.gates) | self.always
        digits = np.flatnonzero(classes & DIGIT)
        among = texts.take(pa.array(digits))
        for at, phones in self.phones.items():
            possible[:, at] = False
            possible[digits, at] = _found(among, phones.gate)
        wide = np.flatnonzero(classes & WIDE)
        possible[wide[_found(texts.take(pa.array(wide)), pii_gate.odd())]] = True
        return possible

    def find(self, text: str, possible: NDArray[np.bool_]) -> list[Finding]:
        """Findings in one text, sorted by place; `possible` is its row of `candidates`.

        Raises: whatever a recogniser raises; RanOutOfTimeError.
        """
        from presidio_analyzer import EntityRecognizer

        self.watch.late = False
        results: list[Any] = []
        for at in np.flatnonzero(possible):
            results += self._ask(int(at), text)
        if self.watch.late:
            raise RanOutOfTimeError
        if results and self.context:
            results = self.engine._enhance_using_context(
                text, results, self._artifacts(text), self.recognizers, None
            )
        kept = EntityRecognizer.remove_duplicates(results) if results else []
        name = type(kept[0]).RECOGNIZER_NAME_KEY if kept else ""
        return sorted(
            Finding(r.start, r.end, r.entity_type, float(r.score), r.recognition_metadata[name]) for r in kept
        )

    def _ask(self, at: int, text: str) -> list[Any]:
        recognizer = self.recognizers[at]
        spans = self.phones[at].spans(text) if at in self.phones else None
        if spans is None:
            return list(recognizer.analyze(text=text, entities=self.entities, nlp_artifacts=None) or [])
        return _phone_results(recognizer, spans)

    def _artifacts(self, text: str) -> Any:
        """Tokens with their own text as lemma: a blank pipeline has none, and context words would be dead."""
        nlp = self.engine.nlp_engine
        document = nlp.nlp[LANGUAGE](text)
        for token in document:
            token.lemma_ = token.text
        return nlp._doc_to_nlp_artifact(document, LANGUAGE)


@functools.cache
def scanner(context: bool) -> Scanner:
    """The scanner of this process."""
    return Scanner(context=context)


@functools.cache
def _classes() -> NDArray[np.uint64]:
    table = np.zeros(256, np.uint64)
    table[ord("0") : ord("9") + 1] = DIGIT
    table[128:] = WIDE
    return table


def _found(texts: pa.Array, pattern: str) -> NDArray[np.bool_]:
    """Which texts hold an RE2 pattern: ``bool[N]``."""
    found: NDArray[np.bool_] = pc.match_substring_regex(texts, pattern=pattern).to_numpy(zero_copy_only=False)
    return found


def _gate(recognizer: Any) -> frozenset[pii_gate.Factor] | None:
    """Factors of a recogniser that does what its patterns say; null: it must be asked always."""
    from presidio_analyzer import PatternRecognizer

    if not isinstance(recognizer, PatternRecognizer) or not recognizer.patterns:
        return None
    flags = int(recognizer.global_regex_flags)
    return pii_gate.factors_of((pattern.regex, flags) for pattern in recognizer.patterns)


def _listed(factor: pii_gate.Factor) -> list[list[int]]:
    return [sorted(place) for place in factor]


def _phone_results(recognizer: Any, spans: set[tuple[int, int]]) -> list[Any]:
    """What Presidio's recogniser makes of the spans."""
    from presidio_analyzer import AnalysisExplanation, EntityRecognizer, RecognizerResult

    results = [
        RecognizerResult(
            entity_type=recognizer.supported_entities[0],
            start=start,
            end=end,
            score=recognizer.SCORE,
            analysis_explanation=AnalysisExplanation(
                recognizer=recognizer.name, original_score=recognizer.SCORE
            ),
            recognition_metadata={
                RecognizerResult.RECOGNIZER_NAME_KEY: recognizer.name,
                RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: recognizer.id,
            },
        )
        for start, end in sorted(spans)
    ]
    return list(EntityRecognizer.remove_duplicates(results))
