"""What findings of many recognisers together mean: which of them are no PII, and which say the same twice.

Four steps, each with a name for the key `without`, in this order:

`sums`: an operand or a result of a calculation is no number of a person. A finding of digits that no word
nearby raised goes if it stands beside an operator with another number at its other side (``<<18000-3000=``),
behind ``####``, ``$`` or a decimal point, or if it is itself a calculation ("0.87 / 1000").
`domains`: an address of a site without "www", scheme or path is none where its last part is cut off from a
longer word (``date.ge|tSeconds``), is called or gone on with (``os.path.join``), or is an ordinary word
(``self.name``, "end.So"), and none inside an e-mail address. Addresses of no machine in particular (``::``
and ``::2`` of slices, 0.0.0.0, 127.0.0.1) are nobody's.
`licences`: a licence, passport or account number that only words nearby made likely, where none of those
words is one as a whole ("lic" also stands in "Alice" and "policy", "us" in "customer"), goes.
`overlaps`: a finding inside another one, or equal to it, goes where the other is stronger: of the same
entity, any that spans it; of another, one that says more (`strength`): proved by a checksum or a form, told
by a word nearby, likely by form, then mere numbers of so many digits. A checksum of one digit that a
telephone number meets one time in eleven (UK_NHS) proves nothing unless a word says so.

No step uncovers a character that a finding at the default threshold covered, but where it says that there
is no PII: whatever removes another by `overlaps` spans it, is not weaker than the threshold if that is not,
and is not of an entity that the recipe lets stay unless it is a date written out.
"""

import ipaddress
import itertools
import re
from collections.abc import Iterable

from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.recognizers.lists import words

THRESHOLD = 0.4  # the default of the recipe
WRITTEN = 0.6  # the score of a date with its month or year written out
SPOKEN = ("EMAIL_ADDRESS", "IP_ADDRESS", "IBAN_CODE")  # which a site or a date is never more than
NUMBERS = frozenset(words("number_entities"))
DOUBTED = NUMBERS | {"URL", "IP_ADDRESS"}
BASE = {"PHONE_NUMBER": 0.5, "DATE_TIME": 0.3, "UK_NHS": 1.0, "CREDIT_CARD": 0.5}  # not raised up to there
OPERAND = r"[\d)%.]"
LEFT = re.compile(rf"(?:{OPERAND}\s?[-–*×÷/+x=^]\s?[$€£]?|[$€£]\s?|##\s?|<<|>>|\d\.|=\s?[$€£]?)\(?\Z")
RIGHT = re.compile(r"\)?(?:\s?[-–*×÷/+^=]\s?[$€£]?[\d(.<]|\s?=|\s?[%€£]|>>|\s?[-–*×/+]\s?[$€£])")
INNER = re.compile(
    r"\(?\d+(?:\.\d+)?\)? ?[-*+/] ?\d+\.\d+|\(?\d+\.\d+\)?(?: ?[-*+/] ?\(?\d+\)?)?|\(?\d+\)? / \(?\d+\)?"
)
COUNTING = re.compile(r"(\d{1,2})(?: \d{1,2}){4,}")
FRACTION = re.compile(r"\d{1,2}/\d{1,2}")
MEANT = {
    "US_DRIVER_LICENSE": r"licen[cs]es?|driver'?s?|driving|permit|dl|dmv",
    "US_PASSPORT": r"passports?|travel|visa|nationality",
    "US_BANK_NUMBER": r"accounts?|acct|acc|ac|bank\w*|checking|savings?|debit|deposit\w*|routing|iban|"
    r"account_\w+|\w+account",
    "UK_NHS": r"nhs|national health|health service|patient|medical",
}
NEAR = 80  # characters before a finding in which such a word counts
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
    """The findings in `text` that stay, sorted; those of the entities `idle` will not be replaced."""
    kept = list(findings)
    if len(kept) == 1 and kept[0].entity not in DOUBTED:  # most texts
        return kept
    if "sums" not in without:
        kept = [one for one in kept if not (one.entity in NUMBERS and is_operand(text, one))]
    if "domains" not in without:
        mails = [one for one in kept if one.entity == "EMAIL_ADDRESS"]
        kept = [one for one in kept if one.entity != "URL" or not is_no_domain(text, one, mails)]
        kept = [one for one in kept if one.entity != "IP_ADDRESS" or not is_nobodys(text, one)]
    if "licences" not in without:
        kept = [one for one in kept if one.entity not in MEANT or has_word_for(text, one)]
    if "overlaps" not in without and len(kept) > 1:
        kept = without_weaker(text, kept, idle)
    return sorted(kept)


