"""Street addresses, American and European, with unit, town, state and postal code where they follow.

`streets`: "221 Baker Street, Springfield, IL 62701", "Hauptstraße 5, 10115 Berlin", "12 rue Victor Hugo", a
house number and a name in front of a unit. `boxes`: "P.O. Box 12", "PSC 12, Box 345\\nAPO AP 96504".
`units`: "Suite 286". `postcodes`: "zip code 35649", "Springfield, IL 62701". `told_addresses`: what follows
"address:", "lives at", "sent to" and begins or ends with a number. `corners`: "the corner of A and B".

What has a street's name and is no address (`is_called_so`) is left: "the 3 Main Street Bank branches", "10
Wall Street bankers", "In 1969 Sesame Street began", "the film 21 Jump Street", "10 Downing Street said".

The tail (`tail`) takes further parts as long as they are short and one of them ends in a postal code, or
are a unit.
"""

import re
from typing import Any

from headrace.pipelines.stages.pii.recognizers.lists import either, words
from headrace.pipelines.stages.pii.recognizers.recognizer import LETTER, Recognizer, Span, before, span

ENGLISH = either("streets_english")
TITLED = either("streets_titled")
CERTAIN = frozenset(words("streets_english"))
FIRST = either("streets_first")
CAPITALS = either("streets_first_titled")
LAST = either("streets_glued")
SURE = frozenset(words("streets_glued_sure"))
STATES = either("states")
NO_PLACES = frozenset(words("no_places"))
BODIES = frozenset(words("no_street_bodies"))  # what follows the name of a street that names something else
WORKS = frozenset(words("no_street_works"))  # what a street's name may be the title of
SPEAKS = re.compile(
    r"[ ](?:said|says|announce[sd]?|confirm(?:ed|s)|den(?:ied|ies)|declined|insist(?:ed|s)|refused|told|"
    r"warned|hopes|hoped|wants|fears)(?!\w)"
)
IS_WORK = re.compile(
    r"['\"”’]?[ ](?:is|was)[ ](?:a|an|the|my favou?rite)[ ](?:[^\W\d_]+[ ])?([^\W\d_]+)(?!\w)"
)
FOLLOWING = re.compile(r"(?:['’]s)?[ ]([^\W\d_]+)(?:['’]s)?(?!\w)")
AHEAD = re.compile(r"(\w+),?[ ][\"'“‘]?\Z")
YEAR = re.compile(r"1[89]\d\d|20\d\d")
IN_YEAR = re.compile(
    r"(?i)(?<!\w)(?P<verb>(?:live|lives|lived|living|reside[sd]?|located|office|house|home|moved?|stay(?:s|ed)?|"
    r"arrived?)[ ])?(?:in|since|until|till|during|circa|early|late|"
    r"january|february|march|april|may|june|july|august|september|october|november|december)[ ]\Z"
)
THE = re.compile(r"(?i)(?<!\w)the[ ]\Z")
KNOWN = frozenset(words("streets_known"))
UNIT = (
    r"(?:apt|apartment|suite|ste|unit|flat|room|rm|floor|fl|no)\b\.?[ ]?#?[ ]?\d{1,5}[a-z]?|"
    r"#[ ]?\d{1,5}[a-z]?"
)
BETWEEN = r"[ ]?,?[\s>?]{0,9}"
TAIL_UNIT = re.compile(rf"{BETWEEN}(?:{UNIT})(?!\w)", re.IGNORECASE)
CODE = (
    r"(?:[A-Z]{1,2}-)?\d{4,6}(?:-\d{3,4})?|\d{3} \d{2}|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|"
    r"[A-Z]\d[A-Z] ?\d[A-Z]\d"
)
PLACE = r"[^\W\d_][\w'’.()-]*(?: [^\W\d_][\w'’.()-]*){0,5}(?: \d{1,2}(?!\d))?"
JOIN = r"(?:[ ]?,[\s>?]{0,9}|[\s>?]{1,9})"
DIGIT = re.compile(r"\d")
TAIL = re.compile(
    rf"{JOIN}(?:{CODE})[ ][^\W\d_a-z][\w'’.-]*(?:[ -][^\W\d_a-z][\w'’-]*){{0,2}}(?!\w)|"
    rf"(?:{JOIN}(?:{PLACE}|nan)){{0,3}}{JOIN}(?P<code>{CODE})(?![\w])|{JOIN}(?:{CODE}){JOIN}(?:{PLACE})"
)
LINES = re.compile(rf"(?:[ ]?,?[ ]?\r?\n[\s>?,]{{0,9}}|, )(?P<place>{PLACE})(?=\s*[.,;\n?]|\s*\Z)")
APART = re.compile(r"(?<!\w)(?:[^\W\d_a-z][\w'’-]+ ){1,2}\Z")
SENTENCE = re.compile(r"[^\W\d_]{4,}\. ")
LINKS = re.compile(r"(?<=\w) (?:of|and)(?: the)? (?=[^\W\d_a-z])")
TOWN = re.compile(
    r"(?: [^\W\d_a-z][\w'’.()-]*(?: (?:of|and)(?: the)?(?= [^\W\d_a-z]))?){1,6}(?=\s*(?:[.,;\n?]|\Z| for\b|"
    r" in\b| \d))"
)
WORDS = re.compile(r"[^\W_]+")


