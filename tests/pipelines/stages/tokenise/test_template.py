"""Chat templates written after real models': ids as Hugging Face gives them, loss on exact spans."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from headrace.cluster.errors import ModelError
from headrace.pipelines import structure
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer as Chat
from tests.builders import table
from tests.pipelines.stages.tokenise.chats import SPECIALS, TEMPLATES, Make, native, spans, tokens

CHATML = TEMPLATES["chatml"]


ASK, SAY = ("user", "What is 2 + 2?"), ("assistant", "It is 4.")
SYSTEM = ("system", "You are terse.")


@pytest.mark.parametrize(
    ("name", "conversation", "wanted"),
    [
        ("chatml", [ASK, SAY], ["It is 4.<|im_end|>"]),
        ("chatml", [SYSTEM, ASK, SAY, ASK, SAY], ["It is 4.<|im_end|>", "It is 4.<|im_end|>"]),
        ("chatml", [ASK, SAY, ("tool", "4"), SAY], ["It is 4.<|im_end|>", "It is 4.<|im_end|>"]),
        ("default_system", [ASK, SAY], ["It is 4.<|im_end|>"]),
        (
            "default_system",
            [SYSTEM, ASK, SAY, ("tool", "x"), SAY],
            ["It is 4.<|im_end|>", "It is 4.<|im_end|>"],
        ),
        ("llama3", [SYSTEM, ASK, SAY], ["It is 4.<|eot_id|>"]),
        ("llama3", [("user", "  hi \n"), ("assistant", "\n\nYes. ")], ["Yes.<|eot_id|>"]),
        ("gemma", [ASK, SAY, ASK, SAY], ["It is 4.<end_of_turn>", "It is 4.<end_of_turn>"]),
        ("gemma_folds", [SYSTEM, ASK, SAY, ASK, SAY], ["It is 4.<end_of_turn>", "It is 4.<end_of_turn>"]),
        ("mistral", [ASK, SAY, ASK, SAY], [" It is 4.</s>", " It is 4.</s>"]),
        ("mistral", [SYSTEM, ASK, SAY, ASK, SAY], [" It is 4.</s>", " It is 4.</s>"]),
        ("llama2", [SYSTEM, ASK, SAY, ASK, SAY], [" It is 4. </s>", " It is 4. </s>"]),
        ("alpaca", [SYSTEM, ASK, SAY], ["It is 4.\n\n</s>"]),
        ("alpaca", [ASK, SAY, ASK, SAY], ["It is 4.\n\n", "It is 4.\n\n</s>"]),
    ],
)
def test_loss_is_on_what_the_assistant_must_say(
    make: Make, name: str, conversation: list[tuple[str, str]], wanted: list[str]
) -> None:
    chat = make(name)
    (sample,) = tokens(chat, conversation)
    assert spans(chat, sample) == wanted
    ended = [chat.eos_id] if name == "alpaca" else []
    assert sample["input_ids"] == native(chat, conversation) + ended


REASONED = ("assistant", "<think>\nTwo and two.\n</think>\n\nIt is 4.")


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("qwen3", "<think>\nTwo and two.\n</think>\n\nIt is 4.<|im_end|>"),
        ("deepseek", "Two and two.\n</think>\n\nIt is 4.<|end|>"),  # its generation prompt begins to think
    ],
)
def test_reasoning_is_learned_in_every_turn(make: Make, name: str, span: str) -> None:
    chat = make(name)
    (sample,) = tokens(chat, [ASK, REASONED, ASK, REASONED])
    assert spans(chat, sample) == [span] * 2
    assert chat.decode(sample["input_ids"]).count("<think>\nTwo and two.\n</think>\n\nIt is 4.") == 2


def test_an_empty_reasoning_block_that_the_template_adds_is_there_and_not_learned(make: Make) -> None:
    chat = make("qwen3")
    (sample,) = tokens(chat, [ASK, SAY])
    assert spans(chat, sample) == ["It is 4.<|im_end|>"]
    assert sample["input_ids"] == native(chat, [ASK, SAY])


def test_think_is_one_token(make: Make) -> None:
    chat = make("qwen3")
    (sample,) = tokens(chat, [ASK, REASONED])
    assert sample["input_ids"].count(chat.hf.convert_tokens_to_ids("<think>")) == 1


def test_conversations_that_differ_only_in_text_share_a_shape(make: Make) -> None:
    chat = make("qwen3")
    many = [[("user", f"q{i}"), ("assistant", f"<think>\nr{i}\n</think>\n\na{i}")] for i in range(50)]
    before = len(chat._programs)
    found = tokens(chat, *many)
    assert len(chat._programs) - before <= 1
    assert [s["input_ids"] for s in found] == [native(chat, c) for c in many]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("chatml", ["You are terse.<|im_end|>", "What is 2 + 2?<|im_end|>", "It is 4.<|im_end|>"]),
        ("llama3", ["You are terse.<|eot_id|>", "What is 2 + 2?<|eot_id|>", "It is 4.<|eot_id|>"]),
        # ".\\n" is one token here, and belongs to the content that it starts in
        ("gemma_folds", ["You are terse.\n", "What is 2 + 2?<end_of_turn>", "It is 4.<end_of_turn>"]),
    ],
)
def test_loss_all_is_on_every_content_and_what_ends_it(make: Make, name: str, wanted: list[str]) -> None:
    chat = make(name)
    (sample,) = tokens(chat, [SYSTEM, ASK, SAY], loss="all")
    assert spans(chat, sample) == wanted


def test_a_template_that_refuses_gives_its_reason_and_no_sample(make: Make) -> None:
    rows = table([SYSTEM, ASK, SAY], [ASK, SAY], [SAY, ASK])
    marked, samples = tokenise.apply(rows, tokenise.Config(), make("gemma"), {})
    assert marked["error"].to_pylist() == ["tokenise.error", None, "tokenise.error"]
    assert marked["detail"].to_pylist() == [
        "System role not supported",
        None,
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ]
    assert samples["row_id"].to_pylist() == [1]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("engine", ["auto", "tokenizers"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_ids_are_those_of_apply_chat_template(
    make: Make, name: str, engine: str, data: st.DataObject
) -> None:
    made = make(name, engine)
    chat = Chat(made.name, made.encoder.engine, earlier="as_template")  # type: ignore[arg-type]
    letters = st.text(st.sampled_from(" \n\tab.,A1é漢\u3000<>/|[]'#\u0301"), min_size=1, max_size=12)
    text = letters.filter(str.strip)
    thought = st.tuples(letters, letters).map(lambda t: f"<think>{t[0]}</think>{t[1]}")
    turns = data.draw(st.lists(st.tuples(text, text | thought), min_size=1, max_size=3))
    conversation = [m for ask, say in turns for m in (("user", ask), ("assistant", say))]
    config = tokenise.Config(max_length=4096)
    marked, samples = tokenise.apply(table(conversation), config, chat, {"s": "all"})
    assert marked["error"].null_count == 1
    wanted = native(chat, conversation)
    (found,) = samples["input_ids"].to_pylist()
    assert found in (wanted, [*wanted, chat.eos_id] if name == "alpaca" else wanted)
    assert None not in chat._programs.values()
    assert chat.engine == ("tokenizers" if engine == "tokenizers" else "gigatoken")


def test_a_content_of_white_space_alone_carries_no_loss(make: Make) -> None:
    rows = table([ASK, ("assistant", " \n")])
    marked, samples = tokenise.apply(rows, tokenise.Config(), make("llama3"), {})
    assert marked["drop"].to_pylist() == ["tokenise.no_target"]
    assert samples.num_rows == 0


@pytest.mark.parametrize("name", ["chatml", "llama3", "gemma", "qwen3", "mistral", "llama2"])
def test_a_special_token_written_by_a_user_is_text(make: Make, name: str) -> None:
    chat = make(name)
    mark = SPECIALS.get(name, ["</s>"])[-1]
    conversation = [("user", f"ignore {mark}{mark} all"), ("assistant", f"no {mark} here")]
    (plain,) = tokens(chat, [("user", "ignore all"), ("assistant", "no here")])
    (sample,) = tokens(chat, conversation)
    number = chat.hf.convert_tokens_to_ids(mark)
    assert sample["input_ids"].count(number) == plain["input_ids"].count(number)
    assert f"no {mark} here" in spans(chat, sample)[0]


def test_white_space_that_a_special_token_swallows(make: Make) -> None:
    """Phi-3's header tokens strip what follows them, also when that is the content's own."""
    template = (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    marks = [AddedToken(t, rstrip=True, special=True) for t in ("<|user|>", "<|assistant|>", "<|end|>")]
    chat = make("phi3", template=template, specials=marks)
    conversation = [("user", " \n spaced"), ("assistant", "  said  "), ("user", "again"), ("assistant", "x")]
    (sample,) = tokens(chat, conversation)
    assert sample["input_ids"] == native(chat, conversation)
    assert spans(chat, sample) == ["said  <|end|>", "x<|end|>"]


def test_a_template_that_changes_contents_is_rendered_row_by_row(make: Make) -> None:
    chat = make("upper", template=CHATML.replace("message.content", "message.content | upper"))
    (sample,) = tokens(chat, [ASK, ("assistant", "It is four.")])
    assert spans(chat, sample) == ["IT IS FOUR.<|im_end|>"]
    assert sample["input_ids"] == native(chat, [ASK, ("assistant", "It is four.")])
    (sample,) = tokens(chat, [ASK, ("assistant", "It is four.")], loss="all")
    assert spans(chat, sample) == ["WHAT IS 2 + 2?<|im_end|>", "IT IS FOUR.<|im_end|>"]


@pytest.mark.parametrize("shown", ["message.content | replace('no', 'yes')", "message.content[:99]"])
def test_nobody_forges_a_turn_where_rows_are_rendered_by_themselves(make: Make, shown: str) -> None:
    chat = make("odd", template=CHATML.replace("message.content", shown))
    (sample,) = tokens(chat, [ASK, ("assistant", "no <|im_end|> here")])
    (plain,) = tokens(chat, [ASK, SAY])
    end = chat.special["<|im_end|>"]
    assert sample["input_ids"].count(end) == plain["input_ids"].count(end) == 2
    assert "<|im_end|> here<|im_end|>" in spans(chat, sample)[0]


def test_a_template_that_reads_the_clock_is_told_a_fixed_day(make: Make) -> None:
    chat = make("dated", template="{{ strftime_now('%d %b %Y') }}\n" + CHATML)
    (sample,) = tokens(chat, [ASK, SAY])
    assert chat.hf.decode(sample["input_ids"]).startswith("26 Jul 2024\n")


def test_a_template_without_the_answer_is_refused(make: Make) -> None:
    with pytest.raises(ModelError, match="nothing of what an assistant says"):
        make(
            "mute",
            template="{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
        )


def test_a_template_that_refuses_a_plain_exchange_is_refused(make: Make) -> None:
    with pytest.raises(ModelError, match=r"refuses a question and its answer.*never"):
        make("never", template="{{ raise_exception('never') }}")


def test_a_broken_template_is_named(make: Make) -> None:
    with pytest.raises(ModelError, match="is no Jinja"):
        make("broken", template="{% for m in messages %}")


def test_a_directory_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"is not a tokenizer directory: it has none of tokenizer\.json"):
        Chat(str(tmp_path))


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing"):
        Chat(str(tmp_path / "missing"))


def test_shapes_never_met_before_are_cut_right(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of orders of roles: cuts are remembered by the words between two turns, and stay exact."""
    monkeypatch.setattr("headrace.pipelines.stages.tokenise.template.REMEMBERED", 50)
    chat = make("chatml", template=CHATML)
    conversations = [
        [ASK, *(("tool", "4") if number >> bit & 1 else SAY for bit in range(7)), SAY]
        for number in range(128)
    ]
    found = tokens(chat, *conversations)
    for sample, conversation in zip(found, conversations, strict=True):
        assert sample["input_ids"] == native(chat, conversation)
        answers = sum(role == "assistant" for role, _ in conversation)
        assert spans(chat, sample) == ["It is 4.<|im_end|>"] * answers
    assert len(chat._programs) <= 50


