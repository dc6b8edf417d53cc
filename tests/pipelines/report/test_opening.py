"""The first page of a report: a sentence for every kind of run, its reasons, what is not known."""

from typing import Any

import pytest

from headrace.pipelines.report import opening

MOVED = "loss went from 2.000 to 1.000 nats a token on 200 held-out samples (better)"
ROWS = {"in": 10, "kept": 9, "dropped": {"clean.empty": 1}, "quarantined": {}}
LOSS = {"base": 2.0, "tuned": 1.0, "interval": [-1.2, -0.8], "verdict": "better", "n": 200, "primary": True}
HELD = {"passed": True, "words": ""}
RANG = {"passed": True, "state": "warn", "words": "3 of 40 answers do not end (7.5%). Train longer answers"}
DONE = {"rows": ROWS, "digest": "d", "train": {"steps": 1}, "evaluate": {"loss": LOSS}}


def verdict(decision: str, words: str, *reasons: tuple[str, str, str]) -> dict[str, Any]:
    told = [{"for": kind, "code": code, "words": said} for kind, code, said in reasons]
    return {"decision": decision, "words": words, "reasons": told}


@pytest.mark.parametrize(
    ("more", "headline", "rest", "mood"),
    [
        (
            {"verdict": verdict("ship", "Ship it"), "gates": {"kept": HELD, "endless": HELD}},
            "Ship it",
            f"{MOVED}, and all 2 gates (checks for damage) hold",
            "good",
        ),
        (
            {"verdict": verdict("mend", "Mend it first"), "gates": {"kept": HELD, "endless": RANG}},
            "Mend it first",
            f"{MOVED}, but 1 of 2 gates (checks for damage) rings: endless",
            "warn",
        ),
        (
            {
                "verdict": verdict("mend", "Mend it first"),
                "gates": dict.fromkeys(("copied", "empty", "endless", "openers"), RANG),
            },
            "Mend it first",
            f"{MOVED}, but 4 of 4 gates (checks for damage) ring: copied, empty, endless and 1 more",
            "warn",
        ),
        (
            {"verdict": verdict("do_not_tune", "Don't tune: use the base")},
            "Don't tune: use the base",
            None,
            "bad",
        ),
        (
            {"stale": {"evaluate": "is of other rows"}},
            "Not decided",
            "the evaluation that is there is of other rows",
            "warn",
        ),
        (
            {"evaluate": {}},
            "Not decided yet",
            "a model is trained, and was not held against its base",
            "warn",
        ),
        (
            {"rows": {**ROWS, "kept": 8}, "verdict": verdict("ship", "Ship it")},
            "Do not use this output",
            "the books do not balance",
            "bad",
        ),
        (
            {"ended": {"command": "evaluate", "code": None}, "verdict": verdict("ship", "Ship it")},
            "Not done yet",
            "headrace evaluate has not come to its end",
            "warn",
        ),
    ],
)
def test_the_sentence_is_that_of_the_gravest(
    more: dict[str, Any], headline: str, rest: str | None, mood: str
) -> None:
    found = opening.view({**DONE, **more})
    assert (found.headline, found.mood) == (headline, mood)
    assert rest is None or found.rest == rest


def test_a_gate_that_failed_before_a_model_is_what_is_decided() -> None:
    failed = {"passed": False, "words": "gate: PII in the packed shards: 1 EMAIL_ADDRESS.\nmore"}
    ended = {"command": "prepare", "code": 3, "gate": "pii.gate", "words": failed["words"]}
    prepared = {"rows": ROWS, "digest": "d", "advice": {"verdict": "go", "reasons": []}}
    found = opening.view({**prepared, "ended": ended, "gates": {"pii.gate": failed}})
    assert (found.headline, found.mood) == ("Mend it first", "bad")
    assert found.rest == "gate: PII in the packed shards: 1 EMAIL_ADDRESS"
    assert found.reasons == [], "it stands in full below"
    other = {"command": "train", "code": 1, "gate": None, "words": "fault: the disk"}
    assert opening.view({**prepared, "ended": other}).headline == "Stopped before it was done"


@pytest.mark.parametrize(
    ("ended", "headline", "rest"),
    [
        (
            {"command": "prepare", "code": None, "words": ""},
            "Not done yet",
            "headrace prepare has not come to its end",
        ),
        (
            {"command": "prepare", "code": 2, "words": "source 'x': 9 of 10 records\nmore."},
            "Stopped before it was done",
            "source 'x': 9 of 10 records",
        ),
    ],
)
def test_a_run_that_ended_early_says_what_is_known_and_what_is_not(
    ended: dict[str, Any], headline: str, rest: str
) -> None:
    found = opening.view({"rows": ROWS, "ended": ended})
    assert (found.headline, found.rest) == (headline, rest)
    assert found.missing == [
        "The books are those of what was committed when it ended",
        "Duplicates, splits and packed rows are not there, or not all of them",
        "No model has been trained: `headrace train` on the recipe does so",
    ]
    assert opening.view({"ended": ended}).missing[0] == "No records are counted: nothing was read to its end"


def test_three_reasons_are_shown_with_what_to_do_and_where_to_read_on() -> None:
    told = [
        (
            "mend",
            "endless",
            "the gate endless warns: 3 of 40 answers (7.5%, 95% interval 1.1% to 9.2%). Train on more",
        ),
        ("ship", "evaluate", "loss went from 2.0 to 1.0: better"),
        ("ship", "train.overfitting", "it learns its rows by heart"),
        ("do_not_tune", "advice.size", "36 rows"),
    ]
    found = opening.view({**DONE, "verdict": verdict("mend", "Mend it first", *told)})
    assert [(r.section, r.mood) for r in found.reasons] == [
        ("gates", "warn"),
        ("evaluation", "good"),
        ("training", "good"),
    ]
    assert (
        found.reasons[0].words == "the gate endless warns: 3 of 40 answers (7.5%, 95% interval 1.1% to 9.2%)"
    )
    assert found.reasons[0].remedy == "Train on more"
    assert found.more == 1


def test_what_a_stranger_asks_first_is_told() -> None:
    run = {**DONE, "date": "2026-05-04 09:10 UTC", "ended": {"command": "run", "code": 0}}
    told = dict(opening.facts(run, {"model": "models/base"}, "s3://bucket/run"))
    assert told == {
        "Base model": "models/base",
        "Adapter": "s3://bucket/run/adapter",
        "Judged on": "200 held-out samples of test, by loss",
        "Intervals": "95%: in ninety-five of a hundred such runs they hold the true value",
        "Run": "s3://bucket/run",
        "Last command": "headrace run, ended 2026-05-04 09:10 UTC",
    }
    assert dict(opening.facts({"rows": ROWS}, {}, "out")) == {"Run": "out"}
