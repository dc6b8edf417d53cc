"""Presidio's default English pattern recognisers over a blank tokenizer, set up once a process.

What: no language model, nothing downloaded, the list of domain suffixes pinned to the one that tldextract
ships. `engine().analyze` is plain Presidio; `presidio.scanner` finds the same without it.

Privacy: Presidio's loggers are silenced below ERROR and have no text; a pattern that ran out of time, which
Presidio only logs and skips, is an error here, so that no text passes unexamined.
Source: https://microsoft.github.io/presidio/
"""

import functools
import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

LANGUAGE = "en"
OPTIONAL = ("torch", "transformers")  # which spaCy and Presidio import where they are installed


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
    with _hidden():
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


@contextmanager
def _hidden() -> Iterator[None]:
    """Import without `OPTIONAL`, which take three seconds of four and of which no pattern has any use.

    What is imported already is seen all the same. `complete` takes it back.
    """
    absent = [name for name in OPTIONAL if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(absent))  # null means that there is no such module
    try:
        yield
    finally:
        for name in absent:
            del modules[name]


def complete() -> None:
    """Let spaCy and Presidio see torch and transformers after all, for whoever runs models here."""
    engine()
    from presidio_analyzer.nlp_engine import huggingface_token_pipe
    from thinc import compat

    if not compat.has_torch:
        importlib.reload(compat)
        seen = {name: value for name, value in vars(compat).items() if "torch" in name}
        for name, module in list(sys.modules.items()):
            if name.startswith("thinc."):  # they took over what it said
                vars(module).update((key, seen[key]) for key in seen.keys() & vars(module).keys())
    if not huggingface_token_pipe.is_available():
        importlib.reload(huggingface_token_pipe)


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
