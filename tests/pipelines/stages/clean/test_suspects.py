"""Classes of characters: a step changes no text that holds none of its class."""

import re
import unicodedata
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ftfy.badness import BADNESS_RE
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.kernels.textstats import character_classes
from headrace.pipelines.stages.clean import invisible, suspects
from headrace.pipelines.stages.clean import text as clean_text

FORMS = ("NFC", "NFKC", "NFD", "NFKD")
ANY = suspects.mojibake(True, True, True)
BEFORE = ("", "a", "o", "か", "\u0928", "\u1100", "가", "각", "\u0b47")
EVERYTHING = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
ODD = st.sampled_from(
    "a &\r\n\x1b\x85\u2028\x0b\x7f\u200b\u00ad\u0301\u3099\uff01\ufb01\u1161\u11a8"
    "\u304b\u30cf\uff8a\u00e9\xb0ÃâœÂ€™\u3000\xa0\ufe0f\u200e"
)
TEXTS = st.lists(st.text(ODD | st.characters(codec="utf-8"), max_size=12), max_size=8)


def replaced(pattern: str) -> Callable[[pa.Array], pa.Array]:
    return lambda texts: pc.replace_substring_regex(texts, pattern=pattern, replacement="")


STEPS: dict[str, tuple[np.uint16, Callable[[pa.Array], pa.Array]]] = {
    "returns": (suspects.RETURN, replaced(clean_text.RETURNS)),
    "escapes": (suspects.ESCAPE, replaced(clean_text.ESCAPES)),
    "entities": (suspects.AMPERSAND, replaced(clean_text.ENTITY)),
    "mojibake": (suspects.BAD, replaced(ANY)),
    "breaks": (suspects.CONTROL, replaced(suspects.BREAKS)),
    "controls": (suspects.CONTROL, replaced(suspects.CONTROLS)),
    "hidden": (suspects.HIDDEN, replaced(invisible.SUSPECTS)),
}


@pytest.mark.parametrize("step", STEPS)
@settings(deadline=None)
@given(texts=TEXTS)
def test_no_step_changes_a_text_without_its_class(step: str, texts: list[str]) -> None:
    bit, change = STEPS[step]
    given = pa.array(texts, pa.large_string())
    inside, _ = character_classes(given, suspects.table("NFC", ANY))
    quiet = given.filter(pa.array(inside & bit == 0))
    assert change(quiet).equals(quiet)


@pytest.mark.parametrize("step", STEPS)
def test_every_single_character_too(step: str) -> None:
    bit, change = STEPS[step]
    table = suspects.table("NFC", ANY)
    quiet = pa.array([c for c in EVERYTHING if not table[ord(c)] & bit], pa.large_string())
    assert change(quiet).equals(quiet)


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None)
@given(texts=TEXTS)
def test_no_form_changes_a_text_without_its_class(form: str, texts: list[str]) -> None:
    given = pa.array(texts, pa.large_string())
    inside, _ = character_classes(given, suspects.table(form, ANY))
    quiet = given.filter(pa.array(inside & suspects.FORM == 0))
    assert pc.utf8_normalize(quiet, form=form).equals(quiet)


@pytest.mark.parametrize(
    ("form", "before"),
    [(form, c) for form in FORMS for c in BEFORE if unicodedata.normalize(form, c) == c],
)
def test_no_form_changes_a_character_behind_another(form: str, before: str) -> None:
    table = suspects.table(form, ANY)
    quiet = pa.array([before + c for c in EVERYTHING if not table[ord(c)] & suspects.FORM], pa.large_string())
    assert len(quiet) > 120_000
    assert pc.utf8_normalize(quiet, form=form).equals(quiet)


def test_white_space_is_what_arrow_takes_from_the_ends() -> None:
    blank = suspects.table(None, ANY) & suspects.BLANK
    trimmed = pc.utf8_trim_whitespace(pa.array([f"a{c}" for c in EVERYTHING], pa.large_string()))
    codes = [ord(c) for c, text in zip(EVERYTHING, trimmed.to_pylist(), strict=True) if text == "a"]
    assert np.flatnonzero(blank).tolist() == codes


def test_each_alternative_of_the_pattern_names_a_character_beyond_ascii() -> None:
    pattern = re.sub(
        r"\[[^\]]*\]", lambda found: found[0].replace("|", ""), suspects.compact(BADNESS_RE.pattern)
    )
    alternatives = pattern.split("|")
    assert len(alternatives) > 30
    assert all(re.search(r"[^\x00-\x7f]|\\x[89a-f]", one) for one in alternatives)


def test_most_of_what_people_write_has_no_class() -> None:
    texts = pa.array(
        ['Plain words, 12 of them: "quoted" (or not).', "你好，世界！「引用」", "안녕하세요", "สวัสดี"]
    )
    inside, edges = character_classes(texts, suspects.table("NFC", suspects.mojibake(True, False, False)))
    assert (inside & ~suspects.BLANK).tolist()[:3] == [0, 0, 0]
    assert (edges & suspects.BLANK).tolist() == [0, 0, 0, 0]
