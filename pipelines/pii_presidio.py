"""Presidio's default English pattern recognisers over a blank tokenizer, set up once a process.

What: no language model, nothing downloaded, the list of domain suffixes pinned to the one that tldextract
ships. `engine().analyze` is plain Presidio; `pipelines.pii_engine` finds the same without it.

Privacy: Presidio's loggers are silenced below ERROR and have no text; a pattern that ran out of time, which
Presidio only logs and skips, is an error here, so that no text passes unexamined.
Source: https://microsoft.github.io/presidio/
"""

import functools
import logging
from importlib.metadata import version
from typing import Any, NamedTuple

LANGUAGE = "en"


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
    quiet()
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
def quiet() -> Watch:
    """Silence Presidio; what watches over it."""
    watch = Watch()
    for name in ("presidio-analyzer", "decision_process", "tldextract"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        logger.addFilter(watch)
    logging.getLogger("presidio-analyzer").setLevel(logging.WARNING)  # seen by the watch, then gone
    return watch
