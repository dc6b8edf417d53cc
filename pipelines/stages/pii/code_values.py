"""What code, mathematics and logs are full of, and what is nobody's: the step `code`.

- What lies within one escape (``\\uc3e6``) is a part of a character's number, whatever it looks like.
- An account of a service is no e-mail address: ``git@host``, whatever follows it (`SERVICES`).
- A slice or a qualified name is no IP address: an address of version 6 that is cut short (``::``) has three
  groups or more, or lies where addresses are given out (`GIVEN_OUT`), and does not stand in the brackets
  of a subscript: ``xs[1::2]``, ``a::b``, ``x[2001::3]``. Neither are net masks and numbers of sections.
- A time counted from 1970 is no telephone number: ten digits, 13, 16 or 19, where the text calls them a time
  (``created_at: 1712345678``).
- Neither are digits that stand in a hexadecimal number, at the end of a name (``case_164-21-0``), in the path
  of a site, a limit of integers (2147483647), a negative integer, decimals side by side
  ("28.25 317.18 0") and days that no calendar has ("03-32-2011"), if no word nearby raised their score.
"""

import ipaddress
import re

from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.recognizers.lists import words
from headrace.pipelines.stages.pii.recognizers.recognizer import before

NUMBERS = frozenset(words("number_entities"))
DIGITS = NUMBERS - {"DATE_TIME"}
ASKED = DIGITS | {"EMAIL_ADDRESS", "IP_ADDRESS", "MEDICAL_LICENSE"}  # most findings are of others
WEAK = 0.4  # highest score of digits that no word nearby raised
BY_DIGITS = (
    "PhoneRecognizer",
    "bracketed_phones",
    "NhsRecognizer",
)  # which know digits alone, at whatever score
ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|u\{[0-9A-Fa-f]{1,6}\})")
LONGEST = 10  # characters of an escape
SERVICES = re.compile(r"(?i)(?:\A|[/:='\"])(?:git|hg|svn|bzr|cvs|gitea|gitolite|gogs|forgejo)\Z")

# Where addresses of version 6 are: public, of sites, of links, to many, of version 4 inside.
GIVEN_OUT = [
    ipaddress.IPv6Network(net)
    for net in ("2000::/3", "fc00::/7", "fe80::/10", "ff00::/8", "64:ff9b::/32", "::ffff:0:0/96")
]
SUBSCRIPT = re.compile(r"[\w)\]}]\[[^\[\]\n]{0,60}\Z")
GROUPS = 3  # from which what is cut short is an address wherever it lies
SECTION = re.compile(
    r"(?i)(?:§|(?<![^\W_])(?:sect(?:ion)?s?|sec|chapters?|clauses?|fig(?:ure)?s?|tables?|articles?|rules?|"
    r"appendix|annex|paragraphs?|para|steps?|exercises?|theorems?|lemmas?|equations?|eq))\.?[ \"'(]{0,3}\Z"
)
VERSIONS = re.compile(r"(?i)\b(?:version|release|semver|changelog)")
HOSTS = re.compile(
    r"(?i)\b(?:ip|ips|ipv4|address|addr|host|hosts|server|ping|dns|gateway|subnet|router|bind)\b"
)
PRODUCT = re.compile(r"(?<![/:])\b[A-Za-z][A-Za-z_+]*[/_-]\Z")  # Name/1.2.3.4, name-1.2.3.4.tar.gz
SMALL = re.compile(r"[0-2]?\d(?:\.\d{1,2}){3}")  # as the parts of versions are

TIME = re.compile(r"[12]\d{9}(?:\d{3}){0,3}|[12]\d{9}\.\d{1,9}")
CALLED_TIME = re.compile(
    r"(?:(?i:(?<![a-z])(?:times?|timestamps?|ts|epoch|unix(?:[ _-]?time)?|date|datetime|iat|exp|nbf|"
    r"[mca]time|created|updated|modified|deleted|expires?|expiry|expired|since|until|seen|start(?:ed|s)?|"
    r"end(?:ed|s)?|published|posted|joined|when|seconds|secs|millis|milliseconds|ms)|_(?:at|on|ts|time|date|timestamp))"
    r"|[a-z](?:At|On|Time|Date|Ts|Timestamp))"
    r"[\"'`\])]{0,3}[ ]?(?:[:=(,]|=>|->|is|of)?[ ]?[\"'`(\[]{0,2}\Z"
)
TIMES = re.compile(
    r"(?i)time_?stamp|epoch|unix|since 1970|datetime|fromtimestamp|readable date|time_t|YYYY|HH:mm|strftime"
)
TELEPHONE = re.compile(
    r"(?i)tel|phone|fon|fax|mobil|cell|call|(?<![a-z])ring|dial|handy|gsm|reach|contact|sms|whatsapp|wa\.me"
)
HEXADECIMAL = re.compile(r"(?i)0x[0-9a-f_]*\Z")
LIMITS = frozenset(str((1 << bits) + by) for bits in range(10, 65) for by in (-2, -1, 0, 1)) | {"0123456789"}
NAME = re.compile(r"[A-Za-z0-9]_\Z|(?<![\w-])[a-z]{2,12}-\Z")
PATH = re.compile(r"(?:://|www\.)[^\s\"'<>]*/\Z")
NEGATIVE = re.compile(r"(?:\A|[\s(\[{,=:<>*/+])-\Z")
DECIMAL = re.compile(r"[-+]?\d+\.\d{1,2}")
NO_DAY = re.compile(r"\d{1,2}([-/.])\d{1,2}\1(?:19|20)\d\d|(?:19|20)\d\d([-/.])\d{1,2}\2\d{1,2}")
FEW = 7  # digits of a number at the end of a name
PLAIN = re.compile(r"[\[({\s]*(-?)(\d+)[\])}\s]*")