def is_operand(text: str, one: Finding) -> bool:
    """Whether a finding of digits belongs to a calculation."""
    number = text[one.start : one.end]
    if one.score > BASE.get(one.entity, THRESHOLD) or number.startswith("+"):
        return False
    if one.entity == "DATE_TIME" and not FRACTION.fullmatch(number):
        return False
    left, right = text[max(0, one.start - 8) : one.start], text[one.end : one.end + 6]
    if LEFT.search(left) or RIGHT.match(right):
        return one.entity != "DATE_TIME" or bool(
            re.search(r"[-*+=<(]\s?\Z", left) or re.match(r"\s?[-*+=)]", right)
        )
    return bool(INNER.fullmatch(number) or COUNTING.fullmatch(number))


def is_no_domain(text: str, one: Finding, mails: list[Finding]) -> bool:
    """Whether what was taken for a site is part of a mail address, of code, or of a sentence."""
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
    """Whether an address is the unspecified one, this very machine's, or too short to be one."""
    try:
        address = ipaddress.ip_address(text[one.start : one.end])
    except ValueError:  # with a port or a prefix
        return False
    return address.is_unspecified or address.is_loopback or (address.version == 6 and int(address) < 1 << 32)


def has_word_for(text: str, one: Finding) -> bool:
    """Whether a number that words nearby raised has a word nearby that is meant."""
    if one.entity == "UK_NHS" or one.score < THRESHOLD:
        return True
    around = text[max(0, one.start - NEAR) : one.start] + " " + text[one.end : one.end + 20]
    return bool(re.search(rf"(?i)(?<![^\W_])(?:{MEANT[one.entity]})(?![^\W_])", around))


def strength(text: str, one: Finding) -> tuple[float, int, int]:
    """What a finding counts against others: (score, weight of its entity, length)."""
    score = one.score
    if one.entity == "UK_NHS" and not re.search(
        rf"(?i)\b(?:{MEANT['UK_NHS']})\b", text[max(0, one.start - NEAR) : one.start]
    ):
        score = min(score, 0.3)
    return score, WEIGHT.get(one.entity, 1), one.end - one.start


def without_weaker(text: str, findings: list[Finding], idle: frozenset[str]) -> list[Finding]:
    """Findings that no other one, which spans them, makes needless."""
    strengths = {one: strength(text, one) for one in findings}
    kept: list[Finding] = []
    active: list[Finding] = []  # that reach into what is looked at; whatever spans a finding comes before it
    ordered = sorted(strengths, key=lambda one: (one.start, -one.end))
    for (start, _), group in itertools.groupby(ordered, key=lambda one: (one.start, one.end)):
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
        return other.score >= WRITTEN and one.score <= THRESHOLD  # a date, not a number
    if other.entity in idle and one.entity not in idle:
        return False
    if one.entity in ("DATE_TIME", "URL") and other.entity not in SPOKEN:
        return one.score < THRESHOLD or other.score > one.score
    a, b = strengths[other], strengths[one]
    if (other.start, other.end) == (one.start, one.end):
        return (a, other.entity) > (b, one.entity)
    return (a[1] >= b[1] and a[0] >= THRESHOLD) or a > b
