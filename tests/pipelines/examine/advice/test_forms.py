"""What rows look like beside each other: faults that no row shows by itself."""

import random
from collections.abc import Callable
from itertools import pairwise

import pyarrow as pa
import pytest

from headrace.pipelines.examine.advice import beside, forms
from tests import builders

N = 60
PROMPTS = [f"What is told of {builders.story(k, 6)}?" for k in range(N)]
ANSWERS = [f"It is told that {builders.story(k, 6)} did well. More was not said." for k in range(N)]


def rows(prompts: list[str] = PROMPTS, answers: list[str] = ANSWERS) -> list[list[builders.Turn]]:
    return [[("user", p), ("assistant", a)] for p, a in zip(prompts, answers, strict=True)]


def counts(given: list[list[builders.Turn]]) -> dict[str, int]:
    found = forms.look(builders.table(*given))
    assert set(found.counts) <= set(forms.CODES)
    assert all(len(found.places[code]) == min(n, 5) for code, n in found.counts.items())
    return {code: n for code, n in found.counts.items() if n}


def test_rows_without_fault() -> None:
    assert counts(rows()) == {}
    assert forms.look(builders.table(*rows())).rows == N


def test_few_rows_are_not_looked_at() -> None:
    assert forms.look(builders.table(*rows()[: forms.FEW - 1])) == forms.Forms(0, {}, {})


def test_one_answer() -> None:
    assert counts(rows(answers=[*ANSWERS[:20], *["We will call you."] * 40])) == {"one_answer": 40}
    assert counts(rows(answers=[*ANSWERS[:30], *["We will call you."] * 30])) == {}


def test_of_few_answers_one_is_given_by_half() -> None:
    assert counts(rows(answers=["Yes"] * 36 + ["No"] * 24)) == {}
    assert counts(rows(answers=["Yes"] * 55 + ["No"] * 5)) == {"one_answer": 55}


def talks(turns: int = 6) -> list[list[builders.Turn]]:
    """Conversations in which each turn takes up words of the turn before it."""
    found = []
    for k in range(20):
        words = builders.story(k, 8 * turns).split()
        said = [" ".join(words[8 * at : 8 * at + 11 + (k + at) % 4]) for at in range(turns)]
        found.append([("user" if at % 2 == 0 else "assistant", text) for at, text in enumerate(said)])
    return found


def test_a_conversation_that_stands_there_turn_by_turn() -> None:
    by_turn = [talk[:end] for talk in talks() for end in (2, 4, 6)]
    assert counts(by_turn) == {"begun": 40}
    assert not forms.look(builders.table(*by_turn), ["s"]).counts["begun"]
    with_system = [[("system", "Be kind."), *talk] for talk in by_turn]
    assert counts(with_system) == {"begun": 40}


def test_turns_that_are_asked_and_answered_in_turn_are_pieces_and_not_shifted() -> None:
    pairs = [[("user", a), ("assistant", b)] for talk in talks() for (_, a), (_, b) in pairwise(talk)]
    assert counts(pairs) == {"pieces": 80}


def test_rows_with_a_group_are_no_pieces() -> None:
    pairs = [[("user", a), ("assistant", b)] for talk in talks() for (_, a), (_, b) in pairwise(talk)]
    table = builders.table(*pairs)
    at = table.schema.get_field_index("group")
    grouped = pa.array([7] * 50 + [None] * 50, table.schema.field("group").type)
    assert forms.look(table.set_column(at, table.schema.field("group"), grouped)).counts["pieces"] == 40


def test_answers_that_their_own_prompt_holds_are_no_pieces() -> None:
    passages = [[builders.story(9 * k + at, 6) for at in range(3)] for k in range(20)]
    asked = [
        [("user", f"{chr(10).join(lines)}\nWhich line is it?"), ("assistant", line)]
        for lines in passages
        for line in lines
    ]
    assert counts(asked) == {}


@pytest.mark.parametrize("speakers", [("", ""), ("User: ", "Bot: ")])
def test_the_last_turns_of_a_conversation_as_one_text_are_pieces(speakers: tuple[str, str]) -> None:
    windows = [
        [
            ("user", "\n".join(speakers[at % 2] + talk[at][1] for at in range(max(0, end - 3), end))),
            ("assistant", talk[end][1]),
        ]
        for talk in talks(10)
        for end in range(1, 10, 2)
    ]
    assert counts(windows) == {"pieces": 80}


