"""Secrets: keys of known services, assigned secrets, passwords that are told, private keys.

`api_keys`: tokens with a known beginning, and "Bearer ...". `assigned_secrets`: ``token = "..."`` where the
value looks random. `passwords`: "my password is ...", "password: ...", "PIN is 1234", in other languages,
behind the names of settings (``DB_PASSWORD=``), in XML and addresses (``https://user:secret@host``).
`private_keys`: PEM blocks, whole.
Source: prefixes as their services document them (OpenAI, GitHub, GitLab, AWS, Slack, Google, Stripe,
SendGrid, Hugging Face, npm, PyPI, DigitalOcean), RFC 7519 for JSON web tokens, RFC 7468 for PEM.
"""

import math
import re
from collections import Counter
from typing import Any

from headrace.pipelines.stages.pii.recognizers.lists import words
from headrace.pipelines.stages.pii.recognizers.recognizer import Recognizer, Span, before, span

LEAST = 3.0  # bits a character of a value that looks random
END = re.compile(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
BODY = re.compile(r"(?:\\n|[\sA-Za-z0-9+/=:,-])*")
SCHEME = re.compile(r"(?<!\w)[a-z][a-z0-9+.-]{1,15}\Z")
NO_PASSWORDS = frozenset(words("no_passwords"))
PLACEHOLDER = re.compile(
    r"(?i)x{4,}|\*{3,}|\.{3}|your|example|placeholder|insert|changeme|<|>|\{|\}|\$|%|redacted"
)
CODE = re.compile(
    r"[A-Za-z_][\w.]*[(\[].*|[A-Za-z_]+(?:[._][A-Za-z_]+)+|(?:self|this|os|process|req|request)\..*"
)


def entropy(text: str) -> float:
    """Bits a character by how often each character stands in `text`."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def token(match: Any, score: float) -> Span | None:
    """A known beginning and a rest that is no placeholder."""
    start, end = span(match)
    if PLACEHOLDER.search(match.string, start, end) or entropy(match.string[start:end]) < LEAST:
        return None
    return start, end, score


def assigned(match: Any, score: float) -> Span | None:
    """A value that looks random: letters and digits, many different ones, and no piece of code."""
    start, end = span(match)
    value = match.string[start:end].rstrip(".:)]}")
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    if len(value) < 12 or not mixed or entropy(value) < LEAST:
        return None
    if PLACEHOLDER.search(value) or CODE.fullmatch(value):
        return None
    return start, start + len(value), score


def announced(match: Any, score: float) -> Span | None:
    """A password that follows the word, unless it is prose, code or a placeholder."""
    start, end = span(match)
    value = match.string[start:end]
    if match[0][0] == ":" and not SCHEME.search(before(match.string, match.start(), 17)):
        return None
    value = value if match[0].endswith("@") else value.rstrip(".,!?;:)\"'")
    if not value or value.lower() in NO_PASSWORDS or PLACEHOLDER.search(value) or CODE.fullmatch(value):
        return None
    if value.isidentifier() and re.search(r"(?i)passw|pwd|hash", value):
        return None
    plain = value.isalpha() and (value.islower() or value.istitle())
    rest = match.string[start + len(value) : start + len(value) + 2]
    if plain and (match["how"] not in ("is", "is:") or rest.strip(" .!\n")):
        return None
    if len(value) < 3 or (len(value) < 4 and not value.isdigit()):
        return None
    return start, start + len(value), score


def block(match: Any, score: float) -> Span | None:
    """To the line that ends it, or as far as it looks like a key."""
    end = END.search(match.string, match.end())
    body = BODY.match(match.string, match.end())
    assert body is not None
    return match.start(), end.end() if end else body.end(), score


KEYS = (
    r"sk-[\w-]{20,200}|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_\w{22,255}|glpat-[\w-]{20,64}|"
    r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}|xox[abeoprs]-[\w-]{10,255}|AIza[\w-]{35}|ya29\.[\w-]{20,255}|"
    r"eyJ[\w-]{8,4000}\.[\w-]{8,4000}\.[\w-]{0,4000}|SG\.[\w-]{16,64}\.[\w-]{16,128}|"
    r"(?:[rsp]k|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,255}|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|"
    r"pypi-[\w-]{50,255}|do[opr]_v1_[a-f0-9]{64}|SK[a-f0-9]{32}"
)
NAMES = (
    r"(?:api|access|secret|private|auth|client|app|account|encryption|signing|session)[_ -]?"
    r"(?:key|token|secret)s?(?:[_ -]?(?:id|key))?|secret|token|passwd|password|pwd|credentials?"
)
RECOGNIZERS = (
    Recognizer(
        "api_keys",
        "API_KEY",
        (
            (rf"(?<![\w.-])(?:{KEYS})(?![\w-])", 0.95),
            (r"(?i)(?<!\w)bearer[ ]{1,4}(?P<it>[\w.~+/-]{20,2000}={0,2})", 0.8),
        ),
        token,
    ),
    Recognizer(
        "assigned_secrets",
        "API_KEY",
        (
            (
                rf"""(?i)(?<![^\W_])(?:{NAMES})["']?[ ]{{0,3}}(?:=|:|=>|:=|is)[ ]{{0,3}}["'`]?"""
                r"""(?P<it>[^\s"'`,;<>]{12,512})""",
                0.8,
            ),
        ),
        assigned,
    ),
    Recognizer(
        "passwords",
        "PASSWORD",
        (
            (
                r"""(?i)(?<![^\W_])(?:password|passwd|pwd|passphrase|passcode|pass[ ]word|"""
                r"""passwort|kennwort|mot[ ]de[ ]passe|contrase[nñ]a|senha|wachtwoord)["']?[ ]?"""
                r"""(?P<how>is:|is|:|=|was)[ ]?["'`“]?(?P<it>[^\s"'`“”]{3,64})""",
                0.6,
            ),
            (
                r"(?i)(?<!\w)(?P<how>)(?:password|passcode)[ ](?:is[ ])?"
                r"(?P<it>[a-z]{0,12}[ ]?\d{1,12}[a-z0-9]{0,12})(?!\w)",
                0.5,
            ),
            (
                r"(?i)(?<!\w)(?:pin|otp|cvv2?|cvc)(?:[ ](?:code|number|no))?(?:[ ](?P<how>is)|:|"
                r"[ ]?=)?[ ]?(?P<it>\d{3,8})(?![\w.])",
                0.5,
            ),
            (r"(?i)<(?:[a-z]{1,8}:)?(?:password|passwd|pwd)>(?P<it>[^\s<>]{3,64})(?P<how>)</", 0.6),
            # Behind a scheme: a pattern that began with it would be walked along every word.
            (r"://[^\s:/@]{1,64}:(?P<it>[^\s:/@]{3,128})(?P<how>)@", 0.8),
        ),
        announced,
    ),
    Recognizer(
        "private_keys",
        "PRIVATE_KEY",
        ((r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----", 1.0),),
        block,
    ),
)