def tail(text: str, start: int, end: int) -> int:
    """Where the address that is known to be ``start:end`` ends: units, then places up to a postal code."""
    first = end
    for _ in range(2):
        unit = TAIL_UNIT.match(text, end)
        end = unit.end() if unit else end
    found = TAIL.match(text, end, end + 90) if DIGIT.search(text, end, end + 90) else None
    if found and is_place(text[end : found.end()]):
        return found.end()
    town = TOWN.match(text, end, end + 70) if end > first else None
    end = town.end() if town else end
    for _ in range(3):
        line = LINES.match(text, end, end + 60)
        if line is None or not is_place(line["place"]) or not line["place"][:1].isupper():
            return end
        end = line.end()
    return end


def is_place(text: str) -> bool:
    """Whether no word of `text` is of those that stand between the parts of a sentence."""
    return not any(word.lower() in NO_PLACES for word in WORDS.findall(LINKS.sub(" ", text)))


def street(match: Any, score: float) -> Span | None:
    """A number and a street, unless the words between are those of a sentence, or it is none."""
    text, (start, end) = match.string, span(match)
    name = match["name"]
    if not is_place(name) or not name.strip() or SENTENCE.search(name):
        return None
    lower = not any(word[:1].isupper() for word in WORDS.findall(name))
    end -= len(text[start:end]) - len(text[start:end].rstrip(" .,"))
    stop = tail(text, start, end)
    if is_called_so(text, start, end, stop):
        return None
    return start, stop, score if not lower else score - 0.1


def is_called_so(text: str, start: int, end: int, stop: int) -> bool:
    """Whether what is written as a number and a street, ``start:end``, is a paper, a show, a bank, an office.

    stop: where the address ends with its town and code, which nothing but an address has.
    """
    ahead, following = before(text, start, 32), FOLLOWING.match(text, end, end + 40)
    body = following[1] if following else None
    coded = any(character.isdigit() for character in text[end:stop])
    if body and body.lower() in BODIES and (body[0].isupper() or stop == end) and not coded:
        return True
    if stop > end:
        return False
    said, last = text[start:end], AHEAD.search(ahead)
    if (last and last[1].lower() in WORKS) or (body and body.lower() in WORKS):
        return True
    names = WORDS.findall(said)[1:]
    if SPEAKS.match(text, end) or (WORKS.intersection(names) and any(word[0].isupper() for word in names)):
        return True
    work = IS_WORK.match(text, end)
    if work and work[1].lower() in WORKS:
        return True
    if not YEAR.fullmatch(said.split(" ")[0]):
        return False
    year = IN_YEAR.search(ahead)
    if year:
        return not year["verb"]
    known = " ".join(word.lower() for word in said.split(" ")[-2:]) in KNOWN
    return known and bool(THE.search(ahead))


def glued(match: Any, score: float) -> Span | None:
    """With the name that the kind of street is glued to, and a number in front."""
    text, start = match.string, match.start()
    while start > 0 and (text[start - 1].isalpha() or text[start - 1] in "-'’"):
        start -= 1
    apart = (
        APART.search(before(text, start, 40)) if start == match.start() and text[start].isupper() else None
    )
    if apart and is_place(apart[0]):  # "Kärntner Straße 12"
        return start - len(apart[0]), tail(text, start, match.end()), score
    if match.start() - start < 3 or text[start : match.start()].lower() in NO_PLACES:
        return None
    number = re.search(r"(?<![\w.])\d{1,5}[ ](?:[^\W\d_]+\.?[ ]){0,2}\Z", before(text, start, 40))
    start = start - len(number[0]) if number else start
    if text[start].islower() and not number and match[0].split()[0].lower() not in SURE:
        return None
    return start, tail(text, start, match.end()), score


