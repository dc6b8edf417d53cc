"""Recognisers of ours: exact spans, each switched off alone, steps that say what findings mean together."""

import re
import warnings
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.own_scanner import OwnScanner
from headrace.pipelines.stages.pii.presidio.recognizer_names import LOCALES, PRESIDIO
from headrace.pipelines.stages.pii.presidio.scanner import scanner
from headrace.pipelines.stages.pii.presidio.setup import LANGUAGE
from headrace.pipelines.stages.pii.recognizers.catalogue import RECOGNIZERS, STEPS
from headrace.pipelines.stages.pii.stage import Config
from tests.pipelines.identifiers import SAMPLES, fuzz, plain

KEY = "sk-" + "a1B2c3D4e5F6g7H8i9J0k1L2"
TOKEN = "q7Zp2Lx9Vt4Kd8Rw3Ny6"
LINES = "MIIEpAIBAAKCAQEA7" * 4 + "\n" + "x9Kd0Lq" * 5
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{LINES}==\n-----END RSA PRIVATE KEY-----"

CASES = [
    ("spelled_emails", "EMAIL_ADDRESS", "write to [[ann at example dot com]] soon"),
    ("spelled_emails", "EMAIL_ADDRESS", "write to [[ann [at] example [dot] com]] soon"),
    ("spelled_emails", "EMAIL_ADDRESS", "write to [[ann.lee(at)mail.example.org]], please"),
    ("glued_emails", "EMAIL_ADDRESS", "sure it is [[annleegmailcom]] thanks"),
    ("glued_emails", "EMAIL_ADDRESS", "sure it is [[annlee 42 hotmailcom]] thanks"),
    ("told_emails", "EMAIL_ADDRESS", "my email is [[annleeexamplecom]] thanks"),
    ("phones", "PHONE_NUMBER", "write 5 or [[166-684-7899]] there"),
    ("phones", "PHONE_NUMBER", "write [[(88) 684-334]] there"),
    ("phones", "PHONE_NUMBER", "write [[001-668-040-8670x1711]] there"),
    ("phones", "PHONE_NUMBER", "write [[+41 (0)96 123 45 67]] there"),
    ("phones", "PHONE_NUMBER", "write [[+44(0)20 7946 0958]], or not"),
    ("phones", "PHONE_NUMBER", "write [[0049 (0) 30/1234567]] there"),
    ("bracketed_phones", "PHONE_NUMBER", "so ([ [[4258828080]] ]) it is"),
    ("told_phones", "PHONE_NUMBER", "you can call me at [[449 4898]] today"),
    ("told_phones", "PHONE_NUMBER", "[[22 498317]] office"),
    ("told_ssns", "US_SSN", "my ssn is [[4821]] and that"),
    ("told_cards", "CREDIT_CARD", "my card number is [[4111 1111 1111 1112]] ok"),
    ("told_cards", "CREDIT_CARD", "credit card ending in [[4821]] ok"),
    ("grouped_cards", "CREDIT_CARD", "so [[1234 5678 1234 5678]] it is"),
    ("told_accounts", "US_BANK_NUMBER", "the account number is [[48213]] then"),
    ("told_ids", "ID_NUMBER", "policy number [[abc 482139]] then"),
    ("told_ids", "ID_NUMBER", "policy [[abc 482139]] then"),
    ("told_ids", "ID_NUMBER", "IMEI: [[490154203237518]] then"),
    ("joined_emails", "EMAIL_ADDRESS", "write to [[jane.roe@example.com]]Thanks, and"),
    ("joined_emails", "EMAIL_ADDRESS", "write to [[xjohn@x.com]]y now"),
    ("joined_emails", "EMAIL_ADDRESS", "an [[jane@web.de]]Telefon, dann"),
    ("joined_phones", "PHONE_NUMBER", "so tel[[4155550123]]now it is"),
    ("joined_phones", "PHONE_NUMBER", "so Phone:[[4155550123]] it is"),
    ("joined_phones", "PHONE_NUMBER", "so office[[415-555-0123]] it is"),
    ("joined_phones", "PHONE_NUMBER", "so [[415-555-0123]]or it is"),
    ("joined_phones", "PHONE_NUMBER", "so fax[[+442079460958]]or it is"),
    ("joined_ssns", "US_SSN", "so ssn[[123-45-6789]] it is"),
    ("joined_ssns", "US_SSN", "so [[123-45-6789]]and it is"),
    ("parted_cards", "CREDIT_CARD", "so [[4111/1111/1111/1111]] it is"),
    ("parted_ibans", "IBAN_CODE", "so [[DE89.3704.0044.0532.0130.00]] it is"),
    ("joined_cards", "CREDIT_CARD", "so card[[4111111111111111]]exp it is"),
    ("joined_cards", "CREDIT_CARD", "so [[4111-1111-1111-1111]]thanks it is"),
    ("dates", "DATE_TIME", "on [[the 3rd of May 2021]] then"),
    ("dates", "DATE_TIME", "on [[May 3, 2021]] then"),
    ("dates", "DATE_TIME", "on [[3 May]] then"),
    ("dates", "DATE_TIME", "on [[may third]] then"),
    ("dates", "DATE_TIME", "in [[October 1999]] then"),
    ("dates", "DATE_TIME", "at [[20210503T101500Z]] then"),
    ("introductions", "PERSON", "my name is [[ann lee]] and so on"),
    ("introductions", "PERSON", "Oh, I'm [[Zuleika Dobson]], hello"),
    ("introductions", "PERSON", "This is [[Bob]] speaking."),
    ("introductions", "PERSON", "Name: [[Zuleika van der Berg]]\nmore"),
    ("namings", "PERSON", "everybody can call me [[Zuleika]] here"),
    ("namings", "PERSON", "yes i am [[peter]] and"),
    ("labels", "PERSON", "Agent [[Zuleika]]: what is it?"),
    ("labels", "PERSON", "well\n[[John Dobson]]: what is it?"),
    ("greetings", "PERSON", "Hi [[Zuleika]], how is it?"),
    ("signoffs", "PERSON", "so it is.\n\nBest regards,\n[[Zuleika Dobson]]"),
    ("titles", "PERSON", "so did Dr. [[O'Neill]] and"),
    ("titles", "PERSON", "is mrs. [[dobson]] there?"),
    ("titles", "PERSON", "yes, ms [[dobson]] said so"),
    ("titles", "PERSON", "give it to ms [[Dobson]] today"),
    ("titles", "PERSON", "so mr [[Dobson]] and"),
    ("titles", "PERSON", "MR [[DOBSON]] and"),
    ("streets", "STREET_ADDRESS", "at [[221 Baker Street, Springfield, IL 62701]]."),
    ("streets", "STREET_ADDRESS", "at [[40 rue Victor Hugo]]."),
    ("streets", "STREET_ADDRESS", "at [[4 hilltop avenue]] now"),
    ("glued_streets", "STREET_ADDRESS", "in [[Hauptstraße 5, 10115 Berlin]]"),
    ("glued_streets", "STREET_ADDRESS", "in [[Kärntner Straße 12, 1010 Wien]]"),
    ("numbered_places", "STREET_ADDRESS", "to [[12 Camino Largo 91 Apt. 5]] now"),
    ("numbered_places", "STREET_ADDRESS", "to [[672 hillcrest boston ma 02824]] now"),
    ("told_addresses", "STREET_ADDRESS", "her address: [[85 Trg Slobode 12]] now"),
    ("boxes", "STREET_ADDRESS", "to [[P.O. Box 4821]] now"),
    ("boxes", "STREET_ADDRESS", "to [[PSC 5605, Box 8122\nAPO AP 96504]] now"),
    ("units", "STREET_ADDRESS", "it is [[Suite 286]] now"),
    ("postcodes", "STREET_ADDRESS", "my zip code is [[35649]] now"),
    ("corners", "STREET_ADDRESS", "the corner of [[Elm Street and Oak Avenue]] now"),
    ("api_keys", "API_KEY", f"use [[{KEY}]] there"),
    ("api_keys", "API_KEY", f"Authorization: Bearer [[{TOKEN}abc]]"),
    ("assigned_secrets", "API_KEY", f'token = "[[{TOKEN}]]"'),
    ("passwords", "PASSWORD", "my password is [[hunter2]], yes"),
    ("passwords", "PASSWORD", "the password is [[swordfish]]."),
    ("passwords", "PASSWORD", "ftp://ann:[[s3cret!]]@example.com/x"),
    ("private_keys", "PRIVATE_KEY", f"so\n[[{PEM}]]\nthere"),
    ("spelled_emails", "EMAIL_ADDRESS", "write to [[ann @ example . com]] soon"),
    ("spelled_emails", "EMAIL_ADDRESS", "write to [[ann [@] example.com]] soon"),
    ("spelled_emails", "EMAIL_ADDRESS", "write to [[ann@ example.com]] soon"),
    ("spelled_emails", "EMAIL_ADDRESS", "write to [[ann@example .com]] soon"),
    ("spelled_emails", "EMAIL_ADDRESS", "write to [[ann_at_example_dot_com]] soon"),
    ("wrapped_emails", "EMAIL_ADDRESS", "write to [[ann.lee@\n> example.org]] soon"),
    ("wrapped_emails", "EMAIL_ADDRESS", "write to [[ann.lee\n@example.org]] soon"),
    ("wrapped_emails", "EMAIL_ADDRESS", "write to [[ann.lee@example.\norg]] soon"),
    ("wrapped_emails", "EMAIL_ADDRESS", "write to [[ann.lee@exam\nple.org]] soon"),
    ("wrapped_emails", "EMAIL_ADDRESS", "write to [[ann.lee@exam-\r\nple.co.uk]] soon"),
    ("wrapped_emails", "EMAIL_ADDRESS", "write to [[ann.lee@mail.\nexample.org]] soon"),
    ("wrapped_emails", "EMAIL_ADDRESS", "write to [[ann.lee@example\n.org]] soon"),
    ("wrapped_phones", "PHONE_NUMBER", "call [[(425) 882\n8080]] soon"),
    ("wrapped_phones", "PHONE_NUMBER", "call [[+49 30\n901820-55]] soon"),
    ("wrapped_phones", "PHONE_NUMBER", "call [[(425)\n882-8080]] soon"),
    ("wrapped_phones", "PHONE_NUMBER", "call [[425-882-\r\n8080]] soon"),
    ("wrapped_phones", "PHONE_NUMBER", "phone: [[020 7946\n0958]] now"),
    ("wrapped_cards", "CREDIT_CARD", "take [[4111 1111\n1111 1111]] now"),
    ("wrapped_cards", "CREDIT_CARD", "take [[4111-1111-1111-\n1111]] now"),
    ("wrapped_cards", "CREDIT_CARD", "take [[3782 822463\n10005]] now"),
    ("wrapped_cards", "CREDIT_CARD", "take [[4111\t1111\t1111\t1111]] now"),
    ("wrapped_ibans", "IBAN_CODE", "to [[DE89 3704 0044\n0532 0130 00]] now"),
    ("wrapped_ssns", "US_SSN", "it is [[536-22-\n8726]] now"),
]
NONE = [
    "5241\n3698 1025 7896 4521 then",
    "1111 2222\n4111 1111\n1111 1111\n3333 4444",
    "hello\n@example.com said",
    "ask hello@work\nexample.com says",
    "@property\nself.com",
    "f(425) 882\n8080",
    "(425) 882\n8080.5",
    "if its name is specified, or the file name is valid",
    "Unknown MS Compiler version",
    "write to me@\n12.5 apples",
    "in 2010-\n2011-2012",
    "DE12 3456 7890\n1234 5678 90",
    "look at this dot com company",
    "meet me at gmail dot com",
    "four people live in it",
    "I'm Sorry, I'm Italian",
    "Hello World!",
    "Dear Sir or Madam,",
    "Note: this. Total Cost: 5",
    "they may 3 times march 4 miles",
    "it takes 2 hours drive down the road",
    "20 people walk the street",
    "offering 20% off",
    "Brigade 5 came",
    "the corner of the room and the wall",
    "password: string",
    "password = getpass()",
    "your password is incorrect",
    "token: YOUR_TOKEN_GOES_HERE_1234",
    "the hotel name is Central Inn",
    "bare 1999 and Monday",
    "call me back later",
    "is it 12 at 5 or 6",
    "10,000 apartments 359.60",
    "in 2010 3 teams in 2011",
    "ms Latency was 40",
    "40 ms Dobson",
    "p99 (ms Response)",
    "it takes 20 ms later",
    "MS Word and MS Excel 2010",
    "the MR Review and the mr Request",
    "our DR Site, dr Total",
]


