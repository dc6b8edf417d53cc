"""What the findings of all recognisers mean together: some are no personal data, some say the same twice.

In: a text and all findings in it. Out: those that stay. Seven steps, in this order; the recipe's
`pii.without` can leave each of them out by its name:

`code`: what code and mathematics are full of is nobody's: ``git@host``, slices, times counted from 1970
(`code_values`).

`times`: a date and the time of day beside it are one value (`times`).

`references`: a number that the text calls that of an order, a case, an article is no telephone number, and no
card's; nor are digits that no issuer of cards gives out (`references`).

`sums`: numbers of a calculation are no numbers of a person. A finding of digits goes where no word nearby
raised its score and it
- stands beside an operator that has another number at its other side (``<<18000-3000=``), or
- stands behind ``####``, ``$`` or a decimal point, or
- is a calculation itself ("0.87 / 1000"), with its result behind it whatever words are nearby.
A number that two signs enclose (``<<4258828080>>``, ``==4258828080==``) is no operand of theirs.
One number of sixteen digits in ten has the checksum of a card: such a one goes where it is the operand of a
multiplication or division, or stands beside a decimal point, and no word for a card is near.

`domains`: what looks like a site or an address is none. A site without "www", scheme or path goes where its
last part
- is cut off from a longer word (``date.ge|tSeconds``), or
- is called, or followed by another part (``os.path.join``), or
- is an ordinary word (``self.name``, "end.So").
It goes inside an e-mail address as well, and so do addresses that belong to nobody: ``::`` and ``::2`` of
slices, 0.0.0.0, 127.0.0.1, and the numbers of versions ("version 1.2.3.4").

`licences`: the number of a licence, a passport or an account is likely only because of a word nearby. It goes
where that word is only a part of another: "lic" also stands in "Alice" and "policy", "us" in "customer".

`overlaps`: a finding goes where another spans it (or has the same span) and is stronger. Of the same entity,
any that spans it is stronger. Of another entity, the one that says more is (`strength`): first what a
checksum or a form proves, then what a word nearby announces, then what its form makes likely, then a mere
number of so many digits. A checksum of one digit (UK_NHS) proves nothing without a word nearby: one telephone
number in eleven has it right.

What was covered stays covered: a character in a finding at the default threshold or above is still in one
after all steps, unless a step says that there is no personal data at all. For that, a finding can be beaten
only by one that spans it, that is not below the threshold unless the beaten one is too, and that is not of an
entity which the recipe keeps (but for a date with its month written out).
"""

import ipaddress
import itertools
import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from headrace.pipelines.stages.pii.code_values import is_escape, without_code
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.recognizers.lists import words
from headrace.pipelines.stages.pii.references import CALLED, is_reference
from headrace.pipelines.stages.pii.times import with_times

