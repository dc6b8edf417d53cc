"""Surrogates: the same for the same value and key, of the same form, valid where a format has a checksum."""

import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii.config import Config
from headrace.pipelines.stages.pii.masking.surrogates import Surrogates
from headrace.pipelines.stages.pii.search import findings_in
from tests.builders import PII_KEY


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Surrogates:
    monkeypatch.setenv("HEADRACE_PII_KEY", PII_KEY)
    return Surrogates(Config())


def entities(text: str) -> dict[str, float]:
    found = findings_in(pa.array([text], pa.large_string()), Config(recognizers="presidio"))
    return {f.entity: f.score for f in found.findings if (f.start, f.end) == (0, len(text))}


@pytest.mark.parametrize(
    ("entity", "value"),
    [
        ("CREDIT_CARD", "4111 1111 1111 1111"),
        ("CREDIT_CARD", "5555555555554444"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00"),
        ("UK_NHS", "943 476 5919"),
        ("PHONE_NUMBER", "(425) 882-8080"),
        ("PHONE_NUMBER", "+44 20 7946 0958"),
        ("US_SSN", "078-05-1121"),
        ("US_ITIN", "911-70-1234"),
        ("MAC_ADDRESS", "00:1B:44:11:3A:B7"),
    ],
)
def test_form_and_checksum_stay(made: Surrogates, entity: str, value: str) -> None:
    other = made.surrogate(entity, value)
    assert other != value
    assert re.sub(r"\w", "0", other) == re.sub(r"\w", "0", value)
    assert entities(other)[entity] >= entities(value)[entity]


def test_the_same_value_in_another_dress_is_the_same_surrogate(made: Surrogates) -> None:
    plain, dressed = (made.surrogate("PHONE_NUMBER", v) for v in ("4258828080", "(425) 882-8080"))
    assert re.sub(r"\D", "", dressed) == plain
    low, high = (made.surrogate("EMAIL_ADDRESS", v) for v in ("Ann.Lee@x.org", "ann.lee@x.org"))
    assert low == high
    assert made.hashed("PERSON", "Ann Lee") == made.hashed("PERSON", "ANN  LEE")
    assert made.hashed("PERSON", "Ann Lee") != made.hashed("LOCATION", "Ann Lee")


def test_names_keep_their_parts(made: Surrogates) -> None:
    whole, first = made.surrogate("PERSON", "Ann Lee"), made.surrogate("PERSON", "Ann")
    assert whole.split()[0] == first
    titled = made.surrogate("PERSON", "Dr. ann J. LEE")
    assert titled.startswith("Dr. ")
    assert titled.split()[1] == first.lower()
    assert re.fullmatch(r"[A-Z]\.", titled.split()[2])
    assert titled.split()[3] == whole.split()[1].upper()


def test_another_key_makes_another_surrogate(made: Surrogates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PII_KEY", PII_KEY[::-1])
    other = Surrogates(Config())
    for entity, value in (
        ("PERSON", "Ann Lee"),
        ("PHONE_NUMBER", "4258828080"),
        ("US_PASSPORT", "A12345678"),
    ):
        assert made.surrogate(entity, value) != other.surrogate(entity, value)
        assert made.hashed(entity, value) != other.hashed(entity, value)


def test_addresses_are_made_up_ones(made: Surrogates) -> None:
    assert re.fullmatch(r"[\w.]+@example\.(com|org|net)", made.surrogate("EMAIL_ADDRESS", "ann@x.org"))
    assert re.fullmatch(r"\d+(\.\d+){3}", made.surrogate("IP_ADDRESS", "1.2.3.4"))
    assert made.surrogate("IP_ADDRESS", "fe80::1").count(":") == 7


def test_no_value_stands_for_itself(made: Surrogates) -> None:
    import faker

    fake = faker.Faker("en_US")
    fake.seed_instance(1)
    names = [fake.first_name() for _ in range(300)] + ["Van", "Sir", "De Van", "J"]
    assert all(made.surrogate("PERSON", name).lower() != name.lower() for name in names)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("12/01/2020", r"\d\d/\d\d/\d{4}"),
        ("2020-12-01", r"\d{4}-\d\d-\d\d"),
        ("May 3, 2021", r"[A-Z][a-z]+ \d\d, \d{4}"),
    ],
)
def test_dates_are_other_days_of_the_same_form(made: Surrogates, value: str, form: str) -> None:
    assert re.fullmatch(form, made.surrogate("DATE_TIME", value))


def test_a_wallet_has_its_checksum(made: Surrogates) -> None:
    value = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
    assert entities(made.surrogate("CRYPTO", value))["CRYPTO"] == 1.0


def test_what_cannot_be_scrambled_stays_and_ends(made: Surrogates) -> None:
    assert made.surrogate("X_NUMBER", "½") == "½"


@given(value=st.text(st.sampled_from("AbÉ٣7 -._+"), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_value_keeps_its_form(value: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_PII_KEY", PII_KEY)
        made = Surrogates(Config())
    other = made.surrogate("X_NUMBER", value)
    assert len(other) == len(value)
    for old, new in zip(value, other, strict=True):
        assert (old.isdecimal(), old.isalpha(), old.isupper()) == (
            new.isdecimal(),
            new.isalpha(),
            new.isupper(),
        )
        assert old.isalnum() or old == new
    assert other == made.surrogate("X_NUMBER", value)
