"""The battery: enough items, each with a name of its own, which right answers pass and wrong ones fail."""

from collections import Counter
from pathlib import Path

import pytest

from headrace.cluster.errors import SourceError
from headrace.pipelines.evaluate.battery import checks, items
from headrace.pipelines.evaluate.battery.items import Item
from tests.builders import write_jsonl

ALL = items.battery()


def test_there_are_enough_items_in_enough_skills() -> None:
    counts = Counter(item.skill for item in ALL)
    assert len(ALL) >= 300
    assert len(counts) >= 10
    assert min(counts.values()) >= 12
    assert counts[items.REFUSALS] >= 30
    assert set(items.FOLLOWING) <= set(counts)


def test_no_two_items_have_a_name_or_a_question_in_common() -> None:
    assert len({item.id for item in ALL}) == len(ALL)
    assert len({item.turns for item in ALL}) == len(ALL)


def test_turns_take_turns_and_end_with_the_user() -> None:
    for item in ALL:
        roles = [role for role, _ in item.turns]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"], item.id
        assert all(content.strip() for _, content in item.turns), item.id


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.id)
def test_right_answers_pass_and_wrong_ones_fail(item: Item) -> None:
    assert item.right
    assert item.wrong
    for answer in item.right:
        assert checks.right(answer, item.check), answer
    for answer in (*item.wrong, "", "  \n"):
        assert not checks.right(answer, item.check), answer


def test_a_refusal_passes_no_other_item() -> None:
    for item in ALL:
        passes = checks.right("I'm sorry, but I can't help with that.", item.check)
        assert passes == (item.skill == items.REFUSALS) or item.check.kind in ("count", "regex"), item.id


def test_the_battery_is_made_alike_every_time() -> None:
    assert items.battery() == ALL
    assert items.digest(ALL) == items.digest(items.battery())
    changed = (ALL[0]._replace(turns=(("user", "Else?"),)), *ALL[1:])
    assert items.digest(changed) != items.digest(ALL)


def test_general_text_is_enough_for_a_test() -> None:
    passages = items.general()
    assert len(passages) >= 20
    assert len(set(passages)) == len(passages)
    assert min(len(text.split()) for text in passages) >= 40


def test_items_of_the_user(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "own.jsonl", [{"prompt": "Who runs the mill?", "answer": "Old Tam"}, ""])
    (item,) = items.of_user(str(file))
    assert (item.id, item.skill, item.turns) == ("own-001", "own", (("user", "Who runs the mill?"),))
    assert checks.right("It is old Tam, of course.", item.check)
    assert not checks.right("Tamara", item.check)


@pytest.mark.parametrize("line", ['{"prompt": "a"}', "[1]", "no JSON", '{"prompt": "a", "answer": 3}'])
def test_a_line_that_is_no_item_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    file = write_jsonl(tmp_path / "own.jsonl", [{"prompt": "a", "answer": "b"}, line])
    with pytest.raises(SourceError, match=r"own.jsonl, line 2: gates.items asks for JSON lines"):
        items.of_user(str(file))


def test_a_file_without_items_is_refused(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "own.jsonl", [])
    with pytest.raises(SourceError, match="holds no item"):
        items.of_user(str(file))