def found(text: str, **switches: Any) -> list[Finding]:
    rows = pii.find([text], Config(**switches)).to_pylist()
    return [Finding(r["start"], r["end"], r["entity"], r["score"], r["recognizer"]) for r in rows]


@pytest.mark.parametrize(("name", "entity", "marked"), CASES)
def test_spans_are_exact(name: str, entity: str, marked: str) -> None:
    text = marked.replace("[[", "", 1).replace("]]", "", 1)
    start, end = marked.index("[["), marked.rindex("]]") - 2
    mine = [one for one in found(text, without=("overlaps",)) if one.recognizer == name]
    assert [(one.start, one.end, one.entity) for one in mine] == [(start, end, entity)], mine
    assert mine[0].score >= 0.4


@pytest.mark.parametrize(
    ("ahead", "behind"),
    [
        *[("[[", "]]"), ("((", "))"), ("{{", "}}"), ("<<", ">>"), ("[[[", "]]]"), ("([", "])"), ("[(", ")]")],
        *[("{[", "]}"), ('[["', '"]]'), ("[('", "')]"), ("[[ ", " ]]"), ("''", "''"), ('""', '""')],
        *[("``", "``"), ("==", "==")],
    ],
)
def test_a_value_in_nested_brackets_or_quotes_is_found(ahead: str, behind: str) -> None:
    values = {
        "PHONE_NUMBER": ["4258828080", "425-882-8080", "+1 425 882 8080", "+49 30 901820", "020 7946 0958"],
        "EMAIL_ADDRESS": ["jane.doe@example.org"],
        "IBAN_CODE": ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00"],
        "CREDIT_CARD": ["4111111111111111", "4111 1111 1111 1111"],
    }
    for entity, spelt in values.items():
        for value in spelt:
            text = f"so {ahead}{value}{behind} it is"
            start = text.index(value)
            covers = [one for one in found(text) if one.start <= start and start + len(value) <= one.end]
            assert entity in {one.entity for one in covers if one.score >= 0.4}, text


