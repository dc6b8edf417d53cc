"""What stands for a value under a key: a hash, or a made-up value of the same form.

What: everything is drawn from HMAC-SHA256 of the entity and the value's letters and digits, so the same
value is given the same surrogate in every row and every run with that key, and without the key nothing
leads back. Names, addresses and places are Faker's, a name word by word, so that "Ann" and "Ann Lee" stay
one person. All else keeps its form: each digit becomes another digit and each letter another letter, drawn
again until what comes out is found as the value was, so that checksums, country codes and issuers hold.

A hash is written in letters, so that no recogniser takes it for a number.

Cost: about 0.1 ms a value, some milliseconds where a checksum must hold; remembered within a part.
Source: RFC 2104, https://faker.readthedocs.io/
"""

import functools
import hashlib
import hmac
import itertools
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from headrace.pipelines.stages.pii.config import Config, Ner
from headrace.pipelines.stages.pii.masking.json_text import HALF
from headrace.pipelines.stages.pii.masking.values import BETWEEN, folded, identity
from headrace.pipelines.stages.pii.recognizers.catalogue import STEPS
from headrace.pipelines.stages.pii.search import findings_in

LETTERS = "abcdefghijklmnop"
DIGEST = 16  # letters of a hash: 64 bits
TRIED = 16  # candidates that are looked at together
ROUNDS = 64
HEADS = {"IBAN_CODE": 2, "CREDIT_CARD": 1}  # characters that say what the others must be
HEX = re.compile(r"(?=.*\d)[0-9a-fA-F]{8,}")
WORD = re.compile(r"[^\W\d_]+")
FORMATS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m-%d-%Y", "%m/%d/%y"),
    *("%B %d, %Y", "%d %B %Y", "%b %d, %Y", "%d %b %Y", "%B %d", "%d %B"),
)
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
TITLES = {"mr", "mrs", "ms", "miss", "dr", "prof", "sir", "madam", "herr", "frau", "de", "van", "von"}
MADE: dict[str, Callable[[Any, str], str]] = {
    "EMAIL_ADDRESS": lambda fake, value: f"{fake.user_name()}@{fake.safe_domain_name()}",
    "IP_ADDRESS": lambda fake, value: fake.ipv6() if ":" in value else fake.ipv4(),
    "LOCATION": lambda fake, value: fake.city(),
    "STREET_ADDRESS": lambda fake, value: fake.street_address(),
    "ORGANIZATION": lambda fake, value: fake.company(),
    "URL": lambda fake, value: f"https://{fake.safe_domain_name()}/{fake.slug()}",
    "PASSWORD": lambda fake, value: fake.password(length=12, special_chars=False),
    "DATE_TIME": lambda fake, value: _date(fake, value),
    "CRYPTO": lambda fake, value: _wallet(fake),
}


def versions() -> dict[str, str]:
    """Libraries that decide what surrogates look like."""
    return {"faker": version("faker")}


