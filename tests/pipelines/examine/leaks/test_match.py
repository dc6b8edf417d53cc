"""Which rows hold which items: by which rule, how much of them, and what is no evidence."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.examine.leaks import index, items, match
from headrace.pipelines.examine.leaks.config import Config
from headrace.pipelines.examine.leaks.memory import leaks
from tests import builders

LAMP = (
    "A keeper lights the northern lamp at seven and puts it out eleven hours later. If it burns two litres "
    "of oil an hour, how much oil does she carry up the stairs in a week?"
)
SHORT = "Which harbour froze over in the winter of the great comet?"


def found(texts: list[str | None], asked: list[str | None]) -> list[tuple[int, int, str]]:
    table = leaks(texts, asked)
    return [(row["row"], row["item"], row["rule"]) for row in table.to_pylist()]


def test_a_copy_is_found_in_any_case_and_punctuation_and_inside_a_text() -> None:
    texts = [builders.story(1), LAMP, LAMP.upper().replace(",", " -"), f"{builders.story(2)}\n{LAMP} {SHORT}"]
    table = leaks(texts, [LAMP, SHORT])
    assert table.to_pylist() == [
        {"row": 1, "item": 0, "share": 1.0, "rule": "ngram_13"},
        {"row": 2, "item": 0, "share": 1.0, "rule": "ngram_13"},
        {"row": 3, "item": 0, "share": 1.0, "rule": "ngram_13"},
        {"row": 3, "item": 1, "share": 1.0, "rule": "whole"},
    ]


def test_a_reworded_item_is_near_and_says_how_near() -> None:
    reworded = (
        "The keeper lights the northern lamp at eight and puts it off eleven hours later. When it burns "
        "three litres of oil an hour, how much oil must she carry up those stairs in a month?"
    )
    (hit,) = leaks([reworded], [LAMP]).to_pylist()
    assert hit["rule"] == "near"
    assert 0.6 < hit["share"] < 0.9


def test_two_of_eight_words_cover_most_of_a_short_item() -> None:
    asked = (
        "Name three birds that the northern keeper has never counted among the winter guests of her island."
    )
    text = "Today: three birds that the northern keeper has never counted among the winter guests, and so on."
    assert found([text], [asked]) == [(0, 0, "ngram_8")]


def test_a_short_item_within_other_words_is_found_where_few_rows_have_its_words() -> None:
    around = "They asked me, of all people, on the stairs of the town hall, in the rain: {} I forgot."
    reworded = around.format(SHORT.replace("great", "last"))
    assert found([around.format(SHORT.lower())], [SHORT]) == [(0, 0, "whole")]
    assert found([reworded], [SHORT]) == [(0, 0, "near_rare")]
    assert not leaks([reworded], [SHORT], Config(alike=0.9)).num_rows
    assert found([reworded, *(f"{builders.story(n)} {SHORT[:40]}" for n in range(2))], [SHORT]) == [
        (0, 0, "near_rare")
    ]
    others = [f"{builders.story(n)} {SHORT[:-7]} of {builders.story(n + 9)}" for n in range(4)]
    assert (0, 0, "near_rare") not in found([reworded, *others], [SHORT])


def test_a_short_item_within_other_words_is_not_what_asks_the_opposite_or_holds_half_of_it() -> None:
    around = "They asked me, of all people, on the stairs of the town hall, in the rain: {} I forgot."
    opposite = SHORT.replace("froze over in", "never froze over in")
    half = "Which harbour froze over, and who came with sledges over the ice to the old lighthouse?"
    assert found([around.format(opposite), around.format(half)], [SHORT]) == []


def test_words_that_all_items_have_are_no_sign_of_a_short_one() -> None:
    asked = [f"What is the name of the {noun}?" for noun in ("harbour", "comet", "lamp", "keeper", "well")]
    assert found(["He said: what is the name of the baker in the main street? I forgot."], asked) == []
    assert found(["He said: what is the old name of the harbour in the bay? I forgot."], asked) == [
        (0, 0, "near_rare")
    ]


def test_a_short_item_by_itself_may_be_reworded() -> None:
    asked = [
        SHORT,
        "Which harbour has the longest pier?",
        "How deep is the well behind the old mill, in feet?",
    ]
    texts = [
        "What harbour froze up in the winter of that great comet?",
        "Tell me which harbour has the deepest water, please.",
        "How deep is the well behind the new mill, in metres?",
        "How deep is the well behind the house that my uncle bought?",
    ]
    table = leaks(texts, asked)
    assert [(r["row"], r["item"], r["rule"]) for r in table.to_pylist()] == [
        (0, 0, "near_short"),
        (2, 2, "near_short"),
    ]
    assert all(0.65 < share < 0.9 for share in table["share"].to_pylist())


@pytest.mark.parametrize("text", ["", "the", LAMP[:60], "in a week how much oil " * 5])
def test_a_few_common_words_are_no_leak(text: str) -> None:
    assert found([text, None], [LAMP, SHORT, "", None, "too short"]) == []


def test_scripts_without_spaces_are_read_by_characters() -> None:
    asked = "北方灯塔的看守人每天晚上七点点亮灯火十一个小时之后再把它熄灭"
    assert found([f"请问:{asked}?谢谢", asked[:9], asked[::-1]], [asked]) == [(0, 0, "ngram_13")]
    thai = "ผู้ดูแลประภาคารทางเหนือจุดตะเกียงทุกคืน"
    assert found([f"ถาม {thai} ครับ"], [thai]) == [(0, 0, "ngram_13")]


def test_what_many_items_share_is_no_evidence() -> None:
    preamble = "Read the following passage with care and then choose the one statement that follows from it:"
    asked = [f"{preamble} {builders.story(n, 12)}" for n in range(8)]
    assert found([f"{preamble} {builders.story(99, 12)}"], asked) == []
    assert found([asked[3]], asked) == [(0, 3, "ngram_13")]


def test_what_many_rows_share_is_no_evidence_but_a_whole_item_is() -> None:
    template = "Write a polite reply to the following letter from a customer who waits for a parcel"
    asked = [f"{template}, and mention the harbour, the comet and the lamp of the northern keeper by name."]
    texts = [f"{template}: {builders.story(n, 20)}" for n in range(40)]
    assert found(texts[:10], asked) == [(row, 0, "ngram_13") for row in range(10)]
    assert found(texts, asked) == []
    assert found([*texts, *asked * 3], asked) == [(row, 0, "ngram_13") for row in (40, 41, 42)]


def test_an_answer_is_found_and_a_short_one_is_not_looked_for() -> None:
    answer = f"She carries {builders.story(5, 25)} up the stairs."
    table = pa.table(
        [[0, 1], ["s", "s"], ["a", "b"], [LAMP, SHORT], ["", ""], [answer, "the northern one"]],
        schema=items.SCHEMA,
    )
    built = index.build(table, Config())
    rows = match.find(pa.array(["", LAMP]), pa.array([answer, "the northern one"]), built, Config())
    assert [(r["row"], r["item"], r["part"]) for r in rows.to_pylist()] == [
        (0, 0, "answer"),
        (1, 0, "prompt"),
    ]


def test_a_question_is_found_without_its_options_and_with_them() -> None:
    options = "\n".join(builders.story(n, 4) for n in range(4))
    table = pa.table([[0], ["s"], ["a"], [LAMP], [options], ["C"]], schema=items.SCHEMA)
    built = index.build(table, Config())
    texts = pa.array([LAMP, f"{LAMP}\n{options}"])
    hits = match.find(texts, pa.array(["", ""]), built, Config())
    assert hits["row"].to_pylist() == [0, 1]


def test_what_repeats_itself_is_met_once() -> None:
    assert found(["a b c " * 4000], ["a b c " * 400, LAMP]) == [(0, 0, "ngram_13")]


def test_items_alike_are_all_named() -> None:
    assert found([LAMP], [LAMP, SHORT, LAMP.lower()]) == [(0, 0, "ngram_13"), (0, 2, "ngram_13")]


def test_items_that_nothing_tells_are_known() -> None:
    base = "all of these items begin in the same way"
    table = items.of_texts(["too short", LAMP, base, *(f"{base} {builders.story(n, 3)}" for n in range(3))])
    assert index.build(table, Config()).told.tolist() == [1, 3, 4, 5]


def test_an_index_is_the_same_after_a_journey() -> None:
    built = index.build(items.of_texts([LAMP, SHORT]), Config())
    again = index.loaded(index.dumped(built))
    for name, value in built._asdict().items():
        for one, other in zip(
            *((v if isinstance(v, tuple) else (v,)) for v in (value, getattr(again, name))), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@settings(deadline=None)
@given(st.data())
def test_order_and_company_change_nothing(data: st.DataObject) -> None:
    texts = [builders.story(n, 30) for n in range(6)]
    asked = data.draw(st.permutations([LAMP, SHORT, texts[0][: len(texts[0]) // 2]]))
    rows = data.draw(st.permutations([*texts, LAMP, f"{texts[5]} {SHORT}"]))
    expected = {
        (LAMP, LAMP),
        (f"{texts[5]} {SHORT}", SHORT),
        (texts[0], asked[asked.index(texts[0][: len(texts[0]) // 2])]),
    }
    assert {(rows[r], asked[i]) for r, i, _ in found(rows, asked)} == expected
