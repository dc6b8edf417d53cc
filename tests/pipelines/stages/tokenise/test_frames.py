"""Frames: what templates written after real models' put around contents comes off again."""

import numpy as np
import pyarrow as pa
import pytest

from headrace.pipelines.stages.pack import stage as pack
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.tokenise.decode import Decoder
from headrace.pipelines.stages.tokenise.frames import frames
from tests.builders import table
from tests.pipelines.stages.tokenise.chats import TEMPLATES, Make

TALKS = [
    [("user", "what is\nnew?"), ("assistant", "user of 12"), ("user", "ok"), ("assistant", "bye")],
    [("system", "be brief"), ("user", "one\n\ntwo"), ("assistant", "fine")],
]
REFUSED = ("gemma", TALKS[1])  # a template without a system turn


def contents(make: Make, name: str, template: str, talk: list[tuple[str, str]]) -> list[str]:
    """Contents of a conversation that was tokenised, packed and decoded."""
    tokenizer = make(name, template=template)
    config = tokenise.Config(max_length=256)
    marked, samples = tokenise.apply(table(talk), config, tokenizer, {"s": "all"})
    assert marked["error"].null_count == 1, marked["detail"]
    rows = pack.apply(samples, pack.Config(), config, pad_id=tokenizer.pad_id)
    around = frames(tokenizer)
    runs = Decoder(tokenizer).runs(rows)
    texts: list[str] = around.contents(runs.texts, runs.before).texts.to_pylist()
    return texts


@pytest.mark.parametrize(
    ("name", "talk"), [(n, t) for n in sorted(TEMPLATES) for t in TALKS if (n, t) != REFUSED]
)
def test_contents_come_back(make: Make, name: str, talk: list[tuple[str, str]]) -> None:
    due = [content for _, content in talk]
    got = [c.strip() for c in contents(make, name, "", talk)]
    if (
        name in ("gemma_folds", "mistral") and talk[0][0] == "system"
    ):  # which puts the system turn into the user's
        due = [f"{due[0]}\n\n{due[1]}", *due[2:]]
    assert [c for c in got if c] == due


def test_separators_part_messages_where_there_are_no_special_tokens(make: Make) -> None:
    alpaca = (
        "{% for m in messages %}{{ '### ' + m.role + ':\n' }}"
        "{% generation %}{{ m.content }}{% endgeneration %}{{ '\n\n' }}{% endfor %}"
    )
    got = contents(make, "alpaca", alpaca, TALKS[0])
    assert [c.strip() for c in got] == [content for _, content in TALKS[0]]


def test_heads_tell_who_speaks(make: Make) -> None:
    tokenizer = make("chatml")
    around, start = frames(tokenizer), tokenizer.special["<|im_start|>"]
    runs = [
        ("user\nhi", start),
        ("assistant\nuser\n", start),
        ("\n", tokenizer.special["<|im_end|>"]),
        ("no frame", start),
        ("user\nhé", -1),  # a plain text that begins so
        ("user\nhé", start),
    ]
    texts = pa.array([text for text, _ in runs], pa.large_string())
    found = around.contents(texts, np.array([before for _, before in runs]))
    said = [
        (around.roles[role], text) for role, text in zip(found.speakers, found.texts.to_pylist(), strict=True)
    ]
    due = [("user", "hi"), ("assistant", "user\n"), ("", "no frame"), ("", "user\nhé"), ("user", "hé")]
    assert said == due
    assert found.runs.tolist() == [0, 1, 3, 4, 5]
    later = around.contents(texts.slice(1, 3), np.array([before for _, before in runs[1:4]]))
    assert (later.texts.to_pylist(), later.runs.tolist()) == (["user\n", "no frame"], [0, 2])
