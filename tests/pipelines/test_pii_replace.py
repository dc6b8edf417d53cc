"""Replacement: exact stand-ins of every kind, by entity and role, the same throughout a conversation."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import RecipeError
from pipelines import pii, recipe, schema
from pipelines.pii import Config
from tests.pipelines.identifiers import SAMPLES
from tests.pipelines.test_pii import MAIL, PHONE, Message, table, texts_of

SECRET = "correct horse battery staple"
PLAIN = "4258828080"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PII_KEY", SECRET)


def said(*messages: Message, **switches: Any) -> list[str]:
    return texts_of(pii.apply(table(list(messages)), Config(**switches)))[0]


def test_the_same_value_is_the_same_tag_in_every_turn() -> None:
    other = "(425) 882-8081"
    assert said(("user", f"{PHONE} or {other}"), ("assistant", f"{other}!"), ("user", PLAIN)) == [
        "<PHONE_NUMBER_1> or <PHONE_NUMBER_2>",
        "<PHONE_NUMBER_2>!",
        "<PHONE_NUMBER_1>",
    ]


def test_a_value_is_replaced_where_it_was_not_found() -> None:
    spaced = "425_882_8080"
    assert not pii.find([f"x {spaced} x"], Config(recognizers="presidio")).num_rows
    assert said(("user", f"x {spaced} x"), ("user", f"phone: {PHONE}")) == [
        "x <PHONE_NUMBER_1> x",
        "phone: <PHONE_NUMBER_1>",
    ]
    assert said(("user", f"x {spaced} x"), ("user", PHONE), least={"PHONE_NUMBER": 12})[0] == f"x {spaced} x"


@pytest.mark.parametrize(
    ("kind", "due"),
    [
        ("tag", ["at <PHONE_NUMBER_1>", "<EMAIL_ADDRESS_1>"]),
        ("mask", ["at (***) ***-****", "***.***@*******.***"]),
        ("redact", ["at ", ""]),
        ("keep", [f"at {PHONE}", MAIL]),
    ],
)
def test_kinds_without_a_key(kind: str, due: list[str]) -> None:
    assert said(("user", f"at {PHONE}"), ("user", MAIL), kind=kind) == due


def test_kinds_with_a_key_agree_over_rows() -> None:
    for kind in ("hash", "surrogate"):
        done = pii.apply(table([("user", f"at {PHONE}")], [("text", f"{PHONE}, {MAIL}")]), Config(kind=kind))
        (one,), (two,) = texts_of(done)
        assert one.removeprefix("at ") == two.split(", ")[0] != PHONE
        assert PHONE not in one
        assert MAIL not in two


def test_kinds_go_by_entity_and_role() -> None:
    talk = (("system", PHONE), ("user", f"{PHONE} {MAIL} 12/01/2020"), ("assistant", f"{PHONE} {MAIL}"))
    done = said(
        *talk,
        kind="mask",
        kinds={"EMAIL_ADDRESS": "tag"},
        roles={"system": "keep", "assistant": {"PHONE_NUMBER": "redact"}},
    )
    assert done == [PHONE, "(***) ***-**** <EMAIL_ADDRESS_1> 12/01/2020", " <EMAIL_ADDRESS_1>"]
    assert said(*talk, roles={"user": "redact"}) == [
        "<PHONE_NUMBER_1>",
        "  12/01/2020",
        "<PHONE_NUMBER_1> <EMAIL_ADDRESS_1>",
    ]


def test_an_unknown_role_is_refused() -> None:
    data = {"output": "o", "sources": [{"path": "p"}], "pii": {"roles": {"agent": "mask"}}}
    with pytest.raises(RecipeError, match="'agent' is no role; roles are system, user"):
        recipe.validate(data, "r.yaml")


@pytest.mark.parametrize("secret", [None, "sesame"])
def test_a_missing_key_is_named(secret: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_PII_KEY")
    if secret:
        monkeypatch.setenv("HEADRACE_PII_KEY", secret)
    Config().require_key()
    Config(kind="hash", enabled=False).require_key()
    for switches in (
        {"kind": "hash"},
        {"kinds": {"PERSON": "surrogate"}},
        {"roles": {"user": {"X": "hash"}}},
    ):
        with pytest.raises(
            RecipeError, match=r"pii: (hash|surrogate) need a secret.* HEADRACE_PII_KEY is "
        ) as e:
            Config(**switches).require_key()
        assert secret is None or secret not in str(e.value)


def test_the_key_is_never_written() -> None:
    config = Config()
    assert config.secret == SECRET.encode()
    assert SECRET not in repr(config) + str(config.model_dump()) + config.model_dump_json()


def test_columns_say_where_and_what() -> None:
    done = pii.apply(
        table([("user", "hi"), ("user", f"{MAIL}, {PHONE} on 12/01/2020")], [("user", "-")]), Config()
    )
    text = texts_of(done)[0][1]
    spans = done["spans"].to_pylist()
    shown = [(s["message"], text[s["start"] : s["end"]], s["entity"], s["kind"]) for s in spans[0]]
    assert shown == [
        (1, "<EMAIL_ADDRESS_1>", "EMAIL_ADDRESS", "tag"),
        (1, "<PHONE_NUMBER_1>", "PHONE_NUMBER", "tag"),
        (1, "12/01/2020", "DATE_TIME", "keep"),
    ]
    found = {
        (f["entity"], f["role"], f["recognizer"], f["kind"]): f["n"] for f in done["found"].to_pylist()[0]
    }
    assert found["EMAIL_ADDRESS", "user", "EmailRecognizer", "tag"] == 1
    assert found["DATE_TIME", "user", "DateRecognizer", "keep"] == 1
    assert spans[1] == done["found"].to_pylist()[1] == done["values"].to_pylist()[1] == []


def test_digests_tell_values_of_their_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    done = pii.apply(table([("user", PHONE)], [("user", PLAIN)]), Config())
    (one,), (two,) = done["values"].to_pylist()
    assert (one["entity"], one["size"]) == ("PHONE_NUMBER", 10)
    assert one["digest"] != two["digest"]
    monkeypatch.delenv("HEADRACE_PII_KEY")
    assert pii.apply(table([("user", PHONE)]), Config())["values"].to_pylist() == [[]]


def test_paths_are_masked_also_of_marked_rows() -> None:
    came = table([("user", "a")], [("user", "b")], file=f"{MAIL}/log.txt")
    done = pii.apply(schema.mark(came, "drop", ["clean.x", None]), Config())
    assert done["file"].to_pylist() == ["<EMAIL_ADDRESS_1>/log.txt"] * 2


@given(
    turns=st.lists(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4), min_size=1, max_size=4),
    kind=st.sampled_from(["tag", "mask", "redact", "hash", "surrogate"]),
)
@settings(max_examples=80, deadline=None)
def test_nothing_is_left_but_stand_ins(turns: list[list[str]], kind: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_PII_KEY", SECRET)
        config = Config(kind=kind, kinds={"DATE_TIME": kind, "URL": kind})
    done = pii.apply(table([("user", " ".join(turn)) for turn in turns]), config)
    assert done["error"].to_pylist() == [None]
    (spans,) = done["spans"].to_pylist()
    texts = texts_of(done)[0]
    for place in pii.find(texts, config).to_pylist():
        if place["score"] >= config.threshold:
            inside = [s for s in spans if s["message"] == place["row"] and s["start"] <= place["start"]]
            assert any(place["end"] <= s["end"] for s in inside)
    assert sum(n for _, n in done["pii"].to_pylist()[0]) == len(spans)
    again = pii.apply(done.drop_columns(["pii", "spans", "found", "values"]), config)
    if kind in ("tag", "mask", "redact", "hash"):
        assert texts_of(again)[0] == texts
