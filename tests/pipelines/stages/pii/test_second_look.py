"""The gate sees values in other dress by itself, and nothing where there is none."""

import itertools
import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii import second_look
from headrace.pipelines.stages.pii.config import Config
from tests.pipelines.dresses import DRESSES, VALUES, cases

# What has no form that proves it, and what only words or lines say.
UNPROVEN = {"PASSWORD"}
UNSEEN = {"plain", "line break", "spelled out", "spelled in words"}
# Recognisers see these as they stand: there is nothing to fold.
UNSEEN |= {"at and dot in other brackets", "an a in brackets", "slashes", "low lines", "dots", "two hyphens"}
# Another dash or dot beside a bracket is no form of numbers of the US that is known.
LOOSE = {
    ("PHONE_NUMBER (US)", dress)
    for dress in DRESSES
    if dress.endswith(("hyphens", "dashes", "signs", "dots", "bullets"))
}


@pytest.mark.parametrize("kind", sorted(VALUES.keys() - UNPROVEN))
def test_a_value_in_other_dress_is_seen(kind: str) -> None:
    missed = []
    for case in cases():
        if case.kind != kind or case.dress in UNSEEN or (kind, case.dress) in LOOSE:
            continue
        seen = [one for one in second_look.proven(case.text) if one.entity == case.entity]
        if not any(case.start <= one.start < one.end <= case.end for one in seen):
            missed.append((case.dress, case.text, seen))
    assert not missed


@pytest.mark.parametrize(
    "text",
    [
        *(f"{value} as it is" for value in VALUES.values()),
        "你好，世界：再见。 ½ x² ①②③",
        "git%40github.com, xs[1%3A%3A2], 50%20 off",
        "printf(&quot;%20d%40x&quot;) &amp; &lt;b&gt;",
        "1990–1995 — 3·4·5 — naïve",
        "4111 1111 1111 1112\u00a0is no card",
    ],
)
def test_nothing_is_seen_where_nothing_is(text: str) -> None:
    assert second_look.proven(text) == []


@pytest.mark.parametrize(
    "worn", ["①②③ at \u24d9ane@example.org", "jane%2525252540example.org", "+\u2074\u2079 30 901820-55"]
)
def test_it_sees_what_the_search_does_not(worn: str) -> None:
    assert len(second_look.proven(worn)) == 1


def test_many_texts_at_once_hold_what_each_holds_alone() -> None:
    texts = [case.text for case in cases()]
    alone = [(row, one) for row, text in enumerate(texts) for one in second_look.proven(text)]
    assert list(second_look.look(pa.array(texts, pa.large_string()), Config())) == alone
    assert len(alone) == 239


@pytest.mark.parametrize("number", range(len(second_look.PROOFS)))
@given(data=st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_a_pattern_matches_could_be_proven(number: int, data: st.DataObject) -> None:
    text = second_look._folded(data.draw(st.from_regex(second_look.PROOFS[number].pattern)))
    holds = pc.match_substring_regex(pa.array([text], pa.large_string()), second_look.POSSIBLE)[0].as_py()
    assert holds or not any(True for _ in second_look._matches(text))


def test_only_what_the_recipe_looks_for_is_told() -> None:
    texts = pa.array([case.text for case in cases() if case.dress == "full width"], pa.large_string())
    entities = {one.entity for _, one in second_look.look(texts, Config())}
    assert {"EMAIL_ADDRESS", "API_KEY"} <= entities
    assert "API_KEY" not in {one.entity for _, one in second_look.look(texts, Config(recognizers="presidio"))}


@given(
    text=st.lists(
        st.sampled_from(
            [*"aZ19@.-+ \\%&;#x=é\u200b\u00a0\uff20", "%40", "&#64;", "\\u0040", "%C3%A9", "<b>"]
        ),
        max_size=30,
    ).map("".join)
)
@settings(max_examples=200, deadline=None)
def test_every_character_stands_where_it_says(text: str) -> None:
    plain, origins = second_look.located(text)
    assert len(plain) == len(origins)
    assert plain == second_look._folded(second_look._decoded(text))
    assert all(0 <= a < b <= len(text) for a, b in origins)
    assert origins == sorted(origins)


def test_whatever_is_folded_to_letters_or_digits_of_ascii_is_looked_at() -> None:
    wanted = re.compile("[0-9A-Za-z@]")
    every = map(chr, itertools.chain(range(0xD800), range(0xE000, 0x110000)))
    folding = [one for one in every if wanted.search(second_look._folded(one))]
    able = pc.match_substring_regex(pa.array(folding, pa.large_string()), second_look.ABLE)
    assert [one for one, seen in zip(folding, able.to_pylist(), strict=True) if not seen] == []
    assert len(folding) > 62 + 1000  # those of ASCII, and letters in other dress
    plain = pa.array(["\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u041f\u0440\u0438\u0432\u0435\u0442"])
    assert pc.match_substring_regex(plain, second_look.ABLE).to_pylist() == [False, False]
    codes = pa.array(["&commat;", "\u4f60&#64;", "=40", "[at]", "\\u0040", "%40", "<b>"])
    assert pc.match_substring_regex(codes, second_look.ABLE).to_pylist() == [True] * 7


@given(st.text(st.sampled_from("%&#x;\\uU<!-/>b[]@.dotat=\r\n2E405FBa4"), max_size=14))
def test_what_a_code_matches_is_decoded(text: str) -> None:
    [coded] = pc.match_substring_regex(pa.array([text], pa.large_string()), second_look.CODED).to_pylist()
    assert coded or second_look._decoded(text) == text
