"""The audit: numbers without text, places to judge with every value masked."""

import json
from pathlib import Path

import pytest

from headrace.cluster import ledger, storage
from headrace.pipelines import schema
from headrace.pipelines.passes.gate import audit as pii_audit
from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.stage import Config
from tests.builders import MAIL, PHONE, PII_KEY, table


def test_parts_say_it_in_numbers() -> None:
    came = table(
        [("user", f"{PHONE} or {MAIL}"), ("assistant", f"{PHONE}, 12/01/2020")],
        [("user", "nothing")],
        [("user", "x")],
    )
    config = Config(recognizers="presidio")
    done = pii.apply(schema.mark(came, "drop", [None, None, "clean.x"]), config)
    told = pii_audit.of(done)
    assert (told["rows"], told["touched"]) == (2, 1)
    found = {tuple(one[:-1]): one[-1] for one in told["found"]}
    assert found["PHONE_NUMBER", "user", "PhoneRecognizer", "tag"] == 1
    assert found["PHONE_NUMBER", "assistant", "PhoneRecognizer", "tag"] == 1
    assert found["DATE_TIME", "assistant", "DateRecognizer", "keep"] == 1
    assert sorted(place[0] for place in told["places"]) == ["EMAIL_ADDRESS", "PHONE_NUMBER", "PHONE_NUMBER"]
    text = ledger.dumps(told).decode()
    assert "882" not in text
    assert "ann" not in text


def test_places_are_few_and_the_same_in_any_order() -> None:
    rows = [[("text", f"a{at} {PHONE}")] for at in range(20)]
    told = pii_audit.of(pii.apply(table(*rows), Config()))["places"]
    assert len(told) == pii_audit.SHOWN
    every = [pii_audit.of(pii.apply(table(*rows).slice(at, 5), Config()))["places"] for at in (15, 0, 10, 5)]
    assert pii_audit.places([{"audit": {"places": part}} for part in every]) == told


@pytest.mark.parametrize("kind", ["tag", "surrogate", "mask"])
def test_the_file_adds_up_and_shows_no_value(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_PII_KEY", PII_KEY)
    config = Config(kind=kind, roles={"system": "keep"})
    talk = [("system", "be brief"), ("user", f"call {PHONE} on 12/01/2020, or write {MAIL} now")]
    done = pii.apply(table(talk), config)
    storage.write_table(str(tmp_path / "prepared/part-00000000-0000.parquet"), done)
    record = {"source": "s", "audit": pii_audit.of(done)}
    gate = {"messages": 2, "bytes": 9, "leaks": []}
    shown = pii_audit.shown(pii_audit.places([record, record]), str(tmp_path), config)
    told = pii_audit.build(str(tmp_path), [record, record], config, gate, shown)
    assert told == json.loads((tmp_path / pii_audit.FILE).read_text())
    assert told["entities"]["PHONE_NUMBER"]["replaced"] == 2
    assert told["entities"]["DATE_TIME"]["keep"] == 2
    assert told["rows"] == {"rows": 2, "touched": 2}
    assert told["gate"] == gate
    assert "PhoneRecognizer" in told["looked_for"]
    assert "Exempt by the recipe: system messages." in told["not_looked_for"]
    phone = next(one for one in told["review"] if one["entity"] == "PHONE_NUMBER")
    assert (phone["before"], phone["behind"]) == ("call ", " on [DATE_TIME], or write [EMAIL_ADDRESS] now")
    assert PII_KEY not in json.dumps(told)


def test_the_report_takes_what_there_is() -> None:
    assert pii_audit.view({}, None, 10) is None
    bare = pii_audit.view({"pii": {"X": 2}}, None, 10)
    assert bare is not None
    assert (bare["total"], bare["entities"], bare["gate"]) == (
        2,
        [("X", {"replaced": 2, "keep": 0, "below": 0})],
        None,
    )
