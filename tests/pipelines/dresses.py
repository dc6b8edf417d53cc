"""Values of every kind in every dress: what a text holds, and the value in it that nobody may read."""

import html
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import quote

VALUES = {
    "EMAIL_ADDRESS": "jane.doe@example.org",
    "PHONE_NUMBER": "+49 30 901820-55",
    "PHONE_NUMBER (US)": "(425) 882-8080",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "IBAN_CODE": "DE89 3704 0044 0532 0130 00",
    "IP_ADDRESS": "81.200.14.77",
    "IP_ADDRESS (6)": "2a02:8109:b2c0::7d4f",
    "US_SSN": "536-22-8726",
    "API_KEY": "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "PASSWORD": "hunter2!x",
}
AHEAD = {
    "EMAIL_ADDRESS": "Write to ",
    "PHONE_NUMBER": "Call ",
    "PHONE_NUMBER (US)": "Call ",
    "CREDIT_CARD": "Take ",
    "IBAN_CODE": "Pay to ",
    "IP_ADDRESS": "It came from ",
    "IP_ADDRESS (6)": "It came from ",
    "US_SSN": "My ssn is ",
    "API_KEY": "Use ",
    "PASSWORD": "Password: ",
}
SIGNS = "@.-+ ():_!"


class Case(NamedTuple):
    """A text with a value in some dress at ``start:end``."""

    kind: str
    dress: str
    text: str
    start: int
    end: int

    @property
    def entity(self) -> str:
        """The entity that the value is of."""
        return self.kind.split()[0]


def signs(change: Callable[[str], str], only: str = SIGNS) -> Callable[[str], str]:
    """Every sign among `only` changed."""
    return lambda value: "".join(change(c) if c in only else c for c in value)


def between(mark: str) -> Callable[[str], str]:
    """With a mark in the middle of the value, and beside its signs."""

    def dressed(value: str) -> str:
        half = len(value) // 2
        whole = value[:half] + mark + value[half:]
        return whole.replace("@", f"@{mark}").replace("-", f"{mark}-")

    return dressed


def wide(character: str) -> str:
    return chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else character


def bold(character: str) -> str:
    for first, last, shown in (("a", "z", 0x1D41A), ("A", "Z", 0x1D400), ("0", "9", 0x1D7CE)):
        if first <= character <= last:
            return chr(shown + ord(character) - ord(first))
    return character


def broken(value: str) -> str:
    """In two lines, at the middlemost of its signs; a mailbox behind the @."""
    if "@" in value:
        return value.replace("@", "@\n")
    places = [at for at, c in enumerate(value) if c in " -" and at > 3]
    if not places:
        return value
    at = min(places, key=lambda place: abs(place - len(value) // 2))
    return value[: at + (value[at] == "-")] + "\n" + value[at + 1 :]


DRESSES: dict[str, Callable[[str], str]] = {
    "plain": lambda value: value,
    "percent-encoded": lambda value: quote(value, safe="").replace(".", "%2E").replace("-", "%2D"),
    "percent-encoded sign": signs(lambda c: f"%{ord(c):02x}", "@+ :"),
    "percent-encoded twice": signs(lambda c: f"%25{ord(c):02X}", "@+ :"),
    "percent-encoded throughout": lambda value: "".join(f"%{ord(c):02X}" for c in value),
    "entities": signs(lambda c: f"&#{ord(c)};"),
    "hexadecimal entities": signs(lambda c: f"&#x{ord(c):X};"),
    "entities without an end": signs(lambda c: f"&#{ord(c)}", "@"),
    "named entities": lambda value: (
        value.replace("@", "&commat;")
        .replace(".", "&period;")
        .replace(" ", "&nbsp;")
        .replace("-", "&hyphen;")
    ),
    "entities of entities": signs(lambda c: html.escape(f"&#{ord(c)};"), "@+ "),
    "escapes of JSON": signs(lambda c: f"\\u{ord(c):04x}", "@+ -"),
    "escapes of strings": signs(lambda c: f"\\x{ord(c):02x}", "@+ -"),
    "backslashes": signs(lambda c: f"\\{c}", "@.-_"),
    "full width": lambda value: "".join(map(wide, value)),
    "full-width signs": signs(wide),
    "bold letters": lambda value: "".join(map(bold, value)),
    "small signs": lambda value: value.replace("@", "\ufe6b").replace(".", "\ufe52").replace("-", "\ufe63"),
    "zero-width space": between("\u200b"),
    "zero-width joiner": between("\u200d"),
    "zero-width non-joiner": between("\u200c"),
    "word joiner": between("\u2060"),
    "byte order mark": between("\ufeff"),
    "soft hyphen": between("\u00ad"),
    "direction mark": between("\u200e"),
    "line break tag": lambda value: value.replace("@", "<wbr>@").replace("-", "-<wbr>"),
    "tags": lambda value: value.replace("@", "<b>@</b>").replace("-", "<i>-</i>"),
    "comment": lambda value: value.replace("@", "<!-- x -->@"),
    "no-break space": signs(lambda c: "\u00a0", " "),
    "narrow no-break space": signs(lambda c: "\u202f", " "),
    "figure space": signs(lambda c: "\u2007", " "),
    "thin space": signs(lambda c: "\u2009", " "),
    "ideographic space": signs(lambda c: "\u3000", " "),
    "hyphens": signs(lambda c: "\u2010", "- "),
    "non-breaking hyphens": signs(lambda c: "\u2011", "- "),
    "figure dashes": signs(lambda c: "\u2012", "- "),
    "en dashes": signs(lambda c: "\u2013", "- "),
    "em dashes": signs(lambda c: "\u2014", "- "),
    "minus signs": signs(lambda c: "\u2212", "- "),
    "middle dots": signs(lambda c: "\u00b7", "- "),
    "bullets": signs(lambda c: "\u2022", "- "),
    "line break": broken,
    "brackets": lambda value: value.replace(".", "[.]").replace("@", "[@]"),
    "spelled out": lambda value: (
        value.replace("@", " [at] ").replace(".", " [dot] ") if "@" in value else value
    ),
    "spelled in words": lambda value: (
        value.replace("@", " at ").replace(".", " dot ") if "@" in value else value
    ),
    "at and dot in other brackets": lambda value: (
        value.replace("@", " {at} ").replace(".", " {dot} ") if "@" in value else value
    ),
    "an a in brackets": lambda value: value.replace("@", "(a)"),
    "a soft break of mail": lambda value: value.replace("@e", "@=\ne"),
    "dot in brackets": lambda value: value.replace(".", "[dot]").replace("@", "[at]"),
    "slashes": lambda value: value.replace(" ", "/") if len(value) == 19 else value,
    "low lines": lambda value: value.replace(" ", "_") if value[:2] in ("41", "DE") else value,
    "dots": lambda value: value.replace(" ", ".") if value[:2] in ("41", "DE") else value,
    "two hyphens": lambda value: value.replace(" ", "--") if value[:2] == "41" else value,
    "ideographic stops": lambda value: value.replace(".", "\u3002"),
}


def cases() -> Iterator[Case]:
    """Every value in every dress that changes it."""
    for kind, value in VALUES.items():
        for dress, dressed in DRESSES.items():
            worn = dressed(value)
            if dress != "plain" and worn == value:
                continue
            ahead = AHEAD[kind]
            yield Case(kind, dress, f"{ahead}{worn} today.", len(ahead), len(ahead) + len(worn))
