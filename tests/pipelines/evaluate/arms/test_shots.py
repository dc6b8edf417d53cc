"""Examples stand before a question as the template would set them, and none gives its answer away."""

import numpy as np
import pytest

from headrace.pipelines.evaluate.arms import shots
from headrace.pipelines.evaluate.arms.prompts import Helped, Room
from headrace.pipelines.train.watch.samples import Sample
from tests.pipelines.evaluate.arms import chats

TOKENS = chats.tokenizer()
PLENTY = Room(10_000, 20)
QUESTION = chats.chat(TOKENS, "is the oak a tree?", "yes", row_id=7)
TRAINED = [
    chats.chat(TOKENS, "is the elm a tree?", "yes indeed"),
    chats.chat(TOKENS, "who sang that?", "nobody"),
    chats.chat(TOKENS, "is the oak a fish?", "no"),
]


def pool(*samples: Sample) -> shots.Pool:
    return shots.Pool(list(samples), shots._asked(samples, TOKENS))


def helped(
    sample: Sample, examples: shots.Pool, k: int, draw: shots.Draw = "alike", room: Room = PLENTY
) -> Helped:
    return shots.helped([sample], examples, TOKENS, room, k, draw, ["yes"], 1)


def template(*turns: str, system: str = "") -> str:
    return chats.text(TOKENS, chats.chat(TOKENS, *turns, system=system))


def test_examples_are_earlier_turns_and_the_nearest_is_the_last() -> None:
    found = helped(QUESTION, pool(*TRAINED), 2)
    said = ("is the elm a tree?", "yes indeed", "is the oak a fish?", "no", "is the oak a tree?", "yes")
    near = template(*said)
    other = template(*said[2:4], *said[:2], *said[4:])
    assert chats.text(TOKENS, found.samples[0]) in (near, other)
    assert (found.fewer, found.delimiter) == (0, "")
    start, end = found.samples[0].span()
    assert TOKENS.decode(found.samples[0].ids[start:end]) == "yes<end>"
    targets = found.samples[0].labels != -100
    assert int(targets.sum()) == int((QUESTION.labels != -100).sum()), "examples carry no loss"
    assert found.samples[0].row_id == 7


def test_a_system_turn_that_both_have_stands_there_once() -> None:
    question = chats.chat(TOKENS, "is the oak a tree?", "yes", system="be brief")
    same = chats.chat(TOKENS, "is the elm a tree?", "yes", system="be brief")
    other = chats.chat(TOKENS, "is the elm a tree?", "yes", system="be long")
    found = helped(question, pool(same), 1)
    assert chats.text(TOKENS, found.samples[0]) == template(
        "is the elm a tree?", "yes", "is the oak a tree?", "yes", system="be brief"
    )
    text = chats.text(TOKENS, helped(question, pool(other), 1).samples[0])
    assert text.count("<s>") == 1
    assert text.count("be long") == text.count("be brief") == 1


def test_a_conversation_of_several_turns_is_one_example() -> None:
    long = chats.chat(TOKENS, "is the oak a tree?", "yes", "is the elm one?", "yes, too")
    found = helped(chats.chat(TOKENS, "is the oak a tree?", "yes", "is the fir one?", "yes"), pool(long), 1)
    assert chats.text(TOKENS, found.samples[0]) == template(
        *("is the oak a tree?", "yes", "is the elm one?", "yes, too"),
        *("is the oak a tree?", "yes", "is the fir one?", "yes"),
    )


def test_the_questions_own_prompt_is_never_an_example() -> None:
    twin = chats.chat(TOKENS, "is the oak  a tree?", "yes")
    for draw in ("alike", "random"):
        found = helped(QUESTION, pool(twin, TRAINED[1]), 2, draw)  # type: ignore[arg-type]
        assert chats.text(TOKENS, found.samples[0]).count("oak") == 1
        assert found.fewer == 1


def test_texts_without_turns_are_set_apart_by_an_empty_line() -> None:
    question = chats.plain(TOKENS, "oak: ", "tree")
    examples = pool(chats.plain(TOKENS, "carp: ", "fish"), chats.plain(TOKENS, "elm: ", "tree"))
    found = helped(question, examples, 2)
    assert found.delimiter == "\n\n"
    texts = {"<s>carp: fish\n\nelm: tree\n\noak: tree<end>", "<s>elm: tree\n\ncarp: fish\n\noak: tree<end>"}
    assert chats.text(TOKENS, found.samples[0]) in texts
    broken = shots.helped([question], examples, TOKENS, PLENTY, 1, "alike", ["a\n\nb"], 1)
    assert broken.delimiter == "", "an answer of two paragraphs cannot end at an empty line"
    assert chats.text(TOKENS, broken.samples[0]).count("<end>") == 2


def test_what_has_no_room_is_left_out_and_counted() -> None:
    block = len(helped(QUESTION, pool(TRAINED[2]), 1).samples[0].ids) - len(QUESTION.ids)
    room = Room(QUESTION.span()[0] + 20 + block, 20)
    found = helped(QUESTION, pool(TRAINED[2], TRAINED[1]), 2, room=room)
    assert found.fewer == 1
    assert "fish" in chats.text(TOKENS, found.samples[0]), "the one most like the question stays"
    assert "sang" not in chats.text(TOKENS, found.samples[0])
    none = helped(QUESTION, pool(TRAINED[2]), 1, room=room._replace(context=room.context - 1))
    assert (none.fewer, chats.text(TOKENS, none.samples[0])) == (1, chats.text(TOKENS, QUESTION))


def test_a_draw_hangs_on_the_seed_and_the_row_alone() -> None:
    many = pool(*(chats.chat(TOKENS, f"what is {n}?", "a number") for n in range(30)))
    questions = [chats.chat(TOKENS, "is the oak a tree?", "yes", row_id=row) for row in range(4)]
    drawn = shots.helped(questions, many, TOKENS, PLENTY, 3, "random", [], 1)
    alone = [shots.helped([one], many, TOKENS, PLENTY, 3, "random", [], 1).samples[0] for one in questions]
    texts = [chats.text(TOKENS, sample) for sample in drawn.samples]
    assert texts == [chats.text(TOKENS, sample) for sample in alone]
    assert len(set(texts)) == 4
    other = shots.helped(questions, many, TOKENS, PLENTY, 3, "random", [], 2)
    assert texts[0] != chats.text(TOKENS, other.samples[0])


@pytest.mark.parametrize("draw", ["alike", "random"])
def test_plain_text_and_an_empty_pool_change_nothing(draw: shots.Draw) -> None:
    ids = np.array(chats.ids(TOKENS, "once upon a time"))
    text = Sample(ids, ids.copy())
    assert shots.helped([text], pool(*TRAINED), TOKENS, PLENTY, 2, draw, [], 1).samples[0] is text
    none = helped(QUESTION, shots.Pool([], []), 2, draw)
    assert none.samples[0] is QUESTION
    assert none.fewer == 1
