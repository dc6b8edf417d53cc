"""Replacement: exact stand-ins of every kind, by entity and role, the same throughout a conversation."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe, schema
from headrace.pipelines.commands import lookup
from headrace.pipelines.stages.dedup import index
from headrace.pipelines.stages.pii import search as pii_search
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.findings import Finding
from headrace.pipelines.stages.pii.masking.replace import Conversation, Spans, replaced
from headrace.pipelines.stages.pii.masking.values import Folded, folded
from headrace.pipelines.stages.pii.stage import Config
from tests.builders import MAIL, PHONE, PII_KEY, Turn, contents_of, recipe_of, table
from tests.pipelines.identifiers import SAMPLES

pytestmark = pytest.mark.usefixtures("pii_key")
PLAIN = "4258828080"


def said(*messages: Turn, **switches: Any) -> list[str]:
    return contents_of(pii.apply(table(list(messages)), Config(**switches)))[0]


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
        (one,), (two,) = contents_of(done)
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


@pytest.mark.parametrize(
    ("texts", "found", "due"),
    [
        (["Ann Ann Ann"], (0, 7), ["<PERSON_1>"]),  # said again over itself
        (["Ann Lee, ann-lee"], (0, 7), ["<PERSON_1>, <PERSON_1>"]),
        (["Ann Lee", "Joann Lee, AnnLee"], (0, 7), ["<PERSON_1>", "Joann Lee, <PERSON_1>"]),
        (["Zoë Lee “x” zoe lee"], (0, 7), ["<PERSON_1> “x” <PERSON_1>"]),
        (['{"a": "Ann Lee", "b": "Ann Lee"}'], (7, 14), ['{"a": "<PERSON_1>", "b": "<PERSON_1>"}']),
    ],
)
def test_a_value_that_was_found_once_is_replaced_wherever_it_is_said(
    texts: list[str], found: tuple[int, int], due: list[str]
) -> None:
    conversation = Conversation(dict(enumerate(texts)), ["user"] * len(texts), Config(), None)
    replaced([(conversation, {0: [Finding(*found, "PERSON", 0.8, "labels")]})])
    assert conversation.texts == dict(enumerate(due))


@given(texts=st.lists(st.text(st.sampled_from("ab-é ."), min_size=2, max_size=14), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_no_text_says_a_value_that_was_found(texts: list[str]) -> None:
    conversation = Conversation(
        dict(enumerate(texts)), ["user"] * len(texts), Config(least={"PERSON": 2}), None
    )
    value = folded(texts[0][:4])
    due = {0: [Finding(0, min(4, len(texts[0])), "PERSON", 0.8, "labels")]}
    while replaced([(conversation, due)]) != [[]]:
        due = {}
    for number in range(len(texts)):
        text = conversation.text(number)
        inside = Spans(conversation.issued.get(number, ()))
        assert len(value) < 2 or all(inside.cover(*span) for span in Folded(text).find(value))


def test_an_unknown_role_is_refused() -> None:
    data = {"output": "o", "sources": [{"path": "p"}], "pii": {"roles": {"agent": "mask"}}}
    with pytest.raises(RecipeError, match="'agent' is no role; roles are system, user"):
        recipe.validate(data, "r.yaml")


@pytest.mark.parametrize("secret", [None, "sesame", "a" * 40])
def test_a_missing_key_is_named(secret: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_PII_KEY")
    if secret:
        monkeypatch.setenv("HEADRACE_PII_KEY", secret)
    Config(kind="hash", enabled=False).require_key()
    if secret is None:
        Config().require_key()
    else:  # a weak secret is refused wherever there is one: digests are made with it
        with pytest.raises(RecipeError, match="HEADRACE_PII_KEY can be guessed"):
            Config().require_key()
    for switches in (
        {"kind": "hash"},
        {"kinds": {"PERSON": "surrogate"}},
        {"roles": {"user": {"X": "hash"}}},
    ):
        with pytest.raises(
            RecipeError, match=r"pii: (hash|surrogate) need a secret.* HEADRACE_PII_KEY (is not|can be) "
        ) as e:
            Config(**switches).require_key()
        assert secret is None or secret not in str(e.value)


def test_the_key_is_never_written() -> None:
    config = Config()
    assert config.secret == PII_KEY.encode()
    assert PII_KEY not in repr(config) + str(config.model_dump()) + config.model_dump_json()


def test_columns_say_where_and_what() -> None:
    done = pii.apply(
        table([("user", "hi"), ("user", f"{MAIL}, {PHONE} on 12/01/2020")], [("user", "-")]), Config()
    )
    text = contents_of(done)[0][1]
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


def test_parts_of_a_stretch_are_known_by_themselves() -> None:
    talk = ("user", "08 296-053-9052"), ("assistant", "noted: 296_053_9052, bye")
    plain = said(*talk, recognizers="presidio")
    assert "9052" not in " ".join(plain)
    assert plain[1] == f"noted: {plain[0]}, bye"


def test_addresses_of_the_same_digits_are_two() -> None:
    done = said(("user", "hosts 1.23.45.67 and 12.3.45.67, it costs 1234567 in all"), recognizers="presidio")
    assert done == ["hosts <IP_ADDRESS_1> and <IP_ADDRESS_2>, it costs 1234567 in all"]


def test_what_comes_together_is_looked_at_again() -> None:
    talk = ("user", "my name is Anna Leeson."), ("user", "Anna 4012888888881881 Leeson here")
    assert "Leeson" not in " ".join(said(*talk, kind="redact"))


def test_a_value_of_an_exempt_role_is_known_elsewhere() -> None:
    talk = ("system", PHONE), ("user", "x 425_882_8080 x")
    assert said(*talk, roles={"system": "keep"}) == [PHONE, "x <PHONE_NUMBER_1> x"]


def test_accents_and_forms_of_digits_do_not_matter() -> None:
    talk = ("user", "my name is Élodie Kestrel"), ("user", "E\u0301LODIE  kestrel and elodie kestrel")
    assert said(*talk)[1] == "<PERSON_1> and <PERSON_1>"
    assert said(("user", PHONE), ("user", "x ４２５_８８２_８０８０ x"))[1] == "x <PHONE_NUMBER_1> x"


def test_many_findings_in_one_text() -> None:
    numbers = [f"(425) 882-{n:04d}" for n in range(1500)]
    (done,) = said(("user", " ; ".join(numbers)), recognizers="presidio")
    assert done == " ; ".join(f"<PHONE_NUMBER_{n}>" for n in range(1, 1501))


@pytest.mark.parametrize(
    "switches",
    [{"entities": ["EMAIL"]}, {"kinds": {"PHONE": "mask"}}, {"roles": {"user": {"NAME_": "hash"}}}],
)
def test_an_entity_that_nothing_finds_is_refused(switches: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"pii\.(entities|kinds|roles\.user): nothing looks for '\w+'; "):
        pii_search.require_known(Config(**switches))
    pii_search.require_known(Config(kinds={"PERSON": "hash", "API_KEY": "mask"}))


@given(
    turns=st.lists(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4), min_size=1, max_size=4),
    kind=st.sampled_from(["tag", "mask", "redact", "hash", "surrogate"]),
)
@settings(max_examples=80, deadline=None)
def test_nothing_is_left_but_stand_ins(turns: list[list[str]], kind: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_PII_KEY", PII_KEY)
        config = Config(kind=kind, kinds={"DATE_TIME": kind, "URL": kind})
    done = pii.apply(table([("user", " ".join(turn)) for turn in turns]), config)
    assert done["error"].to_pylist() == [None]
    (spans,) = done["spans"].to_pylist()
    texts = contents_of(done)[0]
    for place in pii.find(texts, config).to_pylist():
        if place["score"] >= config.threshold:
            inside = [s for s in spans if s["message"] == place["row"] and s["start"] <= place["start"]]
            assert any(place["end"] <= s["end"] for s in inside)
    assert sum(n for _, n in done["pii"].to_pylist()[0]) == len(spans)
    again = pii.apply(done.drop_columns(["pii", "spans", "found", "values"]), config)
    if kind in ("tag", "mask", "redact", "hash"):
        assert contents_of(again)[0] == texts


def test_looking_up_in_a_run_with_hashes_takes_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = recipe_of(tmp_path, "p", pii={"kind": "hash"})
    (tmp_path / "recipe.yaml").write_text(recipe.dump(recipe.validate(data, "r.yaml")))
    shard = tmp_path / "duplicates" / index.FOLDER / "0.parquet"
    shard.parent.mkdir(parents=True)
    shard.touch()
    monkeypatch.delenv("HEADRACE_PII_KEY")
    with pytest.raises(
        RecipeError, match="hash need a secret, and the environment variable HEADRACE_PII_KEY is"
    ):
        lookup.lookup(
            str(tmp_path), "text", count=1, least=0.5, each=lambda function, items, *, name: iter(())
        )
