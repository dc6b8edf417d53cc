"""Values as they compare: the same letters and digits, whatever their case and what stands between them.

What: "Ann Lee", "ANN LEE" and "ann  lee" are one value; so are "(425) 882-8080" and "425.882.8080".
`places` finds a value in a text at token boundaries. Replacement uses it to replace a value wherever its
conversation says it again, the gate to look for one that is left.

Cost: a text is folded once (about 20 MB/s); then a substring search a value.
"""

import functools
import itertools
import re
from collections.abc import Iterator

BETWEEN = re.compile(r"[\W_]+")
GAP = 3  # characters that may stand between two letters or digits of one value


def folded(text: str) -> str:
    """Letters and digits of `text`, caseless."""
    return BETWEEN.sub("", text.casefold())


class Folded:
    """A text with its letters and digits; where each stands is worked out when it is asked for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.letters = folded(text)

    @functools.cached_property
    def origins(self) -> list[int]:
        """Character of the text that each of `letters` comes from."""
        found = [at for at, character in enumerate(self.text) for _ in folded(character)]
        # A few letters fold otherwise in company: then the whole decides nothing and none is found.
        return found if len(found) == len(self.letters) else []

    def places(self, value: str, exact: str | None = None) -> Iterator[tuple[int, int]]:
        """Spans (start, end) at token boundaries whose letters and digits are `value` (folded).

        With `exact` the letters and digits must be those, in their case.
        """
        at = self.letters.find(value) if value else -1
        while at >= 0:
            origins = self.origins[at : at + len(value)]
            if len(origins) == len(value) and self._is_whole(origins):
                span = origins[0], origins[-1] + 1
                if exact is None or BETWEEN.sub("", self.text[slice(*span)]) == exact:
                    yield span
                    at += len(value) - 1
            at = self.letters.find(value, at + 1)

    def _is_whole(self, origins: list[int]) -> bool:
        """Whether the characters stand together, with no letter or digit before or behind them."""
        text, start, end = self.text, origins[0], origins[-1] + 1
        if (start and text[start - 1].isalnum()) or (end < len(text) and text[end].isalnum()):
            return False
        return all(b - a <= GAP + 1 for a, b in itertools.pairwise(origins))