def test_translations_both_ways_are_pieces() -> None:
    both = [
        [("user", f"Translate: {x}"), ("assistant", y)]
        for k in range(N)
        for a, b in [(builders.story(k, 9), builders.story(k + 500, 9))]
        for x, y in ((a, b), (b, a))
    ]
    assert counts(both) == {"pieces": 2 * N}


def test_some_system_prompts() -> None:
    def spoken(k: int, row: list[builders.Turn]) -> list[builders.Turn]:
        return [("system", "You are careful."), *row] if k % 3 == 0 else row

    assert counts([spoken(k, row) for k, row in enumerate(rows())]) == {"some_system": N // 3}
    assert counts([spoken(0, row) for row in rows()]) == {}


def test_answers_that_break_off() -> None:
    long = [f"{answer} {builders.story(k, 20)}" for k, answer in enumerate(ANSWERS)]
    assert counts(rows(answers=[f"{a} and then" for a in long])) == {"cut_off": N}
    assert counts(rows(answers=[f"{a} and then." for a in long])) == {}
    assert counts(rows(answers=[f"{a} Result: 12" for a in long])) == {}
    assert counts(rows(answers=[f"{a}.\nLabel: lost card" for a in long])) == {}
    assert counts(rows(answers=[f"{a}.\n{b}" for a, b in zip(ANSWERS, long, strict=True)])) == {"cut_off": N}


@pytest.mark.parametrize("by", [-3, -1, 1, 2])
def test_answers_beside_another_prompt(by: int) -> None:
    moved = [ANSWERS[(k - by) % N] for k in range(N)]
    assert counts(rows(answers=moved)) == {"shifted": N}
    before = [[prompt] for prompt in PROMPTS]
    assert beside.shift(before, moved, beside.matrix(before, moved)) == by


def test_columns_taken_for_each_other() -> None:
    assert counts(rows(ANSWERS, PROMPTS)) == {"exchanged": N}
    tasks = [f"Write a function that tells of {builders.story(k, 6)}." for k in range(N)]
    assert counts(rows(ANSWERS, tasks)) == {"exchanged": N}
    assert counts(rows(tasks, ANSWERS)) == {}
    assert counts(rows([f"Make a question of: {answer}" for answer in ANSWERS], PROMPTS)) == {}


def many(count: int = 400) -> tuple[list[str], list[str]]:
    """Prompts, and answers that take up a word of them."""
    told = [builders.story(k, 6) for k in range(count)]
    return [f"What is told of {t}?" for t in told], [f"They say that {t.split()[0]} went home." for t in told]


def test_answers_in_a_shuffled_column() -> None:
    prompts, answers = many()
    mixed = random.Random(1).sample(answers, len(answers))
    assert "unrelated" not in counts(rows(prompts, answers))
    assert counts(rows(prompts, mixed)) == {"unrelated": 400}
    assert counts(rows(prompts[:200], mixed[:200])) == {}  # too few to say so


def test_answers_that_words_cannot_tell_apart_are_not_said_to_be_unrelated() -> None:
    prompts, _ = many()
    draw = random.Random(2)
    assert counts(rows(prompts, [f"${draw.randrange(10**6):,}" for _ in prompts])) == {}
    assert counts(rows(prompts, [draw.choice(["Yes.", "No."]) for _ in prompts])) == {}


def test_prompts_that_hold_their_answer() -> None:
    labels = ["refund", "lost card", "top up"]
    marked = [f"{prompt}\nintent: {labels[k % 3]}\nid: {k}" for k, prompt in enumerate(PROMPTS)]
    told = [labels[k % 3] for k in range(N)]
    assert counts(rows(marked, told)) == {"given": N}
    assert counts(rows(PROMPTS, told)) == {}
    options = [f"{prompt}\nOne of: refund, lost card, top up" for prompt in PROMPTS]
    assert counts(rows(options, told)) == {}


def test_answers_that_say_that_there_is_none() -> None:
    some = [answer if k % 3 else "N/A" for k, answer in enumerate(ANSWERS)]
    assert counts(rows(answers=some)) == {"blank": 20}
    labels = [("None", "refund", "fee")[k % 3] for k in range(N)]
    assert counts(rows(answers=labels)) == {}


def test_labels_in_several_spellings() -> None:
    labels = ["lost_card", "refund", "fee"]
    assert counts(rows(answers=[labels[k % 3] for k in range(N)])) == {}
    odd = [labels[k % 3] if k % 4 else f"{labels[k % 3].replace('_', ' ').title()}." for k in range(N)]
    assert counts(rows(answers=odd)) == {"spelled": N // 4}
    assert counts(rows(answers=[(answer, "ok", "Ok.")[k % 3] for k, answer in enumerate(ANSWERS)])) == {}


def test_labels_that_hardly_a_row_gives() -> None:
    labels = [("refund", "fee", "lost card")[k % 3] for k in range(N)]
    assert counts(rows(answers=[*labels[:-6], *["top up", "rate", "limit"] * 2])) == {"rare_label": 6}
    assert counts(rows(answers=[*labels[:-2], "top up", "rate"])) == {}  # two may be slips
    assert counts(rows(answers=[*labels[:-10], *ANSWERS[:10]])) == {"rare_label": 10}
    assert counts(rows(answers=[f"{label} {k}" for k, label in enumerate(labels)])) == {}


def test_conversations_are_not_asked_whether_their_ends_belong_together() -> None:
    prompts, _ = many()
    draw = random.Random(3)
    ends = [f"{builders.story(k, 3)} and a good day" for k in range(400)]
    talks = [[("user", p), ("assistant", "So it is."), ("user", "Thank you")] for p in prompts]
    closed = [[*talk, ("assistant", end)] for talk, end in zip(talks, draw.sample(ends, 400), strict=True)]
    assert "unrelated" not in counts(closed)
    with_system = [[("system", "Be kind."), talk[0], closed[k][-1]] for k, talk in enumerate(talks)]
    assert counts(with_system) == {"unrelated": 400}


def test_some_answers_with_tags() -> None:
    some = [f"<p>{answer}</p>" if k % 2 else answer for k, answer in enumerate(ANSWERS)]
    assert counts(rows(answers=some)) == {"tagged": N // 2}
    assert counts(rows(answers=[f"<p>{answer}</p>" for answer in ANSWERS])) == {}
    pages = [f"```html\n<p>{answer}</p>\n```" if k % 2 else answer for k, answer in enumerate(ANSWERS)]
    assert counts(rows(answers=pages)) == {}


@pytest.mark.parametrize("cut", [lambda text: text[:70], lambda text: " ".join(text.split()[:20])])
def test_texts_that_a_limit_cut_at_one_length(cut: Callable[[str], str]) -> None:
    long = [f"It goes on: {builders.story(k, 2 + k % 30)}" for k in range(N)]
    full = sum(cut(text) != text for text in long)
    for asked, told in ((PROMPTS, long), ([f"Do tell. {text}" for text in long], ANSWERS)):
        assert "cut_off" not in counts(rows(asked, told))
    found = counts(rows(answers=[cut(text) for text in long])).get("cut_off", 0)
    assert 0.9 * full <= found <= N


def test_conversations_with_the_last_turn_first() -> None:
    held = [
        [
            *(("user", f"Hello, I ask about {builders.story(k, 4)}"), ("assistant", builders.story(k, 9))),
            *(
                ("user", f"And what of {builders.story(k + 99, 5)}"),
                ("assistant", "Good bye, and take care."),
            ),
        ]
        for k in range(N)
    ]
    turned = [
        [(role, said) for (role, _), (_, said) in zip(talk, reversed(talk), strict=True)] for talk in held
    ]
    assert "backwards" not in counts(held)
    assert counts(turned)["backwards"] == N


def test_sources_are_looked_at_apart() -> None:
    table = builders.table(*rows(), *rows(answers=[ANSWERS[(k - 1) % N] for k in range(N)]))
    names = pa.array(["one"] * N + ["other"] * N, pa.string())
    table = table.set_column(table.schema.get_field_index("source"), "source", names)
    found = forms.look(table)
    assert found.counts["shifted"] == N
    assert found.places["shifted"] == [N, N + 1, N + 2, N + 3, N + 4]