def numbered(match: Any, score: float) -> Span | None:
    """A number, words, perhaps a number, then a unit or a postal code: nothing else looks like that."""
    text, (start, end) = match.string, span(match)
    name, written = match["name"], match[0]
    if not is_place(name) or not any(c.isalpha() for c in name):
        return None
    if STATED.search(written):
        return start, end, score
    if written.islower() and not TAIL_UNIT.search(text, start, end + 20):
        return None
    stop = tail(text, start, end)
    return (start, stop, score) if stop > end or TAIL_UNIT.search(text, start, stop) else None


def announced(match: Any, score: float) -> Span | None:
    """Behind a word that tells of an address: words that may be a place, with a number."""
    text, (start, end) = match.string, span(match)
    address = text[start:end]
    if not is_place(re.sub(r"\d+", "", address)) or (
        not any(c.isupper() for c in address) and "address" not in match[0].lower()
    ):
        return None
    return start, tail(text, start, end), score


def cornered(match: Any, score: float) -> Span | None:
    """Two streets, as far as capitals or the kind of a street reach."""
    start, end = span(match)
    first, _, second = match.string[start:end].partition(" and ")
    kept = 0
    for at, word in enumerate(WORDS.finditer(second)):
        if word[0][:1].isupper() or at == 0 or word[0].lower() in CERTAIN:
            kept = word.end()
        else:
            break
    if not is_place(first) or not is_place(second[:kept]) or not kept:
        return None
    if first.islower() and not any(word.lower() in CERTAIN for word in WORDS.findall(second[:kept])):
        return None
    return start, start + len(first) + 5 + kept, score


def tailed(match: Any, score: float) -> Span | None:
    """With the parts that follow."""
    start, end = span(match)
    return start, tail(match.string, start, end), score


