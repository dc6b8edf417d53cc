"""Characters that nobody sees, and no script needs where they stand.

What goes:

- zero-width spaces, joiners and non-joiners, word joiners and soft hyphens, where nothing beside them has a
  use for one: what stands on both sides is Latin, Greek, Cyrillic, Chinese, Japanese, Korean, punctuation or
  the text's end. Beside other letters they join and part (Persian, Indic scripts), or say where a line may
  break (Thai, Khmer, Javanese); in emoji they make one of several.
- marks of direction, and what overrides it, in texts without a letter that is written from right to left.
  There they change nothing that is seen, or show a text in another order than it is read in.
- characters of the tag block that are not a flag's, and variation selectors behind another: both carry text
  past every reader.

One that stands alone between quotation marks or backticks is written about, and stays.

Why: a word with a soft hyphen in it is another word to every tokenizer, and hidden text is learned as if it
had been said. Source: https://www.unicode.org/reports/tr36 (2.10), https://trojansource.codes.

Cost: a look by RE2; a regular expression over texts that hold such a character.
"""

import re

ZERO = "\u00ad\u200b-\u200d\u2060"
DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
TAGS = "\U000e0000-\U000e007f"
RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
PLAIN = (
    "\u0000-\u00ac\u00ae-\u024f\u0370-\u052f\u1e00-\u1fff\u2000-\u200a\u2010-\u2029\u202f-\u205f\u20a0-\u20cf"
    "\u3000-\u9fff\uac00-\ud7af\uff00-\uffef"
)
QUOTED = "[`'\"\u2018\u201c\u00ab]{}[`'\"\u2019\u201d\u00bb]"

# RE2, over whole columns: what could go.
SUSPECTS = (
    r"[\x{ad}\x{61c}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}\x{2066}-\x{2069}\x{e0000}-\x{e007f}]"
    r"|[\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}]{2}"
)
HIDDEN = re.compile(
    f"(?P<stays>{QUOTED.format(f'[{ZERO}{DIRECTIONS}]')}|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f)"
    f"|(?<=[{SELECTORS}])[{SELECTORS}]+|[{TAGS}]+"
    f"|(?:(?<=[{PLAIN}])|\\A)[{ZERO}]+(?=[{PLAIN}]|\\Z)"
)
ORDERED = re.compile(f"(?P<stays>{QUOTED.format(f'[{DIRECTIONS}]')})|[{DIRECTIONS}]+")


def seen(text: str) -> str:
    """`text` without the characters that nobody sees and nothing needs."""
    if not RIGHT_TO_LEFT.search(text):
        text = ORDERED.sub(_stays, text)
    return HIDDEN.sub(_stays, text)


def _stays(match: re.Match[str]) -> str:
    return match["stays"] or ""