THRESHOLD = 0.4  # the default of the recipe
WRITTEN = 0.6  # the score of a date with its month or year written out
# A site or a date inside one of these never counts more than it.
SPOKEN = ("EMAIL_ADDRESS", "IP_ADDRESS", "IBAN_CODE")
NUMBERS = frozenset(words("number_entities"))
DOUBTED = NUMBERS | {"URL", "IP_ADDRESS"}
# Highest score that a finding has without a word nearby; `THRESHOLD` for other entities.
BASE = {"PHONE_NUMBER": 0.5, "DATE_TIME": 0.3, "UK_NHS": 1.0, "CREDIT_CARD": 0.5}
OPERAND = r"[\d)%.]"  # what an operand ends with
# What stands directly before, or directly behind, a number of a calculation.
LEFT = re.compile(rf"(?:{OPERAND}\s{{0,2}}[-–*×÷/+x=^]\s?[$€£]?|[$€£]\s?|##\s?|<<|>>|\d\.|=\s?[$€£]?)\(?\Z")
RIGHT = re.compile(r"\)?(?:\s?[-–*×÷/+^=]\s?[$€£]?[\d(.<]|\s?=|\s?[%€£]|>>|\s?[-–*×/+]\s?[$€£])")
ENCLOSED = {("<<", ">>"), ("==", "==")}  # what such signs stand around is no operand of theirs
# A finding that is itself a calculation; one that counts ("1 2 3 4 5"); a fraction, which may be a date.
INNER = re.compile(
    r"\(?\d+(?:\.\d+)?\)? ?[-*+/] ?\d+\.\d+|\(?\d+\.\d+\)?(?: ?[-*+/] ?\(?\d+\)?)?|\(?\d+\)? / \(?\d+\)?"
)
WHOLE = re.compile(r"\(?\d+\)? ?[-*+/] ?\(?\d+\)?")  # one whose result stands behind it
RESULT = re.compile(r"\s?=\s?(?:<<|[-$€£]?\d)")
COUNTING = re.compile(r"(\d{1,2})(?: \d{1,2}){4,}")
FRACTION = re.compile(r"\d{1,2}/\d{1,2}")
# A card's number in a calculation. What follows a slash may be the month and year to which the card is valid.
CARD_LEFT = re.compile(r"(?:\d\.|\d[ ]?[*×÷^+][ ]?|(?<![\d/|])\d[ ]?/[ ]?|\d[ ]?=[ ]?)\Z")
CARD_RIGHT = re.compile(
    r"\.\d+(?![\d/|]|\.\d)|[ ]?[*×÷^][ ]?\d|[ ]?/[ ]?(?:\d|1[3-9]|[2-9]\d|\d{5,})(?![ ]?[\d/|])"
)
CARD = re.compile(r"(?i)card|visa|amex|credit|debit|karte|carte|tarjeta|(?<![^\W_])(?:cc|pan|mc)(?![^\W_])")
VERSION = re.compile(
    r"(?i)(?<![^\W_])(?:versions?|ver|vers|v|releases?|builds?|firmware|rev|revision)\.?[ :=-]{0,2}\Z|"
    r"[=~<>!]=[ ]?\Z"
)
PRERELEASE = re.compile(r"(?i)-(?:alpha|beta|rc|dev|snapshot|release|final)")
MEANT = {
    "US_DRIVER_LICENSE": r"licen[cs]es?|driver'?s?|driving|permit|dl|dmv",
    "US_PASSPORT": r"passports?|travel|visa|nationality",
    "US_BANK_NUMBER": r"accounts?|acct|acc|ac|bank\w*|checking|savings?|debit|deposit\w*|routing|iban|"
    r"account_\w+|\w+account",
    "UK_NHS": r"nhs|national health|health service|patient|medical",
}
NEAR = 80  # characters before a finding in which a word of `MEANT` counts
SURE = frozenset(words("site_endings"))
WEIGHT = {
    "PRIVATE_KEY": 9, "IBAN_CODE": 8, "EMAIL_ADDRESS": 8, "CREDIT_CARD": 7, "CRYPTO": 7, "API_KEY": 7,
    "UUID": 6, "MAC_ADDRESS": 6, "IP_ADDRESS": 6, "US_SSN": 5, "STREET_ADDRESS": 5, "PASSWORD": 4,
    "PHONE_NUMBER": 4, "ID_NUMBER": 3, "PERSON": 3, "MEDICAL_LICENSE": 3, "US_ITIN": 2, "US_BANK_NUMBER": 2,
    "US_PASSPORT": 2, "US_DRIVER_LICENSE": 2, "UK_NHS": 2,
}  # fmt: skip


