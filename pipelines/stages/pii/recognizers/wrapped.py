"""Values that a line ends in the middle of, as pages, PDFs and letters wrap them, or a tab stands in.

A line's end parts what stands beside it, so more is asked here than of a value in one line: a checksum, a
number that is valid as a whole and not up to the line's end, or a separator that the line ends with. What
stands in columns of numbers is none.
"""

import re
from typing import Any

import phonenumbers

from headrace.pipelines.stages.pii.recognizers.checksums import is_account, is_card
from headrace.pipelines.stages.pii.recognizers.emails import LOCAL, NO_LOCALS
from headrace.pipelines.stages.pii.recognizers.lists import either
from headrace.pipelines.stages.pii.recognizers.recognizer import Recognizer, Span, before, digits, span

ENDINGS = either("email_endings")
NEXT = r"[ \t]{0,2}\r?\n[ \t>]{0,6}"
LINE = rf"(?:{NEXT}|\t)"
SURE = r"com|net|org|edu|gov|info|biz|co\.uk|de|fr|es|nl|ca|ch|ru|br|jp"  # endings that are no words
ENDS = re.compile(LINE)
GROUP_ENDS = re.compile(r"\d(?!\d)")
ABOVE, BELOW = re.compile(r"\d[ \t]*\r?\n[^\n\w]{0,8}\Z"), re.compile(r"[ \t]*\r?\n[ \t]*\d")
# Characters of an account's number by country. Source: the IBAN registry of SWIFT, ISO 13616.
LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26, "VG": 24, "XK": 20,
}  # fmt: skip


def wrapped_mail(match: Any, score: float) -> Span | None:
    """With the part before the @, which is a name of a mailbox and no mere word where the line ends there."""
    text, (start, end) = match.string, match.span()
    local = LOCAL.search(text, max(0, start - 64), start)
    if local is None or local[0].lower() in NO_LOCALS or local[0].isdigit():
        return None
    inside = "inside" in match.re.groupindex
    if (match[0][0] != "@" or inside) and not re.search(r"[._\d]", local[0]):
        return None
    return local.start(), end, score


def dialled(match: Any, score: float) -> Span | None:
    """A number with a plus: as many groups as are a valid one, unless those of the first line are. Others:
    seven to fifteen digits, fewer than seven of them in the first line, or ten or eleven behind a zero."""
    text, (start, end) = match.string, span(match)
    if text[start] != "+":
        first = ENDS.split(text[start:end], maxsplit=1)[0]
        every = digits(text[start:end])
        fits = 7 <= len(every) <= 15 and len(digits(first)) < 7
        return (start, end, score) if fits or (every[0] == "0" and 10 <= len(every) <= 11) else None
    line = ENDS.search(text, start, end)
    assert line is not None
    if is_valid(text[start : line.start()]):
        return None
    for group in reversed(list(GROUP_ENDS.finditer(text, line.end(), end))):
        if is_valid(text[start : group.end()]):
            return start, group.end(), score
    return None


def is_valid(number: str) -> bool:
    """Whether a number with a plus is one that may be dialled."""
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse("+" + digits(number))))
    except phonenumbers.NumberParseException:
        return False


def card(match: Any, score: float) -> Span | None:
    """Digits with the checksum of a card, not in the middle of columns."""
    text, (start, end) = match.string, match.span()
    number = digits(text[start:end])
    if ABOVE.search(before(text, start)) or BELOW.match(text, end):
        return None
    return (start, end, score) if is_card(number) else None


def account(match: Any, score: float) -> Span | None:
    """As many characters as accounts of the country have, with the right checksum."""
    text, (start, end) = match.string, match.span()
    places = [at for at in range(start, end) if text[at].isalnum()][: LENGTHS.get(text[start : start + 2], 0)]
    if (
        not places
        or len(places) < LENGTHS[text[start : start + 2]]
        or not ENDS.search(text, start, places[-1])
    ):
        return None
    if text[places[-1] + 1 : places[-1] + 2].isalnum():
        return None
    said = "".join(text[at] for at in places)
    return (start, places[-1] + 1, score) if is_account(said) else None