def without_code(text: str, findings: list[Finding]) -> list[Finding]:
    """Findings but for those of `is_code`, and but for digits inside an address that is none."""
    gone = [one for one in findings if one.entity in ASKED and is_code(text, one)]
    if not gone:
        return findings
    addresses = [one for one in gone if one.entity == "IP_ADDRESS"]

    def is_inside(one: Finding) -> bool:
        return any(other.start <= one.start and one.end <= other.end for other in addresses)

    return [one for one in findings if one not in gone and not (one.entity in NUMBERS and is_inside(one))]


def is_code(text: str, one: Finding) -> bool:
    """Whether a finding is of something that code is full of, and nobody's."""
    if one.entity == "EMAIL_ADDRESS":
        return is_service(text, one)
    if one.entity == "IP_ADDRESS":
        return is_slice(text, one) or is_numbering(text, one)
    if one.entity == "MEDICAL_LICENSE":
        beside = text[max(0, one.start - 1) : one.start] + text[one.end : one.end + 1]
        return any(character.isalnum() for character in beside)
    return one.entity in DIGITS and (is_time(text, one) or is_plain(text, one))


def is_escape(text: str, one: Finding) -> bool:
    """Whether a finding lies within one escape of a character."""
    at = text.rfind("\\", max(0, one.end - LONGEST), one.start + 1)
    escape = ESCAPE.match(text, at) if at >= 0 else None
    return escape is not None and one.end <= escape.end()


def is_service(text: str, one: Finding) -> bool:
    """Whether an address is an account of a service, which nobody reads the mail of."""
    return bool(SERVICES.search(text[one.start : one.end].rpartition("@")[0]))


def is_slice(text: str, one: Finding) -> bool:
    """Whether what looks like an address of version 6 is a slice or a qualified name."""
    said = text[one.start : one.end].partition("%")[0].partition("/")[0]
    if "::" not in said:
        return False
    if SUBSCRIPT.search(before(text, one.start, 64)):
        return True
    try:
        address = ipaddress.IPv6Address(said)
    except ValueError:
        return False
    groups = [group for group in said.split(":") if group]
    return len(groups) < GROUPS and not any(address in net for net in GIVEN_OUT)


def is_numbering(text: str, one: Finding) -> bool:
    """Whether what looks like an address of version 4 is a net mask, a section's number or a version's."""
    said = text[one.start : one.end]
    parted = text[max(0, one.start - 2) : one.start], text[one.end : one.end + 2]  # by more parts
    if re.fullmatch(r"\d\.", parted[0]) or re.fullmatch(r"\.\d", parted[1]):
        return True
    if said.startswith("255.") or SECTION.search(before(text, one.start, 16)):
        return True
    if not SMALL.fullmatch(said):
        return False
    ahead = before(text, one.start, 120)
    if PRODUCT.search(ahead[-24:]) and not HOSTS.search(ahead[-24:]):
        return True
    return bool(VERSIONS.search(ahead)) and not HOSTS.search(ahead)


def is_time(text: str, one: Finding) -> bool:
    """Whether digits are a time counted from 1970, as the text calls them."""
    said = text[one.start : one.end]
    if not 10 <= len(said) <= 24 or " " in said:
        return False
    said = said.strip("()[]{}")
    if not TIME.fullmatch(said) or not "10" <= said[:2] < "22":
        return False
    ahead = before(text, one.start, 80)
    if CALLED_TIME.search(ahead + text[one.start : text.index(said, one.start)]):
        return True
    if one.score > WEAK or TELEPHONE.search(ahead[-24:]):
        return False
    if "." in said or re.match(r"\.\d{1,9}(?![\d.])", text[one.end : one.end + 11]):
        return True
    return bool(TIMES.search(ahead) or TIMES.search(text[one.end : one.end + 60]))


def is_plain(text: str, one: Finding) -> bool:
    """Whether digits that no word raised are a number of a program, a part of a name, or decimals."""
    ahead, said = before(text, one.start, 80), text[one.start : one.end]
    if "0x" in ahead[-24:].lower() and HEXADECIMAL.search(ahead[-24:]):
        return True
    if one.recognizer not in BY_DIGITS:
        return False
    if are_decimals(said):
        return True
    if one.score > WEAK and one.entity != "UK_NHS":
        return False
    if TELEPHONE.search(ahead[-24:]):
        return False
    plain = PLAIN.fullmatch(said)
    if plain and (plain[1] or plain[2] in LIMITS or NEGATIVE.search(ahead[-2:])):
        return True
    if NO_DAY.fullmatch(said) or re.match(r"\.\d{1,2}(?![\d.])", text[one.end : one.end + 4]):
        return True
    if said.count(".") > 1 and PRODUCT.search(ahead[-24:]):
        return True
    named = NAME.search(ahead[-16:]) or PATH.search(ahead)
    return bool(named) and sum(character.isdigit() for character in said) <= FEW


def are_decimals(said: str) -> bool:
    """Whether a number is one decimal with a sign, or several side by side."""
    if "." not in said:
        return False
    parts = said.split()
    if len(parts) == 1:
        return parts[0][:1] in "+-" and bool(DECIMAL.fullmatch(said))
    numbers = all(re.fullmatch(r"[-+]?\d+(?:\.\d+)?", part) for part in parts)
    return numbers and "+" not in said and any(DECIMAL.fullmatch(part) for part in parts)
