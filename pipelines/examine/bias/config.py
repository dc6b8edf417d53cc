"""The config of `bias`, apart from its code."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from headrace.pipelines.section import Section

Kind = Literal["gender", "nationality", "age"]
Words = Annotated[tuple[str, ...], Field(min_length=1)]


# Signs between words, as `kernels.terms` parts them: of other scripts' signs, and of "€", a word may be made.
PARTING = re.compile(r"(?:[^\w\u0080-\U0010ffff]|[\u0080-\u00bf\u2000-\u207f\u3000-\u303f])+")


def folded(text: str) -> str:
    """A word or phrase as the lists have it."""
    return " ".join(PARTING.split(text.lower())).strip()


def _signs(word: str) -> str:
    """What of a word would be left out where it is looked for: signs at its ends, and letters as º is one."""
    bare = word.strip().removesuffix(".")
    ends = [PARTING.match(bare), re.search(PARTING.pattern + r"\Z", bare)]
    inside = (found[0] for found in PARTING.finditer(bare) if any(map(str.isalnum, found[0])))
    return next((found[0] for found in ends if found), None) or next(inside, "")


class Config(Section):
    """How often groups of people are named, and how answers differ with them. No row goes by it."""

    enabled: bool = True
    """Whether groups are looked for at all."""
    lists: tuple[Kind, ...] = ("gender", "nationality", "age")
    """The lists of words that come with headrace and are looked for."""
    groups: dict[str, Annotated[dict[str, Words], Field(min_length=2)]] = Field(default={})
    """Lists of your own, each of two groups or more with their words, in any case:
    `{contract: {permanent: [employee, employees], agency: [temp, agency worker]}}`."""
    swaps: int = Field(200, ge=0, le=100_000)
    """Most rows of each list that are written with the words of another group in place of their own, for an
    evaluation of what answers hang on; the words of a list of your own are exchanged by their places."""

    @field_validator("groups")
    @classmethod
    def _apart(cls, given: Mapping[str, Mapping[str, Words]]) -> Mapping[str, Mapping[str, Words]]:
        """Raises: ValueError for a list of a name that is taken, or a word in two groups of one."""
        for name, groups in given.items():
            if name in Kind.__args__:  # type: ignore[attr-defined]
                raise ValueError(
                    f"{name!r} is the name of a list that comes with headrace: name yours otherwise"
                )
            seen: dict[str, str] = {}
            for group, words in groups.items():
                for word in words:
                    bare = folded(word)
                    if not bare or len(bare.split()) > 8:
                        raise ValueError(f"{name}.{group}: {word!r} is no word, and no phrase of up to 8")
                    if signs := _signs(word):
                        raise ValueError(
                            f"{name}.{group}: {word!r} would be found as {bare!r}, without {signs!r}: words "
                            "are found by their letters and digits alone"
                        )
                    if seen.setdefault(bare, group) != group:
                        raise ValueError(f"{name}: {word!r} stands in {seen[bare]!r} and in {group!r}")
        return given