@pytest.mark.parametrize(
    "text",
    [
        *["[[1712345678, 2]]", "[[2147483647, 1]]", "[[1234567, 7654321]]", "[[4258828080.5]]"],
        *["<<4258828080=8>>", "1<<4258828080>>2"],
    ],
)
def test_numbers_in_nested_brackets_are_no_telephone_numbers(text: str) -> None:
    assert [one for one in found(text) if one.score >= 0.4 and one.start < 4] == []


def test_every_recogniser_is_tested() -> None:
    assert {name for name, _, _ in CASES} == {one.name for one in RECOGNIZERS}


@pytest.mark.parametrize("text", NONE)
def test_prose_and_code_hold_nothing(text: str) -> None:
    ours = {one.name for one in RECOGNIZERS}
    assert [one for one in found(text) if one.recognizer in ours] == []


def test_a_number_that_is_whole_ends_with_its_line() -> None:
    text = "call +49 30 90182055\n12 items"
    assert {text[one.start : one.end] for one in found(text)} == {"+49 30 90182055"}


def test_switching_one_off_removes_its_findings_only() -> None:
    text = "\n".join(marked.replace("[[", "", 1).replace("]]", "", 1) for _, _, marked in CASES)
    whole = found(text, without=STEPS)
    assert {one.recognizer for one in whole} >= {one.name for one in RECOGNIZERS} - {"labels", "told_emails"}
    for name in (*(one.name for one in RECOGNIZERS), "UrlRecognizer", "PhoneRecognizer"):
        left = found(text, without=(*STEPS, name))
        assert left == [one for one in whole if one.recognizer != name]