CALL = {"type": "function", "function": {"name": "look", "arguments": {}}}


def test_the_reason_of_a_template_is_told_of_rows_with_calls_too(make: Make) -> None:
    called = ("assistant", structure.sealed("", {"tool_calls": [CALL]}))
    marked, _ = tokenise.apply(table([ASK, called, SAY]), tokenise.Config(), make("gemma"), {})
    assert marked["detail"].to_pylist() == [
        "the chat template refuses it: Conversation roles must alternate user/assistant/user/assistant/..."
    ]


@pytest.mark.parametrize("joined", ["~", "+"])
def test_a_reason_that_quotes_a_conversation_is_told_without_it(make: Make, joined: str) -> None:
    refusal = f"raise_exception('Role ' {joined} m.role {joined} ' may not say ' {joined} m.content)"
    template = "{% for m in messages if m.role == 'tool' %}{{ " + refusal + " }}{% endfor %}" + CHATML
    chat = make("chatml", template=template)
    called = ("assistant", structure.sealed("", {"tool_calls": [CALL]}))
    result = ("tool", structure.sealed("a secret", {"name": "look"}))
    marked, _ = tokenise.apply(
        table([ASK, called, result, SAY], [ASK, SAY, ("tool", "a secret"), SAY]), tokenise.Config(), chat, {}
    )
    plain, other = "Role ... may not say ...", "the chat template refuses it: "
    assert [d.removeprefix(other) for d in marked["detail"].to_pylist()] == [plain, plain]
