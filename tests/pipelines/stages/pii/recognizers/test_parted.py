"""Numbers with other signs between their groups, passwords under other names, addresses with other signs."""

import pytest

from headrace.pipelines.stages.pii import stage as pii

FOUND = [
    ("CREDIT_CARD", "Take ", "4111/1111/1111/1111", " please"),
    ("CREDIT_CARD", "Take ", "4111.1111.1111.1111", ", please"),
    ("CREDIT_CARD", "Take ", "4111_1111_1111_1111", " please"),
    ("CREDIT_CARD", "Take ", "4111--1111--1111--1111", " please"),
    ("IBAN_CODE", "Pay to ", "DE89.3704.0044.0532.0130.00", " please"),
    ("IBAN_CODE", "Pay to ", "DE89_3704_0044_0532_0130_00", " please"),
    ("IBAN_CODE", "Pay to ", "DE 89 370400440532013000", " please"),
    ("US_SSN", "My ssn is ", "536/22/8726", "."),
    ("US_SSN", "My ssn is ", "536 - 22 - 8726", " now"),
    ("PASSWORD", "Passwort: ", "hunter2!x", " now"),
    ("PASSWORD", "Mot de passe : ", "hunter2!x", " now"),
    ("PASSWORD", "DB_PASSWORD=", "hunter2!x", " now"),
    ("PASSWORD", "<ns:Password>", "hunter2!x", "</ns:Password>"),
    ("EMAIL_ADDRESS", "Write to ", "jane.doe(a)example.org", " please"),
    ("EMAIL_ADDRESS", "Write to ", "jane.doe [ät] example [punkt] org", " please"),
    ("EMAIL_ADDRESS", "Write to ", "jane.doe @ example dot org", " please"),
]
NONE = [
    "4111/1111/1111/1112 is no card",
    "3.1415.9265.3589 and 4111.1111.1111.1111.1111",
    "page 4111_1111_1111_1111_2222",
    "DE89.3704.0044.0532.0130.01",
    "db_password = get_password()",
    "user_password=user_password",
    "f(a)self.value",
]


def test_values_are_found_as_a_whole() -> None:
    texts = [before + value + behind for _, before, value, behind in FOUND]
    seen: dict[int, set[tuple[str, str]]] = {}
    for one in pii.find(texts).to_pylist():
        if one["score"] >= 0.4:
            value = texts[one["row"]][one["start"] : one["end"]]
            seen.setdefault(one["row"], set()).add((one["entity"], value))
    missed = [case for row, case in enumerate(FOUND) if (case[0], case[2]) not in seen.get(row, set())]
    assert missed == []


@pytest.mark.parametrize("text", NONE)
def test_what_has_no_checksum_and_no_value_is_none(text: str) -> None:
    kinds = {"CREDIT_CARD", "IBAN_CODE", "PASSWORD", "EMAIL_ADDRESS"}
    assert [one for one in pii.find([text]).to_pylist() if one["entity"] in kinds] == []
