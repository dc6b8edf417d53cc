"""Names of people where the words around say that one stands there.

`introductions`: "my name is ...", "I'm ...", "this is ... speaking". `labels`: "Agent John:" and "John
Smith:" at the start of a line, "Name: ...". `greetings`: "Hi Anna,". `signoffs`: "Best regards,\\nJohn".
`titles`: "Dr. Smith", but no unit ("ms Latency") and no abbreviation ("MS Word"). Other names need a model.
"""

import re
from collections.abc import Iterator
from typing import Any

from headrace.pipelines.stages.pii.recognizers.lists import either, words
from headrace.pipelines.stages.pii.recognizers.recognizer import (
    CAPITAL,
    LETTER,
    Recognizer,
    Span,
    before,
    span,
)

GIVEN = frozenset(words("given_names"))
NO_NAMES = frozenset(words("no_names"))
LABELS = frozenset(words("roles"))
NO_TITLED = frozenset(words("no_titled"))
MEASURES = frozenset(words("measures"))
# What stands before "ms" where it is a unit, and before a person.
UNIT = re.compile(r"(?:\d|[\[(/|]|\bin|\bper|\b(?:avg|p\d\d))[ ]?\Z", re.IGNORECASE)
ANNOUNCED = re.compile(
    r"\b(?:to|with|from|by|for|and|dear|hi|hello|hey|thanks|thank you|tell|told|ask|asked|met|meet|see|saw|"
    r"know|call|called|contact|am|i'm|is|was|are|that|when|because|as|miss|love|like|said),?[ ]\Z",
    re.IGNORECASE,
)
MOST = 4  # words of a name
PARTICLES = frozenset(words("particles"))
INITIAL = re.compile(rf"{CAPITAL}\.?\Z")
OWNER = re.compile(r"([\w'’]+) \Z")
OWNERS = frozenset(words("owners"))
PIECES = re.compile(rf"(?:{LETTER}+(?:['’-]{LETTER}+)*)\.?")
GAP = re.compile(r"[ ]?")


def is_capital(word: str) -> bool:
    """Whether a word is written as a name: its first letter, or all, in capitals."""
    return word[:1].isupper()


def taken(text: str, start: int, end: int, most: int = MOST) -> Iterator[tuple[int, int]]:
    """The words in ``start:end``, one space apart, as far as they may be those of a name."""
    at = start
    for _ in range(most):
        word = PIECES.match(text, at, end)
        if word is None:
            return
        bare = word[0].rstrip(".")
        if bare.lower() in NO_NAMES or (bare.lower().split("'")[0] in NO_NAMES and "'" in bare):
            return
        dotted = word[0].endswith(".") and bool(INITIAL.match(word[0]))
        yield at, at + len(word[0] if dotted else bare)
        if (word[0] != bare and not dotted) or text[word.end() : word.end() + 1] != " ":
            return
        at = word.end() + 1


def named(text: str, start: int, end: int, *, capitals: bool) -> tuple[int, int] | None:
    """The name that begins at `start`; with `capitals` all its words but particles have one."""
    stop, first = start, -1
    for begin, until in taken(text, start, end):
        word = text[begin:until]
        if not is_capital(word) and (capitals and word.lower() not in PARTICLES):
            break
        if word.lower() in PARTICLES and word.islower():
            continue
        first = begin if first < 0 else first
        stop = until - 2 if word.endswith(("'s", "’s")) else until
        if stop < until:
            break
    return (start, stop) if stop > start and first >= 0 else None


def introduced(match: Any, score: float) -> Span | None:
    """A name behind "my name is" or the like, in any case where the text knows no capitals."""
    text, (start, end) = match.string, span(match)
    owner = OWNER.search(before(text, match.start(), 20)) if match[0][:4].lower() == "name" else None
    if owner and owner[1].lower() not in OWNERS and not owner[1].endswith(("'s", "’s")):
        return None
    name = named(text, start, end, capitals=True)
    if name is None and not is_capital(text[start : start + 1]):
        both = list(taken(text, start, end, 2))
        name = (start, both[-1][1]) if both else None
    return name and (*name, score)


