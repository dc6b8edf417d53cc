"""Values within words: text of pages and PDFs has lost the blanks around them, or people left them out.

`joined_emails`: "write to jane@example.comThanks". `joined_phones`: "tel4155550123now", "Fax+442079460958or",
"call415-555-0123". `joined_ssns`: "ssn123-45-6789and". `joined_cards`: "card4111111111111111exp".

What stands at a word's edge is found by others, and a value within a word says less: so more is asked here.
An address ends in a suffix with letters behind it that make no suffix and no name of code; a number of
letters and digits has the form of a telephone number, a label in front, or a checksum and beside it letters
that are no hexadecimal digits.
"""

import functools
import re
from typing import Any

import phonenumbers

from headrace.pipelines.stages.pii.recognizers.checksums import is_card
from headrace.pipelines.stages.pii.recognizers.emails import NO_LOCALS
from headrace.pipelines.stages.pii.recognizers.lists import words
from headrace.pipelines.stages.pii.recognizers.recognizer import Recognizer, Span, before, digits, span

LOCAL = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}\Z")
NO_HOSTS = frozenset(words("no_joined_hosts"))
LETTERS_BEFORE, LETTERS_BEHIND = re.compile(r"[A-Za-z]+\Z"), re.compile(r"[A-Za-z]+")
HEXADECIMAL = frozenset("abcdefABCDEFxX")


def joined_mail(match: Any, score: float) -> Span | None:
    """The part before the @, and the host up to its suffix; the letters behind are the next word's."""
    text, start = match.string, match.start()
    local, word = LOCAL.search(before(text, start, 64)), LETTERS_BEHIND.match(match["last"])
    if local is None or local[0].lower() in NO_LOCALS or (word and word[0].lower() in NO_HOSTS):
        return None
    if _is_suffix(match[0][1:]):
        return None
    return start - len(local[0]), match.start("last") + len(match["suffix"]), score


@functools.lru_cache(1 << 12)
def _is_suffix(host: str) -> bool:
    """Whether a host ends in a suffix that there is, so that others find the address."""
    return bool(_extractor()(host.lower()).suffix)


@functools.cache
def _extractor() -> Any:
    import tldextract

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def joined_number(match: Any, score: float) -> Span | None:
    """A number that may be dialled, with a plus or from the USA."""
    start, end = span(match)
    try:
        number = phonenumbers.parse(match.string[start:end], "US")
    except phonenumbers.NumberParseException:
        return None
    return (start, end, score) if phonenumbers.is_valid_number(number) else None


def joined_card(match: Any, score: float) -> Span | None:
    """Sixteen digits with the checksum of a card, and beside them letters that are no hexadecimal digits."""
    text, (start, end) = match.string, span(match)
    ahead = LETTERS_BEFORE.search(before(text, start, 24))
    behind = LETTERS_BEHIND.match(text, end, end + 24)
    letters = (ahead[0] if ahead else "") + (behind[0] if behind else "")
    if not is_card(digits(text[start:end])) or HEXADECIMAL.issuperset(letters):
        return None
    return start, end, score


RECOGNIZERS = (
    Recognizer(
        "joined_emails",
        "EMAIL_ADDRESS",
        (
            (
                r"(?i)@(?:[a-z0-9-]{1,40}\.){1,3}(?P<last>(?P<suffix>com|org|net|edu|gov)[a-z0-9_]{1,16})"
                r"(?![\w(@.-])",
                0.6,
            ),
            (
                r"@(?:[A-Za-z0-9-]{1,40}\.){1,3}(?P<last>(?P<suffix>de|fr|it|es|nl|ch|at|uk|eu|ru|pl)"
                r"[A-Z][a-z]{1,16})(?![\w(@.-])",
                0.6,
            ),
        ),
        joined_mail,
    ),
    Recognizer(
        "joined_phones",
        "PHONE_NUMBER",
        (
            (
                r"(?i)(?<![^\W_])(?:tel|phone|telephone|mobile|call|calls|fax|cell|whatsapp|sms|text|dial|ring)"
                r"(?:no|number|us|me)?[.:]?(?P<it>\+?1?[2-9]\d{2}[2-9]\d{6})(?!\d)",
                0.6,
            ),
            (r"(?<=[a-z])(?P<it>\(?[2-9]\d{2}\)?[.-][2-9]\d{2}[.-]\d{4})(?![\d%]|[.-]\d)", 0.6),
            (r"(?<![\w.+*/=$€£-])(?P<it>\(?[2-9]\d{2}\)?[ .-]?[2-9]\d{2}[.-]\d{4})(?=[A-Za-z])", 0.6),
            (r"(?<=[A-Za-z])(?P<it>\+[1-9]\d{7,14})(?!\d)", 0.6),
            (r"(?<![\w+])(?P<it>\+[1-9]\d{7,14})(?=[A-Za-z])", 0.6),
        ),
        joined_number,
    ),
    Recognizer(
        "joined_ssns",
        "US_SSN",
        (
            (r"(?<=[A-Za-z])(?!000|666|9)(?P<it>\d{3}-(?!00)\d{2}-(?!0000)\d{4})(?![\d-])", 0.6),
            (r"(?<![\w-])(?!000|666|9)(?P<it>\d{3}-(?!00)\d{2}-(?!0000)\d{4})(?=[A-Za-z_])", 0.6),
        ),
        None,
    ),
    Recognizer(
        "joined_cards",
        "CREDIT_CARD",
        (
            (r"(?<=[A-Za-z])(?P<it>[3-6]\d{3}(?:[ -]?\d{4}){3})(?![\d-])", 0.6),
            (r"(?<![\w.-])(?P<it>[3-6]\d{3}(?:[ -]?\d{4}){3})(?=[A-Za-z])", 0.6),
        ),
        joined_card,
    ),
)