GAP = r"[ .()/\t-]{1,3}"
HOME = (  # numbers as they are dialled at home
    (rf"(?<![\w.+*/=$€£-])(?:\(\d{{3}}\)|\d{{3}}[.-]){LINE}\d{{3}}[ .-]\d{{4}}(?![\w*/=-])", 0.6),
    (rf"(?<![\w.+*/=$€£-])(?:\(\d{{3}}\)[ ]?|\d{{3}}[.-])\d{{3}}[.-]{LINE}\d{{4}}(?![\w*/=-])", 0.6),
    (rf"(?<![\w.+*/=$€£-])\([2-9]\d\d\)[ ]?[2-9]\d\d{NEXT}\d{{4}}(?![\w*/=%-]|[.,]\d)", 0.5),
    (
        r"(?i)(?<!\w)(?:phone|telephone|tel|mobile|cell|fax|whatsapp)(?:[ ](?:number|no|is|us|me|at|on))"
        rf"{{0,4}}[ .:]{{1,3}}(?P<it>\(?\d{{2,5}}\)?(?:[ ./-]{{1,2}}\d{{2,6}}){{0,3}}[ ./-]?{LINE}"
        r"\d{2,8}(?:[ .-]\d{2,4}){0,3})(?!\w)",
        0.6,
    ),
)
RECOGNIZERS = (
    Recognizer(
        "wrapped_emails",
        "EMAIL_ADDRESS",
        (
            (rf"(?i)@{LINE}(?:[a-z0-9-]{{1,40}}\.){{1,4}}(?:{ENDINGS})\b", 0.8),
            (rf"(?i)\r?\n[ \t>]{{0,6}}@(?:[a-z0-9-]{{1,40}}\.){{1,4}}(?:{ENDINGS})\b", 0.7),
            (rf"@(?:[a-z0-9-]{{1,40}}\.){{1,4}}{LINE}(?:com|org|net|edu|gov)\b", 0.7),
            # Inside a site; what has a dot and no other at the line's end may be an address up to there.
            (
                rf"(?i)@(?P<inside>[a-z0-9-]{{1,40}}|(?:[a-z0-9-]{{1,40}}\.){{1,3}}){NEXT}[a-z0-9-]{{0,40}}"
                rf"(?:\.[a-z0-9-]{{1,40}}){{0,2}}\.(?:{SURE})\b",
                0.6,
            ),
        ),
        wrapped_mail,
    ),
    Recognizer(
        "wrapped_phones",
        "PHONE_NUMBER",
        (
            (
                rf"\+[1-9]\d{{0,2}}(?:{GAP}\d{{1,9}}){{0,5}}[ .)/-]{{0,2}}{LINE}\(?\d{{2,9}}"
                rf"(?:{GAP}\d{{2,9}}){{0,4}}(?!\w)",
                0.7,
            ),
            *HOME,
        ),
        dialled,
    ),
    Recognizer(
        "wrapped_cards",
        "CREDIT_CARD",
        (
            (rf"(?<![\w.,-])[3-6]\d{{3}}[ -]?{LINE}\d{{4}}[ -]\d{{4}}[ -]\d{{4}}(?![\w,-]|[ ]\d)", 0.8),
            (rf"(?<![\w.,-])[3-6]\d{{3}}[ -]\d{{4}}[ -]?{LINE}\d{{4}}[ -]\d{{4}}(?![\w,-]|[ ]\d)", 0.8),
            (rf"(?<![\w.,-])[3-6]\d{{3}}[ -]\d{{4}}[ -]\d{{4}}[ -]?{LINE}\d{{4}}(?![\w,-]|[ ]\d)", 0.8),
            (r"(?<![\w.,-])[3-6]\d{3}(?:\t\d{4}){3}(?![\w,\t-])", 0.8),
            (rf"(?<![\w.,-])3[47]\d{{2}}[ -]?{LINE}\d{{6}}[ -]\d{{5}}(?![\w,-]|[ ]\d)", 0.8),
            (rf"(?<![\w.,-])3[47]\d{{2}}[ -]\d{{6}}[ -]?{LINE}\d{{5}}(?![\w,-]|[ ]\d)", 0.8),
        ),
        card,
    ),
    Recognizer(
        "wrapped_ibans",
        "IBAN_CODE",
        (
            (
                rf"(?<!\w)[A-Z]{{2}}\d{{2}}(?:[ ]?[A-Z0-9]{{1,4}}){{0,8}}{LINE}[A-Z0-9]{{1,4}}"
                rf"(?:[ ]?[A-Z0-9]{{1,4}}){{0,8}}",
                0.9,
            ),
        ),
        account,
    ),
    Recognizer(
        "wrapped_ssns",
        "US_SSN",
        (
            (rf"(?<![\w-])\d{{3}}-{LINE}\d{{2}}-\d{{4}}(?![\w-])", 0.6),
            (rf"(?<![\w-])\d{{3}}-\d{{2}}-{LINE}\d{{4}}(?![\w-])", 0.6),
        ),
        None,
    ),
)