def known(match: Any, score: float) -> Span | None:
    """A name that is known, or written with capitals behind words that are not."""
    text, (start, end) = match.string, span(match)
    word = PIECES.match(text, start, end)
    first = word[0].rstrip(".") if word else ""
    if first[:1].islower() and first.lower() not in GIVEN and first.lower() not in PARTICLES:
        return None  # most are
    name = named(text, start, end, capitals=True)
    if name is None:
        name = next(taken(text, start, end), None)
        if name is None or text[slice(*name)].lower() not in GIVEN or is_capital(text[start : start + 1]):
            return None
        return *more(text, *name, end), score
    first = text[slice(*name)].split()[0]
    sure = not match[0].lower().startswith(("called ", "named "))
    if first.lower() in GIVEN or (sure and first.istitle() and len(first) > 2 and not match[0].istitle()):
        return *name, score
    return None


def more(text: str, start: int, stop: int, end: int) -> tuple[int, int]:
    """The name ``start:stop`` in small letters with a second word if a sentence ends behind it."""
    both = list(taken(text, start, end, 2))
    if len(both) == 2 and (
        text[start:stop].lower() in GIVEN or text[both[1][1] : both[1][1] + 1] in ".,?!;\n"
    ):
        stop = both[1][1]
    return start, stop


def capital(match: Any, score: float) -> Span | None:
    """A name that is written with capitals."""
    name = named(match.string, *span(match), capitals=True)
    return name and (*name, score)


def labelled(match: Any, score: float) -> Span | None:
    """The label of a line: a role and a name, or a given name that is known, with or without more."""
    text, (start, end), (begin, stop) = match.string, match.span("it"), match.span("role")
    if begin < stop and text[begin:stop].strip().lower() in LABELS:
        begin = start
    else:  # most labels are no names
        first = text[begin:end].split()[0].split("-")[0]
        if first.lower() not in GIVEN or not is_capital(first):
            return None
    name = named(text, start, end, capitals=True)
    return (begin, end, score) if name and name[1] == end else None


def greeted(match: Any, score: float) -> Span | None:
    """A name between a greeting and a mark, or a known one before anything."""
    name = named(match.string, *span(match), capitals=True)
    if name is None:
        return None
    behind, first = match.string[name[1] : name[1] + 1], match.string[slice(*name)].split()[0]
    if first.lower() in GIVEN:
        return *name, score
    return (*name, score) if not first.isupper() and (not behind or behind in ",!.:\n-–?") else None


def signed(match: Any, score: float) -> Span | None:
    """A name that fills the line below."""
    name = named(match.string, *span(match), capitals=True)
    if name is None or match.string[name[1] : name[1] + 1] not in ("", "\n", ",", ".", "\r"):
        return None
    return *name, score


def titled(match: Any, score: float) -> Span | None:
    """The name behind a title, in any case behind one with capitals or a dot."""
    text, (start, end) = match.string, span(match)
    name = named(text, start, end, capitals=True)
    if name is None and not is_capital(text[start : start + 1]) and match[0].islower():
        first = next(taken(text, start, end), None)
        name = first and more(text, *first, end)
    if name is None or is_abbreviation(text, match.start(), text[match.start() : start], text[slice(*name)]):
        return None
    return *name, score


def is_abbreviation(text: str, start: int, title: str, name: str) -> bool:
    """Whether a title without a dot is a unit, or short for a product, a review, a scan, a debit."""
    title, first = title.strip(), re.split(r"[\s'’-]", name.lower())[0]
    if title.endswith(".") or len(title) > 4:
        return False
    if first in NO_TITLED:
        return True
    if title != "ms":
        return False
    ahead = before(text, start, 20)
    if first in MEASURES or UNIT.search(ahead):
        return True
    # Whoever writes names with capitals writes the title with one as well, or at least a sentence around it.
    return is_capital(name) and first not in GIVEN and not ANNOUNCED.search(ahead)


