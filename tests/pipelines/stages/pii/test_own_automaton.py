"""What is read before a pattern of ours is matched: one automaton for all, which changes no finding."""

import functools

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii.own_scanner import OwnScanner, shares
from headrace.pipelines.stages.pii.recognizers.catalogue import RECOGNIZERS

PIECES = st.sampled_from(
    [
        *("i am ", "I'm ", "im ", "i'm a", "called ", "call me ", "calls him", "named ", "named her "),
        *("speaking with ", "ann", "Ann", "MARY", "mary-jane", "de ", "van der Berg", "O'Neill", "agent "),
        *("Agent ", "AGENT ", "Looking", "ﬁona", "Zoë", "ſam", "Kate", "İan", "漢字", " ", "  ", ":", ": "),
        *("\n", "\n> ", ".", "-", ",", "J.", "'s"),
    ]
)


@given(st.lists(PIECES, max_size=9).map("".join))
@settings(max_examples=300, deadline=None)
def test_what_is_read_before_a_match_changes_no_finding(text: str) -> None:
    texts = pa.array([text], pa.large_string())
    assert narrowed().find(texts).findings == whole().find(texts).findings


@functools.cache
def narrowed() -> OwnScanner:
    return OwnScanner([one for one in RECOGNIZERS if one.narrow])


@functools.cache
def whole() -> OwnScanner:
    return OwnScanner([one._replace(narrow=()) for one in RECOGNIZERS if one.narrow])


def test_all_patterns_fit_into_what_an_automaton_says() -> None:
    bits = shares(RECOGNIZERS)
    assert max(bits) < 64
    assert bits == sorted(bits)
    owners = [one for one in RECOGNIZERS for _ in one.patterns]
    alone = [n for one in RECOGNIZERS for n in range(len(one.patterns)) if n < one.often]
    assert len(alone) == 6
    shared = {bit: {owner.name for owner, b in zip(owners, bits, strict=True) if b == bit} for bit in bits}
    assert all(len(names) == 1 for names in shared.values())