@given(
    text=st.text(st.sampled_from("Ann Lee I'm at dot com 12 St., May\n:=*/-@.#gmail()é Ω٣ß\x00"), max_size=60)
)
@settings(max_examples=150, deadline=None)
def test_any_text_is_examined(text: str) -> None:
    for one in found(text):
        assert 0 <= one.start < one.end <= len(text)
        assert 0 < one.score <= 1
    assert found(text, recognizers="presidio") == plain(text, context=True)


@given(parts=st.lists(st.sampled_from(SAMPLES + [c[2] for c in CASES]), max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_step_but_for_what_it_says_uncovers_anything(parts: list[str]) -> None:
    """`overlaps` leaves every character covered that was, by something that is replaced by default."""
    text = " ".join(parts)
    before, after = found(text, without=("overlaps",)), found(text)

    def covered(findings: list[Finding]) -> set[int]:
        due = [one for one in findings if one.score >= 0.4 and one.entity not in ("URL", "DATE_TIME")]
        return {at for one in due for at in range(one.start, one.end)}

    dates = {at for one in before if one.entity == "DATE_TIME" for at in range(one.start, one.end)}
    assert covered(before) - dates <= covered(after)
    assert set(after) <= set(before)


@pytest.mark.parametrize(
    ("text", "entity", "step"),
    [
        ("18000 - 3000 = <<18000-3000=15000>>15000", "PHONE_NUMBER", "sums"),
        ("so 16 - 8 - 4 = 4 are left", "PHONE_NUMBER", "sums"),
        ("see self.name and so on", "URL", "domains"),
        ("that was the end.So it goes", "URL", "domains"),
        ("now ann@example.com writes", "URL", "domains"),
        ("words[::2] and so on", "IP_ADDRESS", "domains"),
        ("bind to 0.0.0.0 please", "IP_ADDRESS", "domains"),
        ("x = count.get(word, 0)", "URL", "domains"),
        ("Alice has the policy 348779634", "US_DRIVER_LICENSE", "licences"),
        ("so 0.4556737586899855 is the quotient", "CREDIT_CARD", "sums"),
        ("4556737586899855/7 is not whole", "CREDIT_CARD", "sums"),
        ("2 * 4556737586899855 is more", "CREDIT_CARD", "sums"),
        ("it is 4556737586899855.25", "CREDIT_CARD", "sums"),
        ("running version 10.4.2.1 here", "IP_ADDRESS", "domains"),
        ("needs torch==10.4.2.1 here", "IP_ADDRESS", "domains"),
        ("at 1.2.3.4-beta now", "IP_ADDRESS", "domains"),
        ("03.05.2024 14:05", "PHONE_NUMBER", "times"),
        ("14:05 03.05.2024", "PHONE_NUMBER", "times"),
        ("Invoice 4155552671", "UK_NHS", "references"),
    ],
)
def test_steps_remove_what_is_none(text: str, entity: str, step: str) -> None:
    others = tuple(name for name in STEPS if name != step)
    assert entity in {one.entity for one in found(text, without=STEPS)}
    assert entity not in {one.entity for one in found(text, without=others) if one.score >= 0.4}


def test_real_ones_stay() -> None:
    kept = {
        "see https://example.com/a and www.example.org": "URL",
        "call 425-882-8080 = office": "PHONE_NUMBER",
        "driver's license A1234567": "US_DRIVER_LICENSE",
        "my bank account is 123456789012": "US_BANK_NUMBER",
        "NHS number 401 023 2137": "UK_NHS",
    }
    for text, entity in kept.items():
        assert entity in {one.entity for one in found(text) if one.score >= 0.4}, text


def test_a_telephone_number_is_no_nhs_number() -> None:
    assert [one.entity for one in found("my phone number is 425 882 8084 ok") if one.score >= 0.4] == [
        "PHONE_NUMBER"
    ]


def test_what_is_kept_makes_nothing_needless_that_is_replaced() -> None:
    text = "to Dr. Dobson Street 5, at 4 Dobson Street"
    for entities in (("STREET_ADDRESS",), ("PERSON",), None):
        whole, left = (found(text, entities=entities, without=off) for off in (("overlaps",), ()))
        due = {(one.start, one.end) for one in whole if entities and one.entity in entities}
        assert all(
            any(o.start <= a and b <= o.end and o.entity in (entities or ()) for o in left) for a, b in due
        )


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="did you mean 'greetings'"):
        Config(without=("greeting",))
    with pytest.raises(ValidationError, match="unknown locale 'xx'; known: au, ca, de"):
        Config(locales=("xx",))


def test_countries_bring_presidios_own_recognisers() -> None:
    text = "Steuer-ID 86095742719, codice fiscale RSSMRA85T10A562S"
    assert {"DE_TAX_ID", "IT_FISCAL_CODE"}.isdisjoint(one.entity for one in found(text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one recogniser of Italy is asked about whole texts
        got = {one.entity: text[one.start : one.end] for one in found(text, locales=("de", "it"))}
    assert got["DE_TAX_ID"] == "86095742719"
    assert got["IT_FISCAL_CODE"] == "RSSMRA85T10A562S"


def test_names_of_presidios_recognisers_are_those_installed() -> None:
    from presidio_analyzer import predefined_recognizers

    assert sorted(one.name for one in scanner(True).recognizers) == sorted(PRESIDIO)
    listed = {name for names in LOCALES.values() for name in names}
    kinds = [kind for kind in vars(predefined_recognizers).values() if isinstance(kind, type)]
    there = {kind.__name__ for kind in kinds if "country_specific" in kind.__module__}
    assert there - set(PRESIDIO) == listed
    for locale, names in LOCALES.items():
        for name in names:
            one = getattr(predefined_recognizers, name)(supported_language=LANGUAGE)
            assert one.name == name
            assert locale in (one.country_code() if callable(one.country_code) else one.country_code, locale)


def test_the_automaton_accepts_wherever_a_pattern_matches() -> None:
    import regex  # type: ignore[import-untyped]

    texts = [*fuzz(seed=5, count=150), *(c[2] for c in CASES), *NONE, PEM]
    engine = OwnScanner(RECOGNIZERS)
    rows, starts, numbers = engine._candidates(pa.array(texts, pa.large_string()))
    accepted = set(zip(rows.tolist(), starts.tolist(), numbers.tolist(), strict=True))
    sources = [(one, source, score) for one in RECOGNIZERS for source, score in one.patterns]
    for row, text in enumerate(texts):
        for number, (one, source, score) in enumerate(sources):
            for match in regex.finditer(source, text, overlapped=True):
                refused = one.narrow and one.judge and one.judge(match, score) is None
                assert refused or (row, match.start(), number) in accepted
                if text.isascii():
                    same = re.compile(source).match(text, match.start())
                    assert same is not None
                    assert (same.span(), same.groups()) == (match.span(), match.groups())


def test_the_table_names_all() -> None:
    from headrace.pipelines.stages.pii.recognizers import catalogue

    told = re.findall(r"^\| `(\w+)` \| (\w+) \|", catalogue.__doc__ or "", re.MULTILINE)
    assert told == [(one.name, one.entity) for one in RECOGNIZERS]


def test_long_repetitions_are_examined_to_the_end() -> None:
    parts = [
        "Ann ",
        "12 ",
        "call me at ",
        "a.",
        "....",
        "1 a ",
        "card number is ",
        "12 Ab ",
        "> \n",
        "1-",
        "My name is Ann ",
        "St. ",
    ]
    texts = [part * (20_000 // len(part)) for part in parts]
    engine = OwnScanner(RECOGNIZERS)
    assert not engine.find(pa.array(texts, pa.large_string())).failures
