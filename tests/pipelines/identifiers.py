"""Plain Presidio, and seeded texts of identifiers for comparing it: valid, broken, and in odd company."""

import random
import string
from collections.abc import Callable

import phonenumbers
import pyarrow as pa

from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.presidio import setup as pii_presidio
from headrace.pipelines.stages.pii.presidio.scanner import scanner

REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR", "IT", "AR", "JP")
SAMPLES = """
1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2|bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq|::1|fe80::1ff:fe23%eth0|::/64
2001:db8:0:1:1:1:1:1|::ffff:10.0.0.1|00:1A:2B:3C:4D:5E|0012.3456.789A|123e4567-e89b-42d3-a456-426614174000
2024-02-30|12/31/1999|31.12.99|5-MAY-2020|1/20|2012-01-02T08:00:00Z|2012-01-02 08:00|2012-01-02 08
211-227 (2003)
a.b+c@mail.example.co.uk|x@y|user@xn--80ak6aa92e.com|'o'neil@a-b.org|http://www.example.com/a?b=c|'https://t.co'
"x.info"|self.name|end.So|www.a.b|www9.x.community|a.comfort.com|B1234567|AB12345|H12345678|A1B2C|A-Z]A-Z]12|
12345|1234|+ 12|00 44 20 7946 0958|$1200|50%|3 + 4|10 - 20 - 30|1x2x3x4567|5 ext 5551234567
212-555-0100 ext. 5|4|1|23|456|7890|A|b|Z9|x|user|and|the|be|call|my phone|number|ssn
social security|credit card|passport|license|bank account|iban|date|birthday|us|tax|ip
mac|uuid|wallet|medical|nhs|check|url|email
a:1|is:2|:)|8-)|don't|e.g.|:|/|-|.|,|(|)|+|#|;ext=3|~|%|$|€|\\n|\\t|  |\u00a0|\u200b|–|é|ſ|K|İ|ı|ß|日本
٣٤٥|१२३|１２３|－|＋|доб
""".replace("\n", "|").replace("\\n", "\n").replace("\\t", "\t").split("|")  # fmt: skip
CHARACTERS = string.digits * 3 + "aAbFxzZ -./()+:@#,\t\n'\"~%$" + "é٣１–ſKİı日\u00a0"
GLUE = ["", "", " ", " ", " ", " ", "-", ".", ":", "\n", ", "]


def ours(text: str, *, context: bool) -> list[Finding]:
    """What the engine finds."""
    found = scanner(context).find(pa.array([text], pa.large_string()))
    assert not found.failures
    return found.findings


def plain(text: str, *, context: bool) -> list[Finding]:
    """What Presidio's own engine finds; with `context`, over tokens that have their text as lemma."""
    artifacts = None
    if context:
        nlp = pii_presidio.engine().nlp_engine
        document = nlp.nlp["en"](text)
        for token in document:
            token.lemma_ = token.text
        artifacts = nlp._doc_to_nlp_artifact(document, "en")
    results = pii_presidio.engine().analyze(text, "en", nlp_artifacts=artifacts)
    return sorted(
        Finding(r.start, r.end, r.entity_type, float(r.score), r.recognition_metadata["recognizer_name"])
        for r in results
    )


def fuzz(seed: int, count: int, parts: int = 9) -> list[str]:
    """`count` texts of at most so many parts."""
    draw = random.Random(seed)
    return [_text(draw, parts) for _ in range(count)]


def _text(draw: random.Random, most: int) -> str:
    parts = []
    for _ in range(draw.randint(1, most)):
        part = draw.choice(MAKERS)(draw) if draw.random() < 0.4 else draw.choice(SAMPLES)
        if draw.random() < 0.1:
            at = draw.randint(0, len(part))
            part = part[:at] + draw.choice(CHARACTERS) + part[at + draw.randint(0, 1) :]
        if draw.random() < 0.05:
            zero = draw.choice("٠०０")
            part = "".join(chr(ord(zero) + int(c)) if c in string.digits else c for c in part)
        parts.append(part + draw.choice(GLUE))
    return "".join(parts)


