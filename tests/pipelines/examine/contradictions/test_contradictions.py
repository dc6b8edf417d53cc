"""Contradictions: what one question is, what answers cannot both be right, and what follows."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cluster import storage
from headrace.pipelines.examine.contradictions import answers, asking, compare
from headrace.pipelines.examine.contradictions import run as contradictions
from headrace.pipelines.examine.contradictions.config import Config
from headrace.pipelines.stages.dedup import decide, in_memory
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.dedup.config import Config as Dedup
from headrace.pipelines.stages.fingerprint import stage as fingerprint
from tests import builders


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("What is the height of the old tower?", "what is the height of the old tower"),
        (
            "What is the height of the old tower?",
            "Could you please tell me: what's the height of the old tower?",
        ),
        ("What is the height of the old tower?", "Hello! What is the height of the old tower? Thank you!"),
        ("What is the height of the old tower?", "What is the hieght of the old towwer?"),
        ("Tom has 3 pears. How many are left?", "How many are left? Tom has 3 pears."),
        ("I do not see it. Why?", "I don't see it. Why?"),
        ("附近有什么酒店？", "请问，附近有什么酒店？"),
        ("How many pears are left?", "What is the number of pears are left?"),
        ("Which car did Tom buy?", "What automobile did Tom purchase?"),
        ("How do I reset my code?", "Plaese tell me: how can I reset my code?"),
        ("If it rains, where is my tent kept?", "where is my tent kept, if it rains?"),
        ("Tom gives half of it away. What is left?", "Tom gives 50% of it away. Tell me what is left."),
        (
            "Of 40 crates that came in on Monday 13 were sold before noon. How many remained?",
            "of 40 craets that cme in on monday 13 were sold before noon. find out how many remained.",
        ),
    ],
)
def test_the_same_is_asked(a: str, b: str) -> None:
    assert asking.same_question(a, b)
    assert asking.same_question(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("What is 5 plus 3?", "What is 5 plus 4?"),
        ("What is the capital of Austria?", "What is the capital of Australia?"),
        ("Which of them is safe?", "Which of them is not safe?"),
        ("Is the larger one a cat?", "Is the larger one a rat?"),
        ("Does Ann owe Bob money?", "Does Bob owe Ann money?"),
        ("Tom has 3 pears. How many are left?", "Tom has 3 pears. How many were there?"),
        ("北京有什么酒店？", "上海有什么酒店？"),
        ("How far is it from Rome to Oslo?", "How far is it from Oslo to Rome?"),
        ("Tom has 5 pears and 3 plums. How many in all?", "Tom has 3 pears and 5 plums. How many in all?"),
        ("Which is safe?\nA) the old bridge\nB) the ice", "Which is safe?\nA) the ice\nB) the old bridge"),
        ("Which is safe?\nA. bridge\nB. ice\nAnswer:", "Which is safe?\nA. ice\nB. bridge\nAnswer:"),
        (
            "Which?\nA. 5 + (2 × 3)\nB. (5 + 2) × 3\nAnswer:",
            "Which?\nA. (5 + 2) × 3\nB. 5 + (2 × 3)\nAnswer:",
        ),
        ("Which? Answer1: the bridge. Answer2: ice.", "Which? Answer1: ice. Answer2: the bridge."),
        ("Is it cold in May or in March?", "Is it cold in May?"),
        ("Hi Ann!", "Thank you so much, Ann."),
    ],
)
def test_something_else_is_asked(a: str, b: str) -> None:
    assert not asking.same_question(a, b)


@pytest.mark.parametrize(
    ("prompt", "a", "b", "kind"),
    [
        ("How many?", "First 2 + 3.\n#### 5", "Two and three are five.\n#### 5.0", "same"),
        ("How many?", "2 + 3 = 5\n#### 5", "2 + 3 = 6\n#### 6", "final"),
        ("How many?", "It costs $1,000. The answer is 1,000", "1000", "same"),
        ("How many?", "The answer is 12 pears.", "The answer is 13 pears.", "final"),
        ("Is it safe?", "Yes, it is.", "No, keep away from it.", "yes_no"),
        ("Is it safe?", "Yes, it is.", "Yes. Nothing can happen.", "same"),
        ("Which one?", "(B)", "C) the second", "option"),
        ("Which one?", "b", "B.", "same"),
        ("Which is safe?\nA. ice\nB. the old bridge", "B", "The old bridge is.", "same"),
        ("Which is safe?\nA. ice\nB. the old bridge", "A", "The old bridge", "option"),
        ("How many?", "**14000**", "14,000.00", "same"),
        ("How many?", '"14"', "The answer is 14.", "same"),
        ("How many?", "**14**", "15.00", "final"),
        ("What is the capital of France?", "Paris is the capital.", "It is Lyon.", "short"),
        ("What is the capital of France?", "Paris", "The capital of France is Paris.", "same"),
        ("When was the tower built?", "It was built in 1912.", "It was built in 1921.", "number"),
        ("Can it swim?", "It can swim well", "It can not swim well", "yes_no"),
        ("Write a poem about rain.", "Drip drop", "A cloud wept", "other"),
        ("Name a colour.", "red", "blue", "other"),
        ("Thanks, that is all.", "Have a nice day.", "Goodbye, enjoy the film.", "other"),
        ("What is a third of four?", "1.3333333333333333", "1.3333333333333335", "same"),
        ("What kinds of soup do you have?", "We have leek and pea.", "Onion or tomato.", "other"),
        ("What kinds of soup do you have?", "We have leek and pea.", "Leek and pea.", "same"),
        ("Tell me what soups you have.", "We have leek and pea.", "Onion or tomato.", "other"),
        ("I'd like a soup please.", "There is none, what of bread?", "Leek or pea?", "other"),
        ("I would like to know who built the tower.", "Ann built it.", "It was Bob.", "short"),
        ("How far is Mars?", "It is search('way').", "Mars is look('planets near')", "other"),
        ("How far is Mars?", "It is maps('Mars 3 km').", "It is maps('Mars 4 km').", "other"),
        ("How far is Mars?", "It is maps('Mars').", "Too far.", "short"),
        ("Who built it?", "Here's who: Ann.", "Sure, here it is: Ann!", "same"),
        ("Thanks a lot!", "Have a good one.", "It is my pleasure.", "other"),
        ("What's the address?", "12 Main Street", "It is 3 Old Lane.", "other"),
        ("And how much is it per night?", "$150 per night.", "$176 per night.", "other"),
        ("Who wrote it?", "Ann did.", "It was Bob.", "other"),
        ("What is a hotel?", "A house for guests.", "Some kind of boat.", "short"),
        ("What is the price of gold?", "60 euros a gram.", "12 cents.", "short"),
        ("这家酒店的电话是多少啊？", "电话是010-52138888。", "电话是010-51979888。", "other"),
        ("北京大学的电话是多少啊？", "电话是010-52138888。", "电话是010-51979888。", "number"),
        ("I am looking for a barber.", "In which city?", "Try Ann's on Main Street.", "other"),
        ("Please check the balance of my savings account.", "It is $12.", "You have $30 there.", "other"),
    ],
)
def test_kinds_of_answers(prompt: str, a: str, b: str, kind: str) -> None:
    assert answers.kind_of(prompt, a, b, labels=False) == kind
    assert answers.kind_of(prompt, b, a, labels=False) == kind


def test_two_labels_contradict_each_other() -> None:
    assert answers.kind_of("my card is lost", "card lost", "card stolen", labels=True) == "label"
    assert answers.kind_of("what is the price", "price", "shop", labels=True) == "label"
    assert answers.kind_of("ok thanks", "thanks", "yes", labels=True) == "other"


@pytest.mark.parametrize(
    ("answered", "conflicts"),
    [
        (["Leek soup", "Leek soup", "Rye bread", "An old cake"], True),  # three ways, and one by half
        (["Leek soup", "Plum jam", "Rye bread", "An old cake"], False),
    ],
)
def test_a_question_that_is_answered_in_many_ways_is_open(answered: list[str], conflicts: bool) -> None:
    asked = ["What stood on Ann's table that day?", "Please tell me: what stood on Ann's table that day?"]
    found = compare.conflicting(pa.array(asked * 2), pa.array(answered), Config())
    assert bool(len(found)) == conflicts


@given(st.text(), st.text(min_size=1), st.text(min_size=1), st.booleans())
def test_the_order_of_two_answers_makes_no_difference(prompt: str, a: str, b: str, labels: bool) -> None:
    kind = answers.kind_of(prompt, a, b, labels)
    assert kind in answers.KINDS
    assert kind == answers.kind_of(prompt, b, a, labels)
    assert answers.kind_of(prompt, a, a, labels) == "same"


PROMPTS = [
    "What is the height of the old tower by the river?",
    "what is the height of the old tower by the river",
    "What is the height of the old tower by the river?",
    "Please tell me: what is the height of the old tower by the river?",
    "What is the height of the new tower by the river?",
    "Write a poem about the old tower by the river.",
    "Write a poem about the old tower by the river.",
]
GIVEN = ["30", "31", "30 metres", "30", "45", "Stone on stone", "Water and wall"]


def test_rows_in_memory() -> None:
    table = compare.contradictions(PROMPTS, GIVEN)
    assert table.column_names == ["row", "partner", "prompt_similarity", "answer_similarity"]
    found = {(row["row"], row["partner"]): row for row in table.to_pylist()}
    assert set(found) == {(0, 1), (1, 0), (2, 1), (3, 1)}
    assert found[0, 1]["prompt_similarity"] == 1
    assert 0.6 <= found[3, 1]["prompt_similarity"] < 1
    assert found[0, 1]["answer_similarity"] == 0
    assert compare.contradictions([], []).num_rows == 0
    assert compare.contradictions(["", "a"], ["x", ""]).num_rows == 0


def test_equal_prompts_alone_where_the_recipe_says_so() -> None:
    table = compare.contradictions(PROMPTS, GIVEN, Config(near=1))
    assert {(row["row"], row["partner"]) for row in table.to_pylist()} == {(0, 1), (1, 0), (2, 1)}


def test_a_prompt_with_many_right_answers_contradicts_nothing() -> None:
    colours = ["red", "blue", "green", "yellow", "white"]
    assert compare.contradictions(["Which colour do sunflowers have?"] * 5, colours).num_rows == 0
    # Where most rows agree the others are wrong.
    table = compare.contradictions(["Which colour do sunflowers have?"] * 9, [*["red"] * 5, *colours[1:]])
    assert set(table["row"].to_pylist()) == set(range(9))


def prepared(folder: Path, cuts: list[int]) -> list[str]:
    """Files of prompts and answers as pass 1 leaves them, none of which is a duplicate."""
    rows = builders.table(*[[("user", p), ("assistant", a)] for p, a in zip(PROMPTS, GIVEN, strict=True)])
    storage.write_table(str(folder / "duplicates/removed.parquet"), dedup.REMOVED.empty_table())
    return builders.write_parts(folder, rows, cuts)


@pytest.mark.parametrize(
    ("policy", "gone"),
    [("keep", []), ("drop_all", [0, 1, 2, 3]), ("quarantine", [0, 1, 2, 3]), ("majority", [1])],
)
def test_a_run_marks_by_policy(tmp_path: Path, policy: str, gone: list[int]) -> None:
    paths = prepared(tmp_path, [2, 5])
    report = contradictions.run(paths, str(tmp_path), Config(policy=policy), builders.in_order)  # type: ignore[arg-type]
    drops = storage.read_table(str(tmp_path / "findings/contradictions.drops.parquet"))
    assert drops["row_id"].to_pylist() == gone
    assert set(drops["reason"].to_pylist()) <= {"contradictions.conflict"}
    assert (report["rows"], report["conflicting"], report["clusters"], report["marked"]) == (
        7,
        4,
        1,
        len(gone),
    )
    assert report["largest"][0]["rows"] == 4
    assert report["pairs"]["other"] == 1
    assert "tower" not in str(report)


def test_a_run_writes_the_same_for_any_files_and_order(tmp_path: Path) -> None:
    written = []
    for name, cuts in (("one", []), ("many", [1, 2, 5])):
        paths = prepared(tmp_path / name, cuts)
        each = builders.in_order if name == "one" else builders.backwards
        given_paths = paths if name == "one" else paths[::-1]
        contradictions.run(given_paths, str(tmp_path / name), Config(), each)
        written.append((tmp_path / name / "findings/contradictions.parquet").read_bytes())
    assert written[0] == written[1]
    table = storage.read_table(str(tmp_path / "one/findings/contradictions.parquet"))
    assert set(table["cluster"].to_pylist()) == {0}
    assert {(r["row_id"], r["partner"]) for r in table.to_pylist()} >= {(0, 1), (1, 0), (2, 1), (3, 1)}


def test_a_long_solution_with_another_result_stays_and_contradicts(tmp_path: Path) -> None:
    """Of two long solutions that end in 23 and in 31 neither is a duplicate of the other."""
    worked = "First all crates are counted, then those that were sold are taken away. " * 9
    rows = [
        [("user", "How many crates of plums are left?"), ("assistant", f"{worked}#### {n}")]
        for n in (23, 31, 23)
    ]
    table = fingerprint.apply(builders.table(*rows), fingerprint.Config())
    ranked, matches = in_memory.matched(table, Dedup())
    verdict = decide.decide(ranked.n, matches, Dedup().threshold)
    removed = dedup.removed_table(ranked["row_id"], ranked["simhash"], verdict)
    assert removed.select(["removed", "kept", "rule"]).to_pylist() == [
        {"removed": 2, "kept": 0, "rule": "exact"}
    ]
    storage.write_table(str(tmp_path / "duplicates/removed.parquet"), removed)
    paths = builders.write_parts(tmp_path, table, [])
    report = contradictions.run(paths, str(tmp_path), Config(policy="drop_all"), builders.in_order)
    assert (report["rows"], report["conflicting"], report["marked"]) == (2, 2, 2)


def test_no_rows(tmp_path: Path) -> None:
    storage.write_table(str(tmp_path / "duplicates/removed.parquet"), dedup.REMOVED.empty_table())
    report = contradictions.run([], str(tmp_path), Config(), builders.in_order)
    assert (report["rows"], report["conflicting"], report["words"]) == (
        0,
        0,
        "no two of 0 rows contradict each other",
    )


def test_a_pair_contradicts_nothing_but_the_same_pair_the_other_way_round(tmp_path: Path) -> None:
    ask, one, two, three = "Describe the old tower.", "It leans a lot.", "It is made of brick.", "It is tall."

    def pair(chosen: str, rejected: str) -> list[builders.Turn]:
        return [("user", ask), ("assistant", chosen), ("rejected", rejected)]

    rows = builders.table(
        pair(one, two), pair(two, three), pair(two, one), [("user", ask), ("assistant", two)]
    )
    storage.write_table(str(tmp_path / "duplicates/removed.parquet"), dedup.REMOVED.empty_table())
    report = contradictions.run(
        builders.write_parts(tmp_path, rows, [2]), str(tmp_path), Config(), builders.in_order
    )
    assert report["pairs"] == {"swapped": 1}
    found = storage.read_table(str(tmp_path / "findings/contradictions.parquet"))
    assert set(found["kind"].to_pylist()) == {"swapped"}
    assert {0, 2} <= set(found["row_id"].to_pylist())
    alone = builders.write_parts(tmp_path / "alone", rows.slice(0, 2), [])
    storage.write_table(str(tmp_path / "alone/duplicates/removed.parquet"), dedup.REMOVED.empty_table())
    report = contradictions.run(alone, str(tmp_path / "alone"), Config(), builders.in_order)
    assert report["conflicting"] == 0
