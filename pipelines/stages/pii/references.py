"""Numbers that the text calls something else than a telephone or a card number: "Order 16852", "SKU 1600-55".

What: a numbering plan of one of eight countries has nearly every number of five to ten digits as somebody's.
What the library took for a telephone number by its digits alone is none where
- a word of `references.txt` stands directly before it ("Case No. 1640-E", "Orders 16852, 16853"), or
- it is part of a code ("AB-1600555", "1600555-E"), or
- it is a fraction, a range of near numbers or a decimal ("12345/67890", "1640-1650", "0.2025550123").

What has the checksum of a NHS number (one in eleven) is none either where such a word stands before it, or
it is part of a code.

Digits without anything between them that have the checksum of a card (one number in ten has it) are none
where no word for a card is near and such a word stands before them ("no problem 4111..." is none), or they
are part of a code. Fifteen digits that do not begin as a card's do (`FIFTEEN`) are none either, unless they
stand alone in their line, as somebody who is asked for a number writes one that is made up.

A number with a plus, and one in a form that is a telephone's own ("202-555-0123", which `phones` finds),
stays whatever stands before it.
"""

import re

from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.recognizers.lists import either, words
from headrace.pipelines.stages.pii.recognizers.recognizer import before, digits

CALLED = ("PHONE_NUMBER", "CREDIT_CARD", "UK_NHS")  # of which a text says that they are something else
BY_DIGITS = ("PhoneRecognizer", "bracketed_phones")  # know digits alone
WEAK = 0.4  # their score where no word nearby raised it
NEAR = 64  # characters before a number in which its label stands
EARLIER = r"(?P<earlier>(?:\d[\w.-]{0,20}(?:[ ]?[,/&–-]|[ ](?:and|or|to|und|bis))[ ]?){1,4})?"
WORDS = either("references")
LISTED = frozenset(words("references"))
LETTERS = re.compile(r"[^\W\d_]+")
LABEL = re.compile(
    rf"(?<![^\W_])(?<!\bin )(?:{WORDS})(?:s|es)?"
    rf"(?:[ _-]?(?:no|nr|num|numbers?|nummer|ids?|codes?)\b)?[ ]?[.:#=№-]{{0,2}}[ ]?(?:is[ ])?#?"
    rf"(?:(?!tel|ph|fax|mob|cell|call)[a-z]{{1,5}}\d{{0,4}}-)?{EARLIER}\Z",
    re.IGNORECASE,
)
TELEPHONE = re.compile(
    r"tel|phone|fon|fax|mobil|cell|call|ring|dial|ext|handy|gsm|line|reach|contact|text|sms|whatsapp|number|nummer",
    re.IGNORECASE,
)
PATIENT = re.compile(r"nhs|health|patient|medical|hospital", re.IGNORECASE)
CODE_BEFORE = re.compile(r"(?<!\w)[A-Z]{1,5}\d{0,3}-\Z")
CODE_BEHIND = re.compile(r"-[A-Z]{1,3}(?![\w-])")
FRACTION = re.compile(r"[1-9]\d*[ ]?/[ ]?[1-9]\d*")
RANGE = re.compile(r"(\d{3,6})[ ]?[-–][ ]?(\d{3,6})")
DECIMAL = re.compile(r"0\.\d+")


CARD = re.compile(
    r"(?i)card|visa|amex|american express|maestro|credit|debit|karte|carte|tarjeta|"
    r"pay(?:ment|ing)?(?![^\W_])|(?<![^\W_])(?:cc|pan|mc|cvv|cvc|exp)(?![^\W_])"
)
AROUND = 80  # characters before a number in which a word for a card counts
EASILY_SAID = re.compile(
    r"(?i)(?<![^\W_])(?:problem|issue|question|case|form)s?[ ]\Z"
)  # without "no." behind them
# Source: American Express begins with 34 and 37, JCB began with 2131 and 1800; no others have 15 digits.
FIFTEEN = re.compile(r"(?:3[47]|2131|1800)\d+")


def is_no_card(text: str, one: Finding, ahead: str) -> bool:
    """Whether digits with the checksum of a card are the number of something else."""
    said = text[one.start : one.end]
    if not said.isdecimal() or CARD.search(before(text, one.start, AROUND) + text[one.end : one.end + 20]):
        return False
    if len(said) == 15 and not FIFTEEN.fullmatch(said) and not is_alone(text, one):
        return True
    return is_called_else(text, one, ahead) and not EASILY_SAID.search(ahead)


def is_alone(text: str, one: Finding) -> bool:
    """Whether nothing else stands in the line of a finding."""
    first, last = text.rfind("\n", 0, one.start) + 1, text.find("\n", one.end)
    beside = text[first : one.start] + text[one.end : last if last >= 0 else len(text)]
    return not any(character.isalnum() for character in beside)


def is_reference(text: str, one: Finding) -> bool:
    """Whether digits that were taken for a telephone or a card number are the number of something else."""
    said, ahead = text[one.start : one.end], before(text, one.start, NEAR)
    if one.entity == "CREDIT_CARD":
        return is_no_card(text, one, ahead)
    if one.entity == "UK_NHS":
        return not PATIENT.search(ahead) and is_called_else(text, one, ahead)
    if one.entity != "PHONE_NUMBER" or one.recognizer not in BY_DIGITS or "+" in said:
        return False
    if DECIMAL.fullmatch(said) or is_labelled(said, ahead):
        return True
    if one.score > WEAK or TELEPHONE.search(ahead[-24:]):
        return False
    span = RANGE.fullmatch(said)
    near = span is not None and 0 < int(span[2]) - int(span[1]) < 100
    return near or bool(FRACTION.fullmatch(said)) or is_called_else(text, one, ahead)


def is_called_else(text: str, one: Finding, ahead: str) -> bool:
    """Whether a word for something else stands directly before a number, or it is part of a code."""
    said = text[one.start : one.end]
    return bool(is_labelled(said, ahead) or CODE_BEFORE.search(ahead) or CODE_BEHIND.match(text, one.end))


def is_labelled(said: str, ahead: str) -> bool:
    """Whether a word for something else stands directly before a number, or before others of its length."""
    last = LETTERS.findall(ahead)[-4:]  # most numbers have no such word near: the pattern is slow
    if not any(
        {word, word.removesuffix("s"), word.removesuffix("es")} & LISTED for word in map(str.lower, last)
    ):
        return False
    match = LABEL.search(ahead)
    if match is None or not match["earlier"]:
        return match is not None
    length = [len(digits(one)) for one in re.findall(r"\d[\d.-]*", match["earlier"])][-1]
    return abs(length - len(digits(said))) <= 1
