"""Languages: what py3langid says, and nothing where there is too little to say it of."""

import py3langid
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.stages.traits import language

SENTENCES = {
    "en": "We walked down to the harbour and watched the boats come in.",
    "de": "Wir gingen zum Hafen hinunter und sahen den Booten zu.",
    "fr": "Nous sommes descendus au port pour regarder arriver les bateaux.",
    "es": "Bajamos al puerto y miramos cómo llegaban los barcos.",
    "ru": "Мы спустились в гавань и смотрели, как приходят лодки.",
    "zh": "我们走到港口,看着船只进来。",
    "ja": "私たちは港まで歩いて、船が入ってくるのを見ました。",
    "el": "Κατεβήκαμε στο λιμάνι και κοιτάζαμε τις βάρκες.",
    "tr": "Limana indik ve teknelerin gelişini izledik.",
}


def tell(*texts: str | None, letters: int = 160) -> list[str]:
    found: list[str] = language.tell(pa.array(texts, pa.large_string()), letters).to_pylist()
    return found


def test_languages_are_told() -> None:
    assert tell(*SENTENCES.values()) == list(SENTENCES)


def test_as_py3langid_tells_them() -> None:
    for text in SENTENCES.values():
        assert tell(text) == [py3langid.classify(text)[0]]


def test_capitals_make_no_difference() -> None:
    assert tell(SENTENCES["es"].upper().replace("Ó", "O")) == ["es"]


@pytest.mark.parametrize("text", ["", None, "ok", "Hello", "12345 67890 12345", "?!... --- ###", "a b c d"])
def test_too_little_is_no_language(text: str | None) -> None:
    assert tell(text) == ["und"]


def test_only_the_first_letters_count() -> None:
    both = f"{SENTENCES['de']} {SENTENCES['en'] * 20}"
    assert tell(both, letters=50) == ["de"]


@given(texts=st.lists(st.text(max_size=80) | st.none(), max_size=5), letters=st.integers(20, 60))
def test_a_text_has_its_language_whatever_stands_beside_it(texts: list[str | None], letters: int) -> None:
    assert tell(*texts, letters=letters) == [tell(text, letters=letters)[0] for text in texts]
