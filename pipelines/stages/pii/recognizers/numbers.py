"""Numbers that are telephone, card, security or account numbers by their form or by the words before them.

`phones`: forms that no numbering plan knows ("166-684-7899", "(88) 684-334", "001-668-040-8670x1711"), and
a country's code with the zero in brackets that is left out abroad ("+41 (0)96 123 45 67").
`bracketed_phones`: a number that may be dialled behind two brackets, where the library looks for none
("[[4258828080]]", "([+49 30 901820])").
`told_phones`: what follows "call", "phone", "reach me at" or stands before "office", "fax", in any grouping.
`told_ssns`, `told_cards`, `told_accounts`, `told_ids`: digits behind "ssn", "card number", "account no",
"policy number", "imei", also the last four; plain Presidio asks for valid ones. `grouped_cards`: sixteen
digits in fours whatever their checksum, since people mistype and make up numbers. `parted_cards` and
`parted_ibans`: groups with other signs between them than blanks and hyphens, by their checksum.
"""

import re
from typing import Any

import phonenumbers

from headrace.pipelines.stages.pii.recognizers.checksums import is_account, is_card
from headrace.pipelines.stages.pii.recognizers.recognizer import Recognizer, Span, before, digits, span
from headrace.pipelines.stages.pii.recognizers.wrapped import LENGTHS

DATE = re.compile(r"\D*(?:(?:19|20)\d\d\D(?:0?[1-9]|1[0-2])\D\d{1,2}|\d{1,2}\D\d{1,2}\D(?:19|20)\d\d)(?!\d)")
REGIONS = ("GB", "DE", "FR", "IL", "IN", "BR")  # of those in which Presidio looks
ROUND = re.compile(r"\d*0{4,}")


def dialled(match: Any, score: float) -> Span | None:
    """Seven to fifteen digits that are no date."""
    start, end = span(match)
    said = match.string[start:end]
    count = len(digits(said.lower().split("x")[0]))
    if not 7 <= count <= 15 or DATE.match(said) or ROUND.fullmatch(said):
        return None
    return start, end, score


def bracketed(match: Any, score: float) -> Span | None:
    """A number that may be dialled: with a plus, in the USA, or behind a zero in another of `REGIONS`."""
    start, end = span(match)
    said = match.string[start:end]
    bare = digits(said)
    if said[0] == "+":
        regions: tuple[str | None, ...] = (None,)
    elif bare[0] == "0":
        regions = REGIONS
    else:
        regions = ("US",) if len(bare) >= 10 else ()
    return (start, end, score) if any(is_valid(said, region) for region in regions) else None


def is_valid(said: str, region: str | None) -> bool:
    """Whether a number may be dialled in a region, or with a plus anywhere."""
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(said, region)))
    except phonenumbers.NumberParseException:
        return False


def counted(*sizes: int) -> Any:
    """A judge that lets through numbers with so many digits."""

    def judge(match: Any, score: float) -> Span | None:
        start, end = span(match)
        return (start, end, score) if len(digits(match.string[start:end])) in sizes else None

    return judge


def grouped(match: Any, score: float) -> Span | None:
    """Not in the middle of longer columns of numbers."""
    text, (start, end) = match.string, span(match)
    around = before(text, start, 2) + text[end : end + 2]
    return None if any(c.isdigit() for c in around) else (start, end, score)


def checked_card(match: Any, score: float) -> Span | None:
    """Digits with the check digit of a card."""
    return (*match.span(), score) if is_card(digits(match[0])) else None


def checked_account(match: Any, score: float) -> Span | None:
    """As many characters as accounts of the country have, with their check digits."""
    said = re.sub(r"[^A-Z0-9]", "", match[0])
    return (*match.span(), score) if len(said) == LENGTHS.get(said[:2]) and is_account(said) else None