def digest(secret: bytes, *parts: str) -> bytes:
    """HMAC-SHA256 of `parts` (32 bytes)."""
    return hmac.new(secret, "\0".join(parts).encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


class Surrogates:
    """Hashes and surrogates under the secret of `config`, with those that were made so far."""

    def __init__(self, config: Config) -> None:
        assert config.secret is not None, "asked for before any work"
        self.secret = config.secret
        # What has a form is found by patterns, whatever else the same digits could be: no model is asked.
        self.patterns = config.model_copy(update={"ner": Ner(), "without": (*config.without, *STEPS)})
        self._made: dict[tuple[str, str], str] = {}

    def hashed(self, entity: str, value: str) -> str:
        """`DIGEST` letters, the same for values with the same letters and digits."""
        raw = digest(self.secret, "hash", entity, identity(entity, value))
        return "".join(LETTERS[byte >> 4] + LETTERS[byte & 15] for byte in raw[: DIGEST // 2])

    def surrogate(self, entity: str, value: str) -> str:
        """A made-up value of the same form, never the value itself."""
        if entity == "PERSON":
            return _person(self.secret, value)
        if entity in MADE:
            same = identity(entity, value)
            for number in range(ROUNDS):
                made = MADE[entity](
                    _faker(digest(self.secret, "surrogate", entity, same, str(number))), value
                )
                if made and identity(entity, made) != same:
                    return made
        core = ("+" if value.startswith("+") else "") + BETWEEN.sub("", value)
        if (entity, core) not in self._made:
            self._made[entity, core] = self._scrambled(entity, core, value)
        return _refilled(value, BETWEEN.sub("", self._made[entity, core]))

    def _scrambled(self, entity: str, core: str, value: str) -> str:
        """Other letters and digits, found as `core` is, or as `value` where that alone is found whole."""
        candidates = _candidates(self.secret, entity, core)
        bare, dressed = self._strengths(entity, [core, value])
        strength = bare or dressed
        first: list[str] = []
        for _ in range(ROUNDS if strength else 1):
            tried = list(itertools.islice(candidates, TRIED if strength else 1))
            first = first or tried
            shown = tried if bare else [_refilled(value, BETWEEN.sub("", one)) for one in tried]
            for candidate, found in zip(tried, self._strengths(entity, shown), strict=True):
                if found >= strength:
                    return candidate
        return first[0]

    def _strengths(self, entity: str, texts: list[str]) -> list[float]:
        """Best score at which each text is found as `entity` from end to end; 0 where it is not."""
        best = [0.0] * len(texts)
        whole = [HALF.sub("\ufffd", text) for text in texts]
        found = findings_in(pa.array(whole, pa.large_string()), self.patterns)
        for at, finding in zip(found.rows, found.findings, strict=True):
            if finding.entity == entity and finding.end - finding.start >= len(texts[at].lstrip("+")):
                best[at] = max(best[at], finding.score)
        return best


def _person(secret: bytes, value: str) -> str:
    """A name: titles stay, initials become others, the last of several words is a family name."""
    names = [m.start() for m in WORD.finditer(value) if m[0].lower() not in TITLES]
    names = names or [m.start() for m in WORD.finditer(value)]  # "Van" alone is one

    def other(match: re.Match[str]) -> str:
        word = match[0]
        if match.start() not in names:
            return word
        made = word
        for number in range(ROUNDS):
            fake = _faker(digest(secret, "surrogate", "PERSON", folded(word), str(number)))
            if len(word) == 1:
                made = str(fake.random_uppercase_letter())
            else:
                made = str(fake.last_name() if match.start() == names[-1] != names[0] else fake.first_name())
            if folded(made) != folded(word):
                break
        return made.lower() if word.islower() else made.upper() if len(word) > 1 and word.isupper() else made

    return WORD.sub(other, value)


def _date(fake: Any, value: str) -> str:
    """Another day, written as `value` is; empty where that is no way known here."""
    drawn = fake.date_between(date(1950, 1, 1), date(2030, 12, 31))
    for form in FORMATS:
        dated = "y" in form.lower()
        try:
            # Where no year is given, one that knows the 29th of February.
            datetime.strptime(value if dated else f"2000 {value}", form if dated else f"%Y {form}")
        except ValueError:
            continue
        return str(drawn.strftime(form))
    return ""


def _wallet(fake: Any) -> str:
    """A Bitcoin address that nobody has: a version, 20 bytes and their checksum in base 58."""
    raw = b"\0" + fake.binary(20)
    raw += hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
    number, letters = int.from_bytes(raw, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        letters = BASE58[rest] + letters
    return "1" + letters


def _faker(seed: bytes) -> Any:
    fake = _source()
    fake.seed_instance(int.from_bytes(seed[:8], "big"))
    return fake


@functools.cache
def _source() -> Any:
    import faker

    return faker.Faker("en_US")


def _candidates(secret: bytes, entity: str, core: str) -> Iterator[str]:
    """Other letters and digits in the place of `core`'s, never those themselves; endless."""
    head = HEADS.get(entity, 0)
    letters = 6 if HEX.fullmatch(core) else 26
    changing = any(character.isdecimal() or character.isalpha() for character in core[head:])
    for number in itertools.count():
        stream = b"".join(
            digest(secret, "surrogate", entity, core.casefold(), f"{number}.{block}")
            for block in range(len(core) // 32 + 1)
        )
        made = core[:head] + "".join(
            _other(*pair, letters) for pair in zip(core[head:], stream[head:], strict=False)
        )
        if made.casefold() != core.casefold() or not changing:
            yield made


def _other(character: str, byte: int, letters: int) -> str:
    if character.isdecimal():  # of the same script
        return chr(ord(character) - int(character) + byte % 10)
    if character.isalpha():
        return chr((65 if character.isupper() else 97) + byte % letters)
    return character


def _refilled(value: str, core: str) -> str:
    """`value` with the letters and digits of `core` in place of its own, in its letter case."""
    characters = iter(core)
    made = []
    for old in value:
        if BETWEEN.fullmatch(old):
            made.append(old)
            continue
        new = next(characters)
        made.append(new.upper() if old.isupper() else new.lower() if old.islower() else new)
    return "".join(made)