def resolved(
    text: str, findings: Iterable[Finding], without: frozenset[str], idle: frozenset[str]
) -> list[Finding]:
    """The findings in `text` that stay, sorted.

    without: names of steps to leave out. idle: entities that the recipe keeps, so that they will not be
    replaced.
    """
    kept = list(findings)
    if "\\" in text:
        kept = [without_escape(text, one) for one in kept]
        if "code" not in without:
            kept = [one for one in kept if not is_escape(text, one)]
    if "code" not in without:
        kept = without_code(text, kept)
    if not kept or (len(kept) == 1 and kept[0].entity not in DOUBTED):  # most texts
        return kept
    there = {one.entity for one in kept}  # most steps are about none of them
    if "times" not in without and "DATE_TIME" in there:
        kept = with_times(text, kept)
    if "references" not in without and not there.isdisjoint(CALLED):
        kept = [one for one in kept if not is_reference(text, one)]
    if "sums" not in without and not there.isdisjoint(NUMBERS):
        kept = [one for one in kept if not (one.entity in NUMBERS and is_operand(text, one))]
    if "domains" not in without and "URL" in there:
        mails = [one for one in kept if one.entity == "EMAIL_ADDRESS"]
        kept = [one for one in kept if one.entity != "URL" or not is_no_domain(text, one, mails)]
    if "domains" not in without and "IP_ADDRESS" in there:
        kept = [one for one in kept if one.entity != "IP_ADDRESS" or not is_nobodys(text, one)]
    if "licences" not in without and not there.isdisjoint(MEANT):
        kept = [one for one in kept if one.entity not in MEANT or has_word_for(text, one)]
    if "overlaps" not in without and len(kept) > 1:
        kept = without_weaker(text, kept, idle)
    return sorted(kept)


def without_escape(text: str, one: Finding) -> Finding:
    """A finding without the letter of an escape that it begins with: ``\\nann@example.com`` in code."""
    if text[one.start - 1 : one.start] != "\\" or text[one.start] not in "nrt" or one.end - one.start < 2:
        return one
    backslashes = one.start - len(text[: one.start].rstrip("\\"))
    return one._replace(start=one.start + backslashes % 2)


def is_operand(text: str, one: Finding) -> bool:
    """Whether a finding of digits is an operand or a result of a calculation, or is one itself."""
    number = text[one.start : one.end]
    if one.entity == "CREDIT_CARD" and is_quotient(text, one):
        return True
    if WHOLE.fullmatch(number) and RESULT.match(text, one.end):
        return True
    if one.score > BASE.get(one.entity, THRESHOLD) or number.startswith("+"):
        return False
    if one.entity == "DATE_TIME" and not FRACTION.fullmatch(number):
        return False
    left, right = text[max(0, one.start - 8) : one.start], text[one.end : one.end + 6]
    if (left[-2:], right[:2]) in ENCLOSED and not re.search(r"\w", left[-3:-2] + right[2:3]):
        return False
    if LEFT.search(left) or RIGHT.match(right):
        return one.entity != "DATE_TIME" or bool(
            re.search(r"[-*+=<(]\s?\Z", left) or re.match(r"\s?[-*+=)]", right)
        )
    return bool(INNER.fullmatch(number) or COUNTING.fullmatch(number))