GROUPS = r"\(?\d{1,12}\)?(?:[ .-]{1,2}\(?\d{1,8}\)?){0,5}"
NUMBER = rf"\+?\d{{0,3}}[ .-]?{GROUPS}(?:[ ]?(?:x|ext\.?)[ ]?\d{{1,6}})?"
LINK = (
    r"(?:[ ](?:is|are|was|of|the|my|number|numbers|no|num|digits|code|last|four|4|for|account|on|file|"
    r"ending|in|with|its|it's|actually))"
)
SEPARATOR = r"(?:[:#.=]|[ ]|[ ]?[#:=-][ ])"
RECOGNIZERS = (
    Recognizer(
        "phones",
        "PHONE_NUMBER",
        (
            (
                r"(?<![\w.+*/=$€£-])(?:(?:\+?\d{1,3}|001)[ .-])?(?:\(\d{3}\)[ ]?|\d{3}[.-])\d{3}[.-]\d{4}"
                r"(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w*/=-])",
                0.6,
            ),
            (
                r"(?<![\w.+*/=$€£-])[2-9]\d{2} \d{3} \d{4}(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w*/=%-]|"
                r" [\d=*/+-])",
                0.5,
            ),
            (
                r"(?<![\w.+*/=$€£-])(?:\+|00)[1-9]\d{0,2}[ .-]?[(\[]0[)\]][ .-]?"
                r"\d{1,5}(?:[ ./-]{1,3}\d{2,9}){0,5}"
                r"(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w*/=-])",
                0.6,
            ),
            (r"(?<![\w.+*/=$€£)])\(\d{2,4}\)[ ]?\d{3,4}[ -]\d{3,4}(?![\w*/=-])", 0.5),
            (r"(?<![\w.+*/=$€£-])(?:\d{3} )?[2-9]\d{2} ?\d{7}(?![\w.*/=%-]| [\d=*/+-])", 0.2),
            (r"(?<![^\n\r])[ \t]{0,3}(?P<it>(?:1|0|9)?[2-9]\d{2}[ -]?\d{3}[ -]?\d{4})(?![^\n\r])", 0.4),
            (r"(?<![^\n\r])[ \t]{0,3}(?P<it>\(?\+?\d{2,4}\)?(?:[ -]\d{2,4}){2,4})(?![^\n\r])", 0.3),
        ),
        dialled,
    ),
    Recognizer(
        "bracketed_phones",
        "PHONE_NUMBER",
        ((r"[\[(][ ]?\[[ ]?(?P<it>[+(]?\d[\d() ./-]{5,18}\d)(?=[ ]?[\]),;])", 0.4),),
        bracketed,
    ),
    Recognizer(
        "told_phones",
        "PHONE_NUMBER",
        (
            (
                rf"(?i)(?<!\w)(?:call|phone|telephone|tel|mobile|cell|cellphone|fax|reach|contact|text|"
                rf"dial|ring|whatsapp|answering|desk|ph|messages)"
                rf"(?:[ ](?:me|us|him|her|them|you|at|on|to|via|by|number|no|is|was|my|the|his|our|a)"
                rf"){{0,8}}{SEPARATOR}{{1,4}}\n?(?P<it>{NUMBER})(?![\w%]|\.\d)",
                0.6,
            ),
            (
                rf"(?i)(?<![\w.+*/=$-])(?P<it>{NUMBER})[ -]{{1,2}}(?:office|fax|mobile|cell|home|work|"
                rf"desk)(?!\w)",
                0.6,
            ),
        ),
        dialled,
    ),
    Recognizer(
        "told_ssns",
        "US_SSN",
        (
            (
                rf"(?i)(?<!\w)(?:ssn|s\.s\.n|social[ ]security|social)"
                rf"[ ]?[#:]?{LINK}{{0,8}}{SEPARATOR}{{1,3}}"
                rf"(?P<it>\d{{3}}[ ./_-]{{0,3}}\d{{2}}[ ./_-]{{0,3}}\d{{4}}|\d{{4}})(?![\w%]|\.\d)",
                0.6,
            ),
        ),
        None,
    ),
    Recognizer(
        "told_cards",
        "CREDIT_CARD",
        (
            (
                rf"(?i)(?<!\w)(?:card|cc|visa|mastercard|amex)[ ]?[#:]?{LINK}{{0,8}}{SEPARATOR}{{1,3}}"
                rf"(?P<it>\d{{4}}(?:[ -]?\d{{4}}){{2}}[ -]?\d{{0,7}}|\d{{4}}[ -]?\d{{6}}[ -]?\d{{5}})"
                rf"(?![\w%]|\.\d)",
                0.7,
            ),
            (
                rf"(?i)(?<!\w)(?:card|cc|visa|mastercard|amex)[ ](?:number|no|num|ending|#)"
                rf"[ ]?[#:]?{LINK}{{0,8}}{SEPARATOR}{{1,3}}(?P<it>\d{{4,5}})(?![\w%]|\.\d)",
                0.5,
            ),
            (
                rf"(?i)(?<!\w)(?:credit|debit|atm)(?:[ ]card)?{LINK}{{0,8}}{SEPARATOR}{{1,3}}"
                rf"(?P<it>\d{{4,5}})"
                rf"(?![\w%]|\.\d)",
                0.5,
            ),
        ),
        counted(4, 5, 12, 13, 14, 15, 16, 17, 18, 19),
    ),
    Recognizer(
        "grouped_cards",
        "CREDIT_CARD",
        (
            (r"(?<![\w.,-])[1-9]\d{3}(?: \d{4}){3}(?![\w,]|\.\d)", 0.5),
            (r"(?<![\w.,-])[1-9]\d{3}(?:-\d{4}){3}(?![\w,-]|\.\d)", 0.6),
            (r"(?<![^\n\r])(?P<it>[1-9]\d{14,15})(?![^\n\r])", 0.4),
            (r"(?<![\w.,/=*+-])[3-6]\d{15}(?![\w,/=*-]|\.\d)", 0.4),
        ),
        grouped,
    ),
    Recognizer(
        "parted_cards",
        "CREDIT_CARD",
        (
            (r"(?<![\w.,/-])[3-6]\d{3}(?:/\d{4}){3}(?![\w/-]|[.,]\d)", 0.8),
            (r"(?<![\w.,/-])[3-6]\d{3}(?:\.\d{4}){3}(?![\w/-]|[.,]\d)", 0.8),
            (r"(?<![\w.,/-])[3-6]\d{3}(?:_\d{4}){3}(?![\w/-]|[.,]\d)", 0.8),
            (r"(?<![\w.,/-])[3-6]\d{3}(?:--\d{4}){3}(?![\w/-]|[.,]\d)", 0.8),
        ),
        checked_card,
    ),
    Recognizer(
        "parted_ibans",
        "IBAN_CODE",
        (
            (r"(?<!\w)[A-Z]{2}\d{2}(?:\.[A-Z0-9]{4}){2,7}(?:\.[A-Z0-9]{1,3})?(?!\w)", 0.9),
            (r"(?<!\w)[A-Z]{2}\d{2}(?:_[A-Z0-9]{4}){2,7}(?:_[A-Z0-9]{1,3})?(?!\w)", 0.9),
            (r"(?<!\w)[A-Z]{2} \d{2} [A-Z0-9]{11,27}(?!\w)", 0.9),
        ),
        checked_account,
    ),
    Recognizer(
        "told_accounts",
        "US_BANK_NUMBER",
        (
            (
                rf"(?i)(?<!\w)(?:account|acct|acc|ac|a/c|routing)[ ](?:number|no|num|#)"
                rf"[.:]?{LINK}{{0,8}}{SEPARATOR}{{1,3}}(?P<it>\d{{4,17}})(?![\w%]|\.\d)",
                0.6,
            ),
        ),
        None,
    ),
    Recognizer(
        "told_ids",
        "ID_NUMBER",
        (
            (
                rf"(?i)(?<!\w)(?:policy|claim|member(?:ship)?|patient|employee|customer|booking|"
                rf"confirmation|reference)[ ](?:number|no|id|num|#)[.:]?{LINK}{{0,8}}{SEPARATOR}{{1,3}}"
                rf"(?P<it>"
                rf"(?:[a-z]{{2,4}}[ -]?)?\d{{5,14}}[a-z]{{0,2}})(?![\w%]|\.\d)",
                0.5,
            ),
            (
                rf"(?i)(?<!\w)(?:policy|claim){LINK}{{0,8}}{SEPARATOR}{{1,3}}"
                rf"(?P<it>(?:[a-z]{{2,4}}[ -]?)?\d{{6,14}})(?![\w%]|\.\d)",
                0.5,
            ),
            (rf"(?i)(?<!\w)imei{LINK}{{0,8}}{SEPARATOR}{{1,3}}(?P<it>\d{{15}})(?![\w%]|\.\d)", 0.6),
            (
                rf"(?i)(?<!\w)last[ ](?:4|four)(?:[ ]digits?)?{LINK}{{0,8}}{SEPARATOR}{{1,3}}(?P<it>\d{{4}})"
                rf"(?![\w%]|\.\d)",
                0.5,
            ),
        ),
        None,
    ),
)
