"""Numbers that the text calls something else are no telephone numbers; planted telephone numbers all stay."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.recognizers.lists import words

NUMBERS = ("16852", "1640", "1600-555-012", "2025550123", "02079460958", "030-123456", "1600 555 012")
PLANTED = (
    "+1 202 555 0123",
    "202-555-0123",
    "(202) 555-0123",
    "+44 20 7946 0958",
    "020 7946 0958",
    "+41 (0)96 123 45 67",
    "+49 (0)30 1234567",
    "030/1234567",
    "0171 5551234",
)


def found(text: str, *, without: tuple[str, ...] = ()) -> list[tuple[int, int, str]]:
    rows = pii.find([text], Config(without=without)).to_pylist()
    return [(r["start"], r["end"], r["entity"]) for r in rows if r["score"] >= 0.4]


@pytest.mark.parametrize(
    "text",
    [
        "Case 1640-E",
        "Case No. 1640-1234",
        "Order 16852",
        "order number 16852",
        "Call us about order 16852",
        "Orders 16852, 16853 and 16854",
        "SKU 1600-555-012",
        "SKU: AB-1600-555-012",
        "Ticket #2025550123",
        "Invoice No. 4155552671",
        "INV-2024-001234",
        "Room 1640-E",
        "pages 16852-16870",
        "Rechnung Nr. 1685212",
        "36/49",
        "12345/67890",
        "rows 1640-1650",
        "1640-1650",
        "the number 0.2025550123",
        "AB-1600555",
        "1600555-E",
    ],
)
def test_what_the_text_calls_something_else_is_no_telephone_number(text: str) -> None:
    assert found(text) == []


@given(
    word=st.sampled_from(words("references")),
    number=st.sampled_from(NUMBERS),
    gap=st.sampled_from([" ", ": ", " #", " No. ", " number ", "-"]),
)
@settings(max_examples=80, deadline=None)
def test_any_word_for_a_thing_says_what_the_number_is(word: str, number: str, gap: str) -> None:
    for text in (f"so {word}{gap}{number} came", f"so {word.title()}{gap}{number} came"):
        assert "PHONE_NUMBER" not in [entity for _, _, entity in found(text)]


@given(
    ahead=st.sampled_from(
        ["", "my ", "it is ", "call ", "phone: ", "in case ", "reach us at ", "Tel. ", "mobile ", "so, Ann, "]
    ),
    number=st.sampled_from(PLANTED),
    behind=st.sampled_from(["", " please", ", thanks", ".", " (office)", "\nAnn"]),
)
@settings(max_examples=150, deadline=None)
def test_planted_telephone_numbers_are_found_as_they_were(ahead: str, number: str, behind: str) -> None:
    text = f"{ahead}{number}{behind}"
    whole = found(text, without=("references", "times"))
    assert found(text) == whole
    covered = {at for start, end, _ in whole for at in range(start, end)}
    assert {at for at in range(len(ahead), len(ahead) + len(number)) if text[at].isdigit()} <= covered


@pytest.mark.parametrize("number", [one for one in PLANTED if "+" in one or one.startswith(("202-", "(202"))])
def test_the_form_of_a_telephone_number_is_stronger_than_a_word(number: str) -> None:
    assert [entity for _, _, entity in found(f"Order {number}")] == ["PHONE_NUMBER"]


@pytest.mark.parametrize(
    "text",
    [
        "Order 16852, 020 7946 0958",
        "case call 020 7946 0958",
        "room 5, tel 020 7946 0958",
        "page fax-02079460958",
    ],
)
def test_a_number_behind_another_one_or_behind_a_telephone_stays(text: str) -> None:
    assert "PHONE_NUMBER" in [entity for _, _, entity in found(text)]


@pytest.mark.parametrize("text", ["phone 16852", "my number is 16852", "Tel 16852"])
def test_few_digits_count_behind_a_word_for_a_telephone(text: str) -> None:
    assert [entity for _, _, entity in found(text)] == ["PHONE_NUMBER"]


@pytest.mark.parametrize(
    "text",
    [
        "4556737586899855",
        "4556737586899855 07/25",
        "4556737586899855/07/25",
        "4556737586899855/0725/123",
        "4556737586899855|07|25|123",
        "pan=4556737586899855",
        "my card: 4556737586899855/7",
        "3,4556737586899855,Ann",
        "pay 4556737586899855. Thanks",
    ],
)
def test_cards_stay_beside_their_dates_and_in_tables(text: str) -> None:
    assert "CREDIT_CARD" in [entity for _, _, entity in found(text)]


@pytest.mark.parametrize("text", ["at 10.4.2.1 now", "ping 10.4.2.1", "ip: 10.4.2.1"])
def test_addresses_stay(text: str) -> None:
    assert [entity for _, _, entity in found(text)] == ["IP_ADDRESS"]


@given(
    word=st.sampled_from(words("references")),
    number=st.sampled_from(["371449635398431", "4012888888881881", "30569309025904", "6011000990139424"]),
    gap=st.sampled_from([" ", ": ", " #", " No. ", " number ", "-"]),
)
@settings(max_examples=80, deadline=None)
def test_any_word_for_a_thing_says_that_digits_are_no_card(word: str, number: str, gap: str) -> None:
    text = f"so {word.title()}{gap}{number} came"
    assert "CREDIT_CARD" in [entity for _, _, entity in found(text, without=("references",))]
    if gap == " " and word in ("problem", "issue", "question", "case", "form"):
        return  # "no problem 4111..."
    assert "CREDIT_CARD" not in [entity for _, _, entity in found(text)]
    assert "CREDIT_CARD" in [entity for _, _, entity in found(f"{text}, of my card")]


@pytest.mark.parametrize("number", ["490154203237518", "123456789012347"])
def test_fifteen_digits_that_begin_as_no_card_does_are_none_but_alone_in_a_line(number: str) -> None:
    assert "CREDIT_CARD" in [entity for _, _, entity in found(f"so {number} came", without=("references",))]
    assert found(f"so {number} came") == []
    assert [entity for _, _, entity in found(f"Which number?\n{number}\nThanks")] == ["CREDIT_CARD"]
    assert "CREDIT_CARD" in [entity for _, _, entity in found(f"my card is {number}")]


@pytest.mark.parametrize("ahead", ["no problem", "no issue", "one question", "in that case"])
def test_a_card_behind_a_word_that_is_easily_said_stays(ahead: str) -> None:
    assert [entity for _, _, entity in found(f"{ahead} 4556737586899855 ok")] == ["CREDIT_CARD"]
    assert found(f"{ahead} no. 4556737586899855 ok") == []


@pytest.mark.parametrize(
    "number", ["371449635398431", "3714 496353 98431", "4111 1111 1111 1111", "30569309025904"]
)
def test_what_an_issuer_gives_out_stays_and_so_do_groups_of_a_card(number: str) -> None:
    assert [entity for _, _, entity in found(f"so {number} came")] == ["CREDIT_CARD"]
    if " " in number:
        assert "CREDIT_CARD" in [entity for _, _, entity in found(f"order {number} came")]


def test_findings_of_presidio_alone_know_no_word_for_a_thing() -> None:
    rows = pii.find(["Order 371449635398431"], Config(recognizers="presidio")).to_pylist()
    assert "CREDIT_CARD" in [row["entity"] for row in rows if row["score"] >= 0.4]