WORD = rf"{LETTER}+(?:['’-]{LETTER}+){{0,3}}"
ANY = rf"{WORD}\.?(?:[ ]{WORD}\.?){{0,4}}"
UPPER = rf"{CAPITAL}{LETTER}*(?:['’-]{LETTER}+){{0,3}}\.?"
NAME = (
    rf"{UPPER}(?:[ ](?:{UPPER}|van|von|der|den|de|del|della|di|da|dos|du|la|le|bin|al|el|ter|ten|zu)){{0,4}}"
)
RECOGNIZERS = (
    Recognizer(
        "introductions",
        "PERSON",
        (
            (rf"(?i)(?<!\w)name(?:['’]s|[ ](?:here[ ])?is|[ ]was)[ ](?P<it>{ANY})", 0.8),
            (rf"(?i)(?<!\w)my[ ](?:full[ ]|first[ ]|last[ ])?name[ ](?P<it>{ANY})", 0.6),
            (
                rf"(?<!\w)(?:[Mm]y|[Tt]he) [Nn]ame (?:on|in) (?:the|my) \w{{1,16}}\?? (?:is )?(?P<it>{NAME})",
                0.6,
            ),
            (rf"(?<!\w)(?:[Ii]['’ ]?[Mm]|I am|i am|I AM)[ ](?P<it>{NAME})(?!\w)", 0.6),
            (
                rf"(?<!\w)(?:[Tt]his is|[Ii]t['’]s|[Ii]t is|[Hh]ere is)[ ](?P<it>{NAME})(?:,? (?:speaking|"
                rf"calling|here|from)\b|[.,] (?:I|[Ww]ho|[Hh]ow|[Mm]ay)\b)",
                0.7,
            ),
            (
                rf"(?<![^\n>])[ >]{{0,3}}(?:(?:[Ff]ull|[Ff]irst|[Ll]ast|[Cc]ustomer|[Pp]atient|[Uu]ser)"
                rf"[ ])?(?:[Nn]ame|NAME)[ ]?:[ ]{{0,8}}(?P<it>{ANY})",
                0.7,
            ),
        ),
        introduced,
    ),
    Recognizer(
        "namings",
        "PERSON",
        (
            (rf"(?i)(?<!\w)(?:called|calls?[ ](?:me|him|her)|named(?:[ ](?:him|her))?)[ ](?P<it>{ANY})", 0.5),
            (r"(?i)(?<!\w)(?:i['’]?m|i[ ]am)[ ](?P<it>[a-z]{2,24}(?:[ ][a-z]{2,24})?)(?!\w)", 0.5),
            (rf"(?i)(?<!\w)speaking[ ](?:with|to)[ ](?P<it>{ANY})", 0.5),
        ),
        known,
        (
            rf"(?i)[^ ]+[ ](?:[^ ]+[ ])?(?:{either('given_names')}|{either('particles')})(?!{LETTER})",
            rf"[^ ]+[ ](?:[^ ]+[ ])?{CAPITAL}",
        ),
    ),
    Recognizer(
        "labels",
        "PERSON",
        ((rf"(?<![^\n>])[ >]{{0,3}}(?P<role>(?:[A-Za-z]{{3,14}}[ ])?)(?P<it>{NAME}):(?=[ \n\"])", 0.6),),
        labelled,
        (rf"(?i)[ >]{{0,3}}(?:(?:{either('roles')})[ ]|(?:{either('given_names')})[ :-])",),
    ),
    Recognizer(
        "greetings",
        "PERSON",
        (
            (
                rf"(?<!\w)(?:[Hh]i|[Hh]ey|[Hh]ello|[Dd]ear|HI|HELLO|DEAR|[Gg]ood (?:morning|afternoon|"
                rf"evening)|[Tt]hanks|[Tt]hank you|[Ww]elcome)(?:,)?[ ](?P<it>{NAME})",
                0.6,
            ),
        ),
        greeted,
    ),
    Recognizer(
        "signoffs",
        "PERSON",
        (
            (
                rf"(?i)(?<!\w)(?:regards|sincerely|cheers|yours(?:[ ](?:truly|faithfully|sincerely))?|best"
                rf"(?:[ ]wishes)?|thanks|thank you|respectfully|cordially|love|take care)"
                rf"[,.!]?[ ]?\r?\n[\s-]{{0,6}}(?P<it>{ANY})",
                0.6,
            ),
        ),
        signed,
    ),
    Recognizer(
        "titles",
        "PERSON",
        (
            (
                rf"(?<!\w)(?:M(?:r|rs|s|x)|Dr|Prof|Professor|Miss|Sir|Madam|Mister|Herr|Frau|Mme|Mlle|"
                rf"Señora?|Rev|Judge|Officer|Detective|Captain|Senator|President|Nurse|Doctor)\.?[ ]"
                rf"(?P<it>{NAME})",
                0.7,
            ),
            (rf"(?i)(?<!\w)(?:mr|mrs|ms|dr|prof)\.?[ ](?P<it>{ANY})", 0.7),
        ),
        titled,
        often=2,
    ),
)