NAME = rf"{LETTER}[\w'’.-]*"
NAMED = rf"(?:{NAME}[ ]){{1,5}}"
KINDS = either("streets_first_number_last")
PLAIN_STATES = "|".join(
    state for state in words("states") if state not in {"IN", "OR", "ME", "HI", "OK", "OH"}
)
STATED = re.compile(rf" (?:{PLAIN_STATES}),? \d{{4,5}}\Z", re.IGNORECASE)
HOUSE = r"(?<![\w.,/$€£:=+*-])\d{1,6}[A-Za-z]?(?:[ ]?[-/][ ]?\d{1,4})?"
RECOGNIZERS = (
    Recognizer(
        "streets",
        "STREET_ADDRESS",
        (
            (
                rf"(?i){HOUSE},?[ ](?:\d{{1,4}}[ ])?(?P<name>(?:\d{{1,3}}(?:st|nd|rd|th)"
                rf"[ ]|{NAME}[ ]){{1,4}})(?:{ENGLISH})(?!\w)",
                0.6,
            ),
            (
                rf"(?i){HOUSE},?[ ](?:\d{{1,4}},?[ ])?(?:bis[ ])?(?:{FIRST})\.?[ ](?P<name>"
                rf"(?:{NAME}[ ]?){{1,4}})(?:\d{{1,4}}(?!\d))?",
                0.6,
            ),
            (
                rf"{HOUSE},?[ ](?:\d{{1,4}}[ ])?(?P<name>(?:\d{{1,3}}(?:st|nd|rd|th)[ ]|{NAME}[ ]){{1,4}})"
                rf"(?:{TITLED})(?!\w)",
                0.6,
            ),
            (
                rf"{HOUSE},?[ ](?:\d{{1,4}},?[ ])?(?:bis[ ])?(?:{CAPITALS})[ ](?P<name>(?:{NAME}[ ]?){{1,4}})"
                rf"(?:\d{{1,4}}(?!\d))?",
                0.6,
            ),
            (rf"(?<!\w)(?:{KINDS})\.?[ ](?P<name>(?:{NAME}[ ]){{1,4}})\d{{1,4}}(?!\w)", 0.5),
        ),
        street,
        often=1,
    ),
    Recognizer(
        "glued_streets",
        "STREET_ADDRESS",
        ((rf"(?i)(?:{LAST})[ ](?P<number>\d{{1,4}}[a-z]?)(?![\w%])", 0.6),),
        glued,
    ),
    Recognizer(
        "numbered_places",
        "STREET_ADDRESS",
        (
            (
                rf"(?P<it>{HOUSE}[ ](?P<name>(?:\d{{1,4}}[ ])?{NAMED}\d{{1,4}}))"
                rf"(?:[ ]?,|[ >]{{0,3}}\r?\n|[ ](?:[Aa]pt|[Ss]uite|APT|SUITE|[Uu]nit|#|[A-Z]{{2}}[ ]\d))",
                0.6,
            ),
            (
                rf"(?P<it>{HOUSE}[ ](?P<name>(?:\d{{1,4}}[ ])?{NAME}(?:[ ]{NAME}){{0,4}})){BETWEEN}"
                rf"(?:[Aa]pt|[Ss]uite|[Aa]partment|APT|SUITE)\b",
                0.6,
            ),
            (rf"(?i){HOUSE},?[ ](?P<name>(?:{NAME},?[ ]){{1,7}})(?:{PLAIN_STATES}),?[ ]\d{{4,5}}(?!\w)", 0.6),
        ),
        numbered,
    ),
    Recognizer(
        "told_addresses",
        "STREET_ADDRESS",
        (
            (
                rf"(?i)(?<!\w)address(?:[ ](?:is|was|to|with|of|now|from)|:|[ ]is:)[ ]{{0,8}}"
                rf"(?P<it>\d{{1,6}}[ ](?:\d{{1,4}}[ ])?{NAMED}\d{{1,4}})(?!\w)",
                0.6,
            ),
            (
                rf"(?i)(?<!\w)(?:lives?|lived|located|office[ ]is|meet[ ](?:me|you)|arrived|return|sent|"
                rf"send[ ]it|ship(?:ped)?|deliver(?:ed)?|taxi|move[ds]?)[ ](?:at|to|in)[ ]"
                rf"(?P<it>\d{{1,6}}[ ](?:\d{{1,4}}[ ])?{NAMED}\d{{1,4}})(?!\w)",
                0.6,
            ),
        ),
        announced,
    ),
    Recognizer(
        "boxes",
        "STREET_ADDRESS",
        (
            (r"(?i)(?<!\w)(?:\d{1,5}[ ])?p\.?[ ]?o\.?[ ]?box[ ]#?\d{1,6}(?!\w)", 0.7),
            (
                r"(?i)(?<!\w)(?:psc|unit|cmr)[ ]\d{1,5},?[ ]box[ ]\d{1,6}(?:,?\s{1,4}(?:[ad]po|fpo)"
                r"[ ]a[aep][ ]\d{5}(?:-\d{4})?)?(?!\w)",
                0.8,
            ),
            (r"(?<!\w)US[A-Z]{1,4}[ ][^\W\d_]{2,24},?\s{1,4}(?:[ADF]PO)[ ]A[AEP][ ]\d{5}(?!\w)", 0.8),
        ),
        tailed,
    ),
    Recognizer(
        "units",
        "STREET_ADDRESS",
        (
            (
                r"(?<!\w)(?:[Aa]pt\.?|[Ss]uite|[Aa]partment|[Ss]te\.|APT\.?|SUITE)[ ]#?\d{1,5}[A-Za-z]?"
                r"(?!\w)",
                0.5,
            ),
        ),
        tailed,
    ),
    Recognizer(
        "postcodes",
        "STREET_ADDRESS",
        (
            (
                r"(?i)(?<!\w)(?:zip|postal|post)[ ]?(?:code)?(?:[ ](?:is|number|no|for|:)|:|"
                r"[ ]?=)?[ ]{1,8}(?P<it>\d{5,6}(?:-\d{4})?|[a-z]\d[a-z][ ]?\d[a-z]\d|"
                r"[a-z]{1,2}\d[a-z\d]?[ ]\d[a-z]{2})(?!\w)",
                0.6,
            ),
            (rf"(?<!\w)(?:{STATES})[ ]\d{{5}}(?:-\d{{4}})?(?!\w)", 0.6),
        ),
        None,
    ),
    Recognizer(
        "corners",
        "STREET_ADDRESS",
        (
            (
                rf"(?i)(?<!\w)corner[ ]of[ ](?P<it>(?:\d{{1,4}}[ ])?(?:{NAME}[ ]){{1,5}}"
                rf"(?:\d{{1,4}}\.?[ ])?(?:and|&)"
                rf"(?:[ ]{NAME}){{1,4}})",
                0.6,
            ),
        ),
        cornered,
    ),
)
