"""E-mail addresses that are spelled out or whose punctuation is gone.

`spelled_emails`: "sam at gmail dot com", "sam [at] gmail [dot] com", "sam(at)gmail.com".
`glued_emails`: "samgmailcom", "sam 42 gmailcom", as in texts without punctuation. `told_emails`: other words
that end in "com", "net" or "org", behind "email" or alone in a line.
"""

import re
from typing import Any

from headrace.pipelines.stages.pii.recognizers.lists import either, words
from headrace.pipelines.stages.pii.recognizers.recognizer import Recognizer, Span, span

ENDINGS = either("email_endings")
PROVIDERS = either("email_providers")
GLUED = PROVIDERS.replace("|proton|", "|").replace("|rediff|", "|")
LOCAL = re.compile(r"[\w.+-]*\w(?:[\[({ ]*(?:dot|underscore|dash)[\])} ]*[\w.+-]*\w){0,2}\Z", re.IGNORECASE)
STRIPPED = re.compile(r"(?:[^\W\d_]+ )?\d{1,8} \Z")
WORD = re.compile(r"\w+ \Z")
NO_LOCALS = frozenset(words("no_email_locals"))

NO_ADDRESSES = frozenset(words("no_emails"))


def spelled(match: Any, score: float) -> Span | None:
    """With the part before the "at", unless that is a mere word."""
    start, end = match.span()
    local = LOCAL.search(match.string, max(0, start - 64), start)
    if local is None or local[0].lower() in NO_LOCALS or local[0].isdigit():
        return None
    if match[0].startswith(" @ ") and not re.search(r"[._\d]", local[0]) and " ." not in match[0]:
        return None  # "lunch @ example.com"
    return local.start(), end, score


def glued(match: Any, score: float) -> Span | None:
    """With what is glued to the provider, or else with the one or two words before."""
    text, (start, end) = match.string, match.span()
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] in "_"):
        start -= 1
    if start < match.start() - 3:
        return start, end, score
    head = text[max(0, start - 50) : start]
    found = STRIPPED.search(head) or (WORD.search(head) if start == match.start() else None)
    if found is None:
        return (start, end, score) if start < match.start() else None
    if found[0].strip() in NO_LOCALS:
        return None
    first = found[0].split()[0]
    kept = len(first) + 1 if first in NO_LOCALS else 0
    return start - len(found[0]) + kept, end, score


def stripped(match: Any, score: float) -> Span | None:
    """A word that ends as addresses do, unless it is one."""
    start, end = span(match)
    return (start, end, score) if match["last"].lower() not in NO_ADDRESSES else None


STRIPPED_FORM = r"(?P<it>(?:[a-z][a-z0-9]*[ ]\d{1,8}[ ])?(?P<last>[a-z0-9]+(?:com|net|org)|com))"
AT = r"(?:[ ]?[\[(<{][ ]?(?:at|ät|a|@)[ ]?[\])}>][ ]?|[ ]at[ ])"
DOT = r"(?:[ ]?[\[(<{][ ]?(?:dot|punkt|\.)[ ]?[\])}>][ ]?|[ ]dot[ ])"
RECOGNIZERS = (
    Recognizer(
        "spelled_emails",
        "EMAIL_ADDRESS",
        (
            (rf"(?i){AT}(?:[a-z0-9-]+{DOT}){{1,3}}(?:{ENDINGS})\b", 0.9),
            (r"(?i)[ ]?[\[(<{][ ]?(?:at|@)[ ]?[\])}>][ ]?(?:[a-z0-9-]{1,40}\.){1,3}[a-z]{2,6}\b", 0.9),
            (
                rf"(?i)[ ]?[\[(<{{](?:ät|a)[\])}}>][ ]?(?:[a-z0-9-]{{1,40}}\.){{1,3}}(?:{ENDINGS})\b",
                0.8,
            ),
            (rf"(?i)[ ]at[ ](?:{PROVIDERS})\.(?:com|net|org|co\.uk|in|de|fr)\b", 0.8),
            (rf"(?i)[ ]?@[ ]?(?:[a-z0-9-]+{DOT}){{1,3}}(?:{ENDINGS})\b", 0.9),
            (rf"(?i)[ ]@[ ](?:[a-z0-9-]+[ ]?\.[ ]?){{1,3}}(?:{ENDINGS})\b", 0.7),
            (rf"(?i)@[ ](?:[a-z0-9-]{{1,40}}\.){{1,3}}(?:{ENDINGS})\b", 0.7),
            (rf"(?i)@[a-z0-9-]{{1,40}}(?:\.[a-z0-9-]{{1,40}}){{0,2}}[ ]\.(?:{ENDINGS})\b", 0.7),
            (rf"(?i)[_-]at[_-](?:[a-z0-9]+[_-]dot[_-]){{1,3}}(?:{ENDINGS})\b", 0.8),
        ),
        spelled,
    ),
    Recognizer(
        "glued_emails",
        "EMAIL_ADDRESS",
        (
            (rf"(?i)(?:{GLUED})(?:comm?|con|net|org|co[ ]?uk|co[ ]?in|in)\b", 0.7),
            (r"(?i)(?:gmail|yahoo|hotmail|rediffmail|icloud)[ ](?:com|net|org|co[ ]uk|co[ ]in)\b", 0.7),
        ),
        glued,
    ),
    Recognizer(
        "told_emails",
        "EMAIL_ADDRESS",
        (
            (
                rf"(?i)(?<!\w)(?:e[ -]?)?mail[ ]?(?:address|id)?(?:[ ]is|[ ]its|:)?[ ]{STRIPPED_FORM}(?!\w)",
                0.6,
            ),
            (rf"(?<![^\n\r]){STRIPPED_FORM}(?![^\n\r])", 0.5),
        ),
        stripped,
    ),
)