def may_be_sum(behind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether dates above `BASE` could be operands (`is_operand`), by two bytes behind: bool[dates]."""
    found: NDArray[np.bool_] = (behind[:, :2] == ord("=")).any(axis=1)
    return found


def is_quotient(text: str, one: Finding) -> bool:
    """Whether what has a card's checksum is a decimal, or stands beside the sign of a calculation."""
    left = CARD_LEFT.search(text[max(0, one.start - 8) : one.start])
    if not left and not CARD_RIGHT.match(text, one.end):
        return False
    return not CARD.search(text[max(0, one.start - NEAR) : one.start] + " " + text[one.end : one.end + 20])


def is_no_domain(text: str, one: Finding, mails: list[Finding]) -> bool:
    """Whether what was taken for a site belongs to one of `mails`, to code, or to a sentence."""
    if any(mail.start <= one.start and one.end <= mail.end for mail in mails):
        return True
    site = text[one.start : one.end].strip("'\"")
    host = site.partition("/")[0]
    if "//" in site or site[:4].lower().startswith("www") or (one.start > 2 and text[one.start - 1] == "@"):
        return False
    behind = text[one.end : one.end + 1]
    if behind and (behind.isalnum() or behind in "_(["):
        return True
    if (behind == "." and text[one.end + 1 : one.end + 2].isalnum()) or text[
        max(0, one.start - 1) : one.start
    ] in (".", "_", "$"):
        return True
    ending = host.rpartition(".")[2]
    mixed = (ending[:1].isupper() and host[:1].islower()) or (
        ending[1:] != ending[1:].lower() and not ending.isupper()
    )
    return mixed or ("/" not in site and ending.lower() not in SURE)


def is_nobodys(text: str, one: Finding) -> bool:
    """Whether an IP address is nobody's: the unspecified one, this very machine's, a slice, or a version."""
    if VERSION.search(text[max(0, one.start - 12) : one.start]) or PRERELEASE.match(text, one.end):
        return True
    try:
        address = ipaddress.ip_address(text[one.start : one.end])
    except ValueError:  # with a port or a prefix
        return False
    return address.is_unspecified or address.is_loopback or (address.version == 6 and int(address) < 1 << 32)


def has_word_for(text: str, one: Finding) -> bool:
    """Whether a number that a word nearby made likely has a whole word nearby that names what it is."""
    if one.entity == "UK_NHS" or one.score < THRESHOLD:
        return True
    around = text[max(0, one.start - NEAR) : one.start] + " " + text[one.end : one.end + 20]
    return bool(re.search(rf"(?i)(?<![^\W_])(?:{MEANT[one.entity]})(?![^\W_])", around))


def strength(text: str, one: Finding) -> tuple[float, int, int]:
    """How much a finding counts against others: (score, weight of its entity, length), more is stronger.

    The score of a UK_NHS without a word nearby counts as 0.3 at most.
    """
    score = one.score
    if one.entity == "UK_NHS" and not re.search(
        rf"(?i)\b(?:{MEANT['UK_NHS']})\b", text[max(0, one.start - NEAR) : one.start]
    ):
        score = min(score, 0.3)
    return score, WEIGHT.get(one.entity, 1), one.end - one.start


def without_weaker(text: str, findings: list[Finding], idle: frozenset[str]) -> list[Finding]:
    """Findings that no stronger one spans."""
    ordered = sorted(findings, key=lambda one: (one.start, -one.end))
    if all(one.end <= other.start for one, other in itertools.pairwise(ordered)):
        return ordered  # most stand apart
    strengths = {one: strength(text, one) for one in ordered}
    kept: list[Finding] = []
    # Findings come by their start, the longest first: whatever spans one has come before it. `active` are
    # those that reach as far as what is looked at.
    active: list[Finding] = []
    for (start, _), group in itertools.groupby(strengths, key=lambda one: (one.start, one.end)):
        same = list(group)
        active = [other for other in active if other.end > start] + same
        kept += [one for one in same if not any(beats(other, one, strengths, idle) for other in active)]
    return kept


def beats(
    other: Finding, one: Finding, strengths: dict[Finding, tuple[float, int, int]], idle: frozenset[str]
) -> bool:
    """Whether `other` spans `one` and is stronger."""
    if not (other.start <= one.start and one.end <= other.end) or other == one:
        return False
    if other.score < THRESHOLD <= one.score:
        return False
    if other.entity == one.entity:
        same = (other.start, other.end) == (one.start, one.end)
        mine, theirs = (other.score, other.recognizer), (one.score, one.recognizer)
        return mine > theirs if same else True
    if other.entity == "DATE_TIME" and one.entity in NUMBERS:
        # A date with its month written out beats the numbers in it, which are weak.
        return other.score >= WRITTEN and one.score <= THRESHOLD
    if other.entity in idle and one.entity not in idle:
        return False
    if one.entity in ("DATE_TIME", "URL") and other.entity not in SPOKEN:
        return one.score < THRESHOLD or other.score > one.score
    a, b = strengths[other], strengths[one]
    if (other.start, other.end) == (one.start, one.end):
        return (a, other.entity) > (b, one.entity)
    return (a[1] >= b[1] and a[0] >= THRESHOLD) or a > b
