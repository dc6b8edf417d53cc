"""Patterns of all telephone numbers that may be found in a region, for the automaton.

What: the digits of every number that the library's metadata have as valid, however it is dialled, with
whatever may stand between digits; and numbers spelled in an odd way (`ODD`). Where none of these patterns
could match there is no number.

Cost: nothing but building; they are matched by the automaton of all patterns.
Source: https://github.com/daviddrysdale/python-phonenumbers
"""

import re
from typing import Any

import phonenumbers
from phonenumbers import PhoneMetadata
from phonenumbers.phonenumberutil import _VALID_PUNCTUATION as PUNCTUATION

from headrace.pipelines.stages.pii.automaton.graph import Pattern
from headrace.pipelines.stages.pii.phone.validity import TYPES, fewest_abroad, fewest_digits

# What must not stand directly before or behind a number. The matcher refuses letters there. Left out are
# those that may belong to the candidate: x, which may stand between digits, and behind a number the letters
# with which an extension ("ext", "anexo") begins.
BEFORE = r"(?<![\dA-WYZa-wyz%$])"
BEHIND = r"(?![\dB-DF-HJ-WYZb-df-hj-wyz%$])"
BETWEEN = rf"[{PUNCTUATION}X#＃Ｘ]"
LABEL = "(?:;ext|e?xt|ｅ?ｘｔ|доб|anexo|int|ｉｎｔ)"
CROSS = "[xｘ#＃~～]"
EXTENSION = rf"(?:{CROSS}|;ext=|e?xt(?:ensi(?:o.?|ó))?n?|ｅ?ｘｔｎ?|доб|anexo|int|ｉｎｔ)"
# Numbers that the regions' patterns do not see, because they are spelled in an odd way. In these the matcher
# may
# - count letters as digits: a label ("ext") behind one or two digits, or three times x;
# - read on over more than `BETWEEN` allows between two digits;
# - end a candidate, and begin the next, in the middle of digits: an extension has at most 9 or 20 of them, a
#   candidate at most 21 groups of 20.
ODD = (
    rf"\d[ \u00a0\t,]*{EXTENSION}[:.．]?[ \u00a0\t,-]*\d{{10}}"
    rf"|(?<!\d)(?:\d{BETWEEN}*(?:\d{BETWEEN}*)?[ \u00a0\t,]*{LABEL}|(?:\d{BETWEEN}*){{41}}"
    rf"|\d[ \u00a0\t,]*{CROSS}[:.．]?[ \u00a0,-]*[:．\t,]|\d[ \u00a0]*[\t,][ \u00a0\t,]*{CROSS})"
    rf"|x(?:[{PUNCTUATION}\d]*x){{2}}"
)


def gates(regions: tuple[str, ...]) -> list[Pattern]:
    """Three patterns; every number that the matcher finds in one of the regions matches at least one of them.

    Numbers with a plus; numbers spelled in an odd way (`ODD`); and numbers as they are dialled at home, by
    how many digits they have alone. Where the last one could match, `region_gate` says in which regions.
    """
    fewest = fewest_abroad()
    home = [fewest_digits()[phonenumbers.country_code_for_region(r)] for r in regions if _metadata(r)]
    least = min([*home, fewest])
    return [
        Pattern(rf"[+＋]\d{{{fewest},}}", 0, BETWEEN),
        Pattern(ODD, re.IGNORECASE),
        Pattern(rf"{BEFORE}\d{{{least},}}{BEHIND}", 0, BETWEEN),
    ]


def region_gate(region: str) -> Pattern | None:
    """Pattern of all numbers as they may be dialled in `region`; None for a region that is unknown."""
    metadata = _metadata(region)
    if metadata is None:
        return None
    foreign = rf"(?:{metadata.international_prefix})\d{{{fewest_abroad()},}}"
    return Pattern(f"{BEFORE}(?:{_home(metadata)}|{foreign}){BEHIND}", 0, BETWEEN)


def _metadata(region: str) -> Any:
    return PhoneMetadata.metadata_for_region(region, None)


def _home(metadata: Any) -> str:
    """Pattern of the digits of all valid numbers of a region's country, as they may be dialled at home."""
    code = metadata.country_code
    numbers = []
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
        area = PhoneMetadata.metadata_for_region(region, None)
        described = [getattr(area, kind) for kind in TYPES] if area else []
        numbers += [kind.national_number_pattern for kind in described if kind]
    valid = "|".join(dict.fromkeys(number for number in numbers if number))
    prefix = metadata.national_prefix_for_parsing or ""
    if metadata.national_prefix_transform_rule:
        prefix = re.sub(r"\(\\d\{[0-9,]+\}\)", "", prefix)  # the group that the rule keeps
    return f"(?:{code})?(?:{prefix})?(?:{prefix})?(?:{valid})"
