"""Traits: what is told of a row, by which rule, and which rows go by it."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines import schema, structure
from headrace.pipelines.stages.traits import config, tasks, words
from headrace.pipelines.stages.traits import stage as traits
from headrace.pipelines.stages.traits.config import Config
from tests.builders import Turn, story, table, text_table


def told(*turns: Turn, **settings: Any) -> dict[str, Any]:
    made = traits.apply(table(list(turns)), Config(**settings))["traits"][0].as_py()
    assert made is not None
    return dict(made)


def asked(prompt: str, answer: str = "So it goes, and nobody minds.") -> dict[str, Any]:
    return told(("user", prompt), ("assistant", answer))


@pytest.mark.parametrize(
    ("prompt", "answer", "rule"),
    [
        ("Translate to German: good night", "Gute Nacht", "translation.words"),
        ("Übersetze das bitte ins Englische.", "Please.", "translation.words"),
        ("请翻译这句话", "Fine.", "translation.words"),
        ("How many ships are there?", "SELECT count(*) FROM ships", "code.answer"),
        ("Write a Python function that adds numbers.", "It adds.", "code.words"),
        ("Напиши функцию сложения.", "Вот.", "code.words"),
        ("Add two numbers.", "Like so:\n```python\n1 + 1\n```", "code.fence"),
        ("Summarize this: we met, we ate.", "A meal.", "summarisation.words"),
        ("where is my card", "card_arrival", "classification.label_answer"),
        ("Rewrite it in the passive voice.", "It was done.", "rewriting.words"),
        ("Extract the names: Ann met Bo.", "Ann, Bo", "extraction.words"),
        ("Is the sentiment positive or negative?", "Positive, it is.", "classification.words"),
        ("Pretend you are a lighthouse.", "I shine.", "creative.words"),
        ("You are a grumpy wizard. Name a spell.", "Fog!", "creative.role"),
        ("You are a helpful assistant. Explain tides.", "The moon pulls.", "knowledge.words"),
        ("Write me a short poem on rain.", "Drops fall.", "creative.works"),
        ("Schreibe ein Gedicht.", "Regen fällt.", "creative.works"),
        ("What do you think of jazz?", "It swings.", "opinion.words"),
        ("Was hältst du von Jazz?", "Viel.", "opinion.words"),
        ("Ann has 3 pears and eats 2. How many are left?", "3 - 2 = 1", "maths.answer"),
        ("Ann has 3 pears and eats 2. How many are left?", "One.", "maths.words"),
        ("Hello there", "Hi.", "chat.words"),
        ("Explain tides.", "The moon pulls.", "knowledge.words"),
        ("Who painted that ceiling?", "A painter.", "knowledge.short_question"),
        ("My kettle hums. Is it broken?", "No.", "question.mark"),
        ("the kettle hums", "It does.", "other"),
    ],
)
def test_a_task_is_told_with_the_rule_that_says_so(prompt: str, answer: str, rule: str) -> None:
    found = asked(prompt, answer)
    assert (found["rule"], found["task"]) == (rule, rule.partition(".")[0])


def test_a_plain_text_and_a_talk_are_tasks_of_their_own() -> None:
    assert told(("text", "Nobody asked for this."))["rule"] == "text"
    talk = [
        ("user", "the train left"),
        ("assistant", "Oh."),
        ("user", "and then the bus"),
        ("assistant", "No"),
    ]
    assert told(*talk)["rule"] == "chat.turns"


def test_every_rule_names_a_task() -> None:
    assert {rule.partition(".")[0] for rule in tasks.RULES} == set(config.TASKS)
    assert all(words.phrases(name) for name in words.LISTS)


@pytest.mark.parametrize(
    ("answer", "flags"),
    [
        ("I'm sorry, but I can't help with that.", ["refusal"]),
        ("I’m sorry, but I can’t help with that.", ["refusal"]),
        ("Es tut mir leid, aber dabei kann ich nicht helfen.", ["refusal", "other_language"]),
        ("抱歉,我无法回答。", ["refusal", "other_language"]),
        ("Sure! Salt melts ice.", ["opener"]),
        ("Great question! Salt melts ice.", ["praise"]),
        ("Salt melts ice; as an AI, I have never seen any.", ["disclaimer"]),
        ("Why is salt put on roads in winter? It melts ice.", ["copies_prompt"]),
        ("Das Salz schmilzt das Eis auf den Straßen im Winter.", ["other_language"]),
        (" \n", ["empty_answer"]),
        ("Ice.", ["one_word"]),
        ("It melts ice, and I cannot say more than the books do.", []),
        ("Salt melts ice, but it makes no great question of it.", []),
    ],
)
def test_flags_of_an_answer(answer: str, flags: list[str]) -> None:
    assert asked("Why is salt put on roads in winter?", answer)["flags"] == flags


def test_a_refusal_in_any_turn_counts() -> None:
    turns = [
        ("user", "do it"),
        ("assistant", "I cannot do that."),
        ("user", "please"),
        ("assistant", "It is done"),
    ]
    assert told(*turns)["flags"] == ["refusal"]


def test_an_answer_in_a_language_that_was_named_is_no_other_language() -> None:
    answer = "Das Salz schmilzt das Eis auf den Straßen im Winter."
    assert asked("Why is salt put on roads? Say it in German, please.", answer)["flags"] == []
    assert asked("Translate: the salt melts the ice on the roads in winter", answer)["flags"] == []


@pytest.mark.parametrize(
    ("system", "task", "rule"),
    [
        ("You translate what the user writes into German.", "translation", "translation.system"),
        ("Correct the grammar of each sentence.", "rewriting", "rewriting.system"),
        ("You are a kind assistant.", "question", "question.mark"),
        ("You translate, summarize and classify texts for a newspaper.", "question", "question.mark"),
        (f"You translate into German. {story(1, 120)}", "question", "question.mark"),
    ],
)
def test_a_system_prompt_says_what_is_done_with_texts(system: str, task: str, rule: str) -> None:
    question = f"Is my salt on the roads? {' '.join(['We saw it melt in the yard.'] * 5)}"
    found = told(("system", system), ("user", question), ("assistant", "Das Salz schmilzt auf den Straßen."))
    assert (found["task"], found["rule"]) == (task, rule)
    assert ("other_language" in found["flags"]) == (task != "translation" and "German" not in system)


def test_a_call_is_an_answer() -> None:
    calls = {"tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {}}}]}
    found = asked("Is it cold in Oslo?", structure.sealed("", calls))
    assert (found["task"], found["format"], found["flags"]) == ("question", "call", [])
    assert asked("Is it cold in Oslo?")["task"] == "knowledge"
    unlearned = asked("Is it cold in Oslo?", structure.sealed("", {"learned": False}))
    assert (unlearned["format"], unlearned["flags"]) == ("empty", ["empty_answer"])


def test_a_corrected_text_may_be_as_it_was() -> None:
    text = "Salt melts ice on the roads in winter."
    turns = [("user", text), ("assistant", text)]
    assert told(*turns)["flags"] == ["copies_prompt"]
    assert told(("system", "Correct the grammar of each sentence."), *turns)["flags"] == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("请问北京自然博物馆的电话是多少，开放时间呢？", "电话是010-67024431。"),
        (
            "好的，那您把它的地址与电话告诉我一下。",
            "它地址是北京市西城区广安门外大街277号，然后电话4006101101。",
        ),
        ("Apakah yang harus saya lakukan dengan surat ini?", "Anda boleh hantar surat itu ke pejabat pos."),
        ("Koliko stoji ulaznica za muzej u gradu?", "Ulaznica stoji sto dinara, a deca ulaze besplatno."),
    ],
)
def test_languages_that_are_taken_for_each_other_are_no_other_language(question: str, answer: str) -> None:
    assert asked(question, answer)["flags"] == []


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("", "empty"),
        ("42", "number"),
        ("lost card", "label"),
        ('{"a": 1}', "json"),
        ("<a>\n</a>", "xml"),
        ("```\nx\n```", "code"),
        ("def f(): pass", "code"),
        ("| a | b |\n| 1 | 2 |", "table"),
        ("- one of them\n- another one", "list"),
        ("1. one of them\n2. another one", "list"),
        ("There are 2 of them. And more.", "prose"),
    ],
)
def test_format_of_an_answer(answer: str, form: str) -> None:
    assert asked("Tell me about it.", answer)["format"] == form


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("<think>\nhm\n</think>\n\nYes, it is.", "think"),
        ("<think>\n\n</think>\n\nYes, it is.", "empty"),
        ("<think> it never ends", "think"),
        ("<thinking>hm</thinking> Yes, it is.", "thinking"),
        ("<reasoning>hm</reasoning> Yes, it is.", "reasoning"),
        ("<Thought>hm</Thought> Yes, it is.", "thought"),
        ("[THINK]hm[/THINK] Yes, it is.", "mistral"),
        ("<|channel|>analysis<|message|>hm", "channel"),
        ("Let's think step by step. It is.", "steps"),
        ("One writes <think> in a template.", "none"),
    ],
)
def test_form_of_reasoning(answer: str, form: str) -> None:
    assert asked("Is it?", answer)["reasoning"] == form


def test_tools_are_not_what_is_asked() -> None:
    offer = structure.sealed("go on", {"tools": [{"name": "translate"}]})
    assert told(("user", offer), ("assistant", "fine by me"))["task"] == "other"


ROWS = [
    [("user", "What do you think of the old town, and why?"), ("assistant", "I like it, as it is quiet.")],
    [
        ("user", "Was denkst du über die alte Stadt am Fluss?"),
        ("assistant", "Ich mag sie, weil sie ruhig ist."),
    ],
    [("user", "Who built the bridge that stands there?"), ("assistant", "I can't help with that, sorry.")],
    [("user", "hm"), ("assistant", "yes, well")],
]


@pytest.mark.parametrize(
    ("settings", "reasons"),
    [
        ({}, [None, None, None, None]),
        ({"drop": {"task": ["opinion"]}}, ["traits.task", "traits.task", None, None]),
        ({"drop": {"language": ["de"]}}, [None, "traits.language", None, None]),
        ({"drop": {"flags": ["refusal"]}}, [None, None, "traits.flags", None]),
        ({"keep": {"language": ["de"]}}, ["traits.language", None, "traits.language", None]),
        (
            {"keep": {"language": ["de"]}, "drop": {"task": ["opinion"], "language": ["und"]}},
            ["traits.language", "traits.task", "traits.language", "traits.language"],
        ),
    ],
)
def test_rows_go_by_what_is_told_of_them(settings: dict[str, Any], reasons: list[str | None]) -> None:
    done = traits.apply(table(*ROWS), Config(**settings))
    assert done["drop"].to_pylist() == reasons


def test_a_value_that_no_row_has_is_refused() -> None:
    with pytest.raises(ValueError, match="task is never 'opinions'; did you mean 'opinion'"):
        Config(drop={"task": ("opinions",)})


def test_marked_rows_and_a_stage_that_is_off_say_nothing() -> None:
    rows = schema.mark(table(*ROWS), "drop", ["quality.echo", None, None, None])
    done = traits.apply(rows, Config())
    assert done["traits"].is_null().to_pylist() == [True, False, False, False]
    assert done["drop"].to_pylist() == ["quality.echo", None, None, None]
    off = traits.apply(rows, Config(enabled=False, drop={"task": ("opinion",)}))
    assert off["traits"].type == schema.TRAITS
    assert off["traits"].null_count == 4
    assert off["drop"].equals(rows["drop"])


turns = (
    st.lists(st.tuples(st.sampled_from(schema.ROLES), st.none() | st.text(max_size=300)), max_size=5)
    | st.none()
)


@settings(deadline=None)
@given(rows=st.lists(turns, max_size=6))
def test_a_row_is_told_of_alone_as_among_others(rows: list[Any]) -> None:
    whole = traits.apply(table(*rows), Config())
    assert whole.num_rows == len(rows)
    alone = [traits.apply(table(row), Config())["traits"] for row in rows]
    assert whole["traits"].to_pylist() == [one[0].as_py() for one in alone]
    for one in whole["traits"].drop_null().to_pylist():
        assert one["task"] in config.TASKS
        assert one["format"] in config.FORMATS
        assert one["reasoning"] in config.REASONING
        assert set(one["flags"]) <= set(config.FLAGS)


def test_no_rows_and_rows_without_messages() -> None:
    assert traits.apply(table(), Config())["traits"].type == schema.TRAITS
    assert traits.apply(table(None), Config())["traits"][0].as_py()["task"] == "text"
    assert isinstance(traits.apply(text_table(["a"]), Config()), pa.Table)
