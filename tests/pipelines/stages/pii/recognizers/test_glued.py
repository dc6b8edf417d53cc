"""Values within words: found with letters around them; names of code, hashes and part numbers are none."""

import pytest

from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config

JOINED = ("joined_emails", "joined_phones", "joined_ssns", "joined_cards")


def joined(text: str) -> list[str]:
    rows = pii.find([text], Config()).to_pylist()
    return [text[r["start"] : r["end"]] for r in rows if r["recognizer"] in JOINED]


@pytest.mark.parametrize(
    "text",
    [
        "a@b.compute()",
        "x@model.components_",
        "@click.command",
        "@app.comma",
        "u@nn.network",
        "jane@example.community",  # a suffix that there is
        "jane@example.com",
        "@media.comScreen",
        "id4155550123",
        "img2025550123.jpg",
        "tel1234567890",  # no number of the plan
        "sha a4111111111111111b",  # hexadecimal
        "card4111111111111112x",  # no checksum
        "x+1234567",
        "v000-12-3456a",
        "AB666-12-3456",
        "p1415-555-0123",
    ],
)
def test_names_of_code_hashes_and_numbers_of_parts_are_no_values(text: str) -> None:
    assert joined(text) == []


def test_a_value_within_a_word_is_replaced_and_what_is_around_it_stays() -> None:
    from tests.builders import contents_of, text_table

    texts = ["write jane@example.comThanks or tel4155550123now", "jane@example.com"]
    after = pii.apply(text_table(texts), Config())
    assert contents_of(after) == [
        ["write <EMAIL_ADDRESS_1>Thanks or tel<PHONE_NUMBER_1>now"],
        ["<EMAIL_ADDRESS_1>"],
    ]


def test_plain_presidio_looks_at_no_such_value() -> None:
    rows = pii.find(["tel4155550123now"], Config(recognizers="presidio")).to_pylist()
    assert [row for row in rows if row["score"] >= 0.4] == []