def _digits(draw: random.Random, count: int) -> str:
    return "".join(draw.choices(string.digits, k=count))


def _grouped(draw: random.Random, digits: str, sizes: tuple[int, ...]) -> str:
    """Digits in groups, mostly with one separator."""
    groups, at = [], 0
    for size in sizes:
        groups.append(digits[at : at + size])
        at += size
    separator = draw.choice(["", " ", "-", "."])
    return separator.join([*groups, digits[at:]] if digits[at:] else groups)


def _card(draw: random.Random) -> str:
    body = draw.choice(["4", "51", "6011", "34", "30"]) + _digits(draw, 18)
    body = body[: draw.choice([12, 13, 14, 15])]
    for last in string.digits:
        doubled = [int(c) * (2 if at % 2 else 1) for at, c in enumerate((body + last)[::-1])]
        if sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0:
            return _grouped(draw, body + last, (4, 4, 4))
    raise AssertionError


def _iban(draw: random.Random) -> str:
    country, size = draw.choice([("DE", 18), ("FR", 23), ("NL", 14), ("IL", 19)])
    body = _digits(draw, size) if country != "NL" else "ABNA" + _digits(draw, 10)
    number = "".join(str(int(c, 36)) for c in body + country + "00")
    code = f"{country}{98 - int(number) % 97:02}{body}"
    code = code.lower() if draw.random() < 0.2 else code
    step = draw.choice([4, 40])
    return " ".join(code[at : at + step] for at in range(0, len(code), step))


def _nhs(draw: random.Random) -> str:
    while True:
        digits = _digits(draw, 10)
        if sum(int(c) * (10 - at) for at, c in enumerate(digits)) % 11 == 0:
            return _grouped(draw, digits, (3, 3))


def _phone(draw: random.Random) -> str:
    region = draw.choice(REGIONS)
    kind = draw.choice([0, 1, 2, 3, 4])
    number = phonenumbers.example_number_for_type(region, kind) or phonenumbers.example_number(region)
    digits = list(phonenumbers.national_significant_number(number))
    for _ in range(draw.randint(0, 3)):
        digits[draw.randrange(len(digits))] = draw.choice(string.digits)
    written = draw.choice(["", "0", "1", "+", "00", "(+"])
    code = str(number.country_code) if written in ("+", "00", "(+") else draw.choice(["", "", "49"])
    cuts = sorted(draw.sample(range(1, len(digits)), min(draw.randint(0, 3), len(digits) - 1)))
    for cut in reversed(cuts):
        digits.insert(cut, draw.choice([" ", "-", ".", ") ", " - ", "/", " (", "x"]))
    return written + code + draw.choice(["", " ", ") ", "-"]) + "".join(digits)


def _spread(draw: random.Random) -> str:
    sizes = draw.choice(
        [(5, 4), (3, 6), (3, 2, 4), (3, 3, 4), (3, 4), (2, 2, 2), (8,), (9,), (17,), (1, 3, 5)]
    )
    return _grouped(draw, _digits(draw, sum(sizes)), sizes)


def _licence(draw: random.Random) -> str:
    letters = draw.choice(["A", "bc", "X", "ag", "9"])
    return letters + _digits(draw, draw.randint(1, 14)) + draw.choice(["", "R", "zz"])


def _address(draw: random.Random) -> str:
    return ".".join(str(draw.randint(0, 300)) for _ in range(4)) + draw.choice(["", "/24", ":80", ".1"])


def _any(draw: random.Random) -> str:
    return "".join(draw.choices(CHARACTERS, k=draw.randint(1, 14)))


MAKERS: list[Callable[[random.Random], str]] = [
    _card, _iban, _nhs, _phone, _phone, _spread, _licence, _address, _any,
]  # fmt: skip
