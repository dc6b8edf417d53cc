"""The verdict: what each finding makes of it, in which words, with which number."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.examine.advice import sizes, verdict
from headrace.pipelines.examine.advice.config import Config
from headrace.pipelines.examine.advice.facts import Facts, of_run
from headrace.pipelines.examine.advice.faults import FLAGS
from headrace.pipelines.examine.advice.reasons import OWN, Reason
from headrace.pipelines.examine.spot_check import ratings

PLAIN = Config()


def facts(rows: int = 6_000, **more: Any) -> Facts:
    """A labelled set of so many rows in which nothing is wrong."""
    usual = {
        "tasks": {"classification": rows},
        "flags": {},
        "told": rows,
        "sides": {"test": 500},
        "name": "RUN",
    }
    return Facts(rows=rows, records=rows, **{**usual, **more})


def reasons(given: Facts, config: Config = PLAIN) -> dict[str, Reason]:
    return {reason.code: reason for reason in verdict.advise(given, config).reasons}


def asked(effective: float, rows: int, **more: Any) -> dict[str, Any]:
    return {"diversity": {"effective_prompts": effective, "rows": rows, **more}}


def test_a_good_set_goes() -> None:
    advice = verdict.advise(facts(checks=asked(5_900, 6_000)), PLAIN)
    assert advice.verdict == "go"
    assert (advice.kind, advice.why_kind) == ("narrow", "100% classification")
    assert {reason.level for reason in advice.reasons} == {"fine"}
    assert advice.unseen == ["contradictions", "label_noise", "leaks", "formats", "reasoning", "spot_check"]


@pytest.mark.parametrize(
    ("tasks", "rows", "level"),
    [
        ("classification", 36, "stop"),
        ("classification", 499, "stop"),
        ("classification", 500, "mend"),
        ("classification", 1_000, "note"),
        ("classification", 5_000, "fine"),
        ("chat", 99, "stop"),
        ("chat", 300, "note"),
        ("maths", 7_473, "note"),
        ("code", 10_000, "fine"),
        ("other", 1_000, "fine"),
    ],
)
def test_size_by_what_is_learnt(tasks: str, rows: int, level: str) -> None:
    found = reasons(facts(rows, tasks={tasks: rows}))["size"]
    assert (found.level, found.number) == (level, rows)
    assert found.source


def test_rows_that_ask_the_same_are_counted_once() -> None:
    alike = [{"share": 0.02, "row_ids": [7, 9]}]
    given = facts(10_000, checks=asked(120, 10_000, largest=alike))
    found = reasons(given)
    assert found["size"].level == "stop"
    assert found["size"].words.startswith("120 effective examples of 10,000 rows: under 500 expect nothing")
    assert (found["diversity"].level, found["diversity"].number) == ("mend", 0.012)
    assert found["diversity"].rows == [7, 9]
    assert found["diversity"].show == "headrace explain RUN 7"


def test_one_large_cluster_hides_no_other_questions() -> None:
    """Half of 12,000 rows ask one thing, the others 6,000 things: by entropy some 150."""
    large = [{"share": 0.5, "row_ids": [4]}, {"share": 0.001, "row_ids": [8]}]
    given = facts(12_000, checks=asked(2 * 6_000**0.5, 12_000, largest=large))
    assert given.different == pytest.approx(6_001)
    found = reasons(given)
    assert (found["size"].level, found["size"].number) == ("fine", 6_001)
    assert found["diversity"].level == "note"
    assert "155 different things in 12,000 rows (50% are alike, in one group" in found["diversity"].words


def test_one_question_alone_is_one_example() -> None:
    assert facts(500, checks=asked(1.0, 500, largest=[{"share": 1.0, "row_ids": [1]}])).size == 1


def test_labels_of_many_rows_are_learnt_however_alike_their_prompts() -> None:
    def of(labels: int) -> dict[str, Any]:
        return {"label_noise": {"sources": [{"source": "a", "rows": 640, "labels": labels}]}}

    few = asked(2, 640) | of(10)
    found = reasons(facts(640, checks=few, tasks={"knowledge": 640}))
    assert found["size"].level == "note"
    assert "2 effective examples of 640 rows, and 64 rows a label" in found["size"].words
    assert (found["facts"].level, found["facts"].words) == (
        "fine",
        "the answers are labels: no facts are taught",
    )
    assert reasons(facts(640, checks=few | of(11)))["size"].level == "stop"


def test_rewordings_of_labelled_questions_are_wanted() -> None:
    labels = {"label_noise": {"suspects": 0, "sources": [{"source": "s", "rows": 9_900, "told": False}]}}
    found = reasons(facts(10_000, tasks={"other": 10_000}, checks={**asked(900, 10_000), **labels}))
    assert found["diversity"].level == "note"
    assert "for a narrow set" not in found["size"].words
    assert verdict.advise(facts(10_000, tasks={"other": 10_000}, checks=labels), PLAIN).kind == "narrow"
    assert found["label_noise"].level == "note"


def test_rows_without_answers_teach_nothing() -> None:
    given = facts(flags={"empty_answer": 6_000}, examples={"empty_answer": [1]})
    assert verdict.advise(given, PLAIN).verdict == "do not tune"
    assert reasons(given)["answers"].rows == [1]
    assert verdict.advise(given, Config(suspect=1)).verdict == "go"


def test_traces_take_fewer_rows_than_skills() -> None:
    given = facts(968, tasks={"maths": 968}, traced=968)
    assert verdict.advise(given, PLAIN).kind == "traces"
    assert reasons(given)["size"].level == "note"
    assert reasons(facts(968, tasks={"maths": 968}, traced=0))["size"].level == "mend"
    assert reasons(facts(968, tasks={"knowledge": 968}, traced=968))["facts"].level == "note"


def test_rows_without_a_prompt_count_as_they_are() -> None:
    assert facts(1_000, checks=asked(50, 400)).size == 650
    assert facts(1_000, checks=asked(0, 0)).size == 1_000


def test_the_recipe_has_the_last_word_on_sizes() -> None:
    own = Config(least=10, enough=20)
    assert reasons(facts(36), own)["size"].level == "note"
    assert "the recipe" in reasons(facts(36), own)["size"].source
    assert reasons(facts(400), Config(task="style"))["size"].level == "note"


def test_a_sample_that_is_too_small_says_nothing_of_the_size() -> None:
    given = facts(200, partial=True)
    assert reasons(given)["size"].level == "note"
    assert "the files hold more" in reasons(given)["size"].words
    assert "test" not in reasons(given)


def test_nothing_left_is_not_to_be_tuned_on() -> None:
    advice = verdict.advise(Facts(rows=0, records=90, lost={"clean.empty": 90}, name="RUN"), PLAIN)
    assert advice.verdict == "do not tune"
    assert [reason.code for reason in advice.reasons] == ["size"]
    assert advice.reasons[0].words.startswith("none of 90 records is left")


@pytest.mark.parametrize(
    ("share", "level"),
    [(0.9, "stop"), (0.7, "stop"), (0.5, "mend"), (0.2, "note"), (0.01, "fine"), (0, "fine")],
)
def test_facts_are_for_retrieval(share: float, level: str) -> None:
    n = int(6_000 * share)
    given = facts(
        tasks={"classification": 6_000 - n, "knowledge": n},
        rules={"knowledge.words": n, "maths.words": 3},
        examples={"knowledge": [3, 4]},
    )
    found = reasons(given)["facts"]
    assert (found.level, found.number) == (level, share)
    assert "2312.05934" in found.source
    if share >= 0.02:
        assert f"ask for facts alone, as it looks ({n:,} of 6,000, by rule: words {n:,})" in found.words
        assert (found.rows, found.show) == ([3, 4], "headrace explain RUN 3")


def test_contradictions() -> None:
    def of(conflicting: int, gone: int = 0) -> Reason:
        report = {"rows": 6_000, "conflicting": conflicting, "rows_gone": gone, "largest": []}
        return reasons(facts(checks={"contradictions": report}))["contradictions"]

    assert (of(0).level, of(10).level, of(600).level, of(600, 600).level) == ("fine", "note", "mend", "note")
    assert of(600).number == 0.1
    assert of(600).show == "RUN/findings/contradictions.parquet"


def test_wrong_labels() -> None:
    def of(suspects: int, policy: str = "keep") -> Reason:
        sources = [{"source": "s", "judged": 5_000}, {"source": "untold", "judged": 90, "told": False}]
        report = {"suspects": suspects, "policy": policy, "sources": sources}
        return reasons(facts(checks={"label_noise": report}))["label_noise"]

    assert (of(0).level, of(10).level, of(700).level, of(700, "drop").level) == (
        "fine",
        "note",
        "mend",
        "note",
    )
    assert (of(700).number, of(700).show) == (0.14, "RUN/findings/label_noise.parquet")


def test_no_labels_are_said_to_be_that() -> None:
    """Silence would read as: the labels are right."""

    def of(*sources: dict[str, object]) -> Reason:
        return reasons(facts(checks={"label_noise": {"suspects": 0, "sources": [*sources]}}))["label_noise"]

    assert of() == Reason(
        "label_noise",
        "fine",
        "the answers are no labels (few short ones that come again and again), so none was looked at",
        0,
        OWN,
        [],
        "",
    )
    untold = of({"source": "s", "told": False}, {"source": "t", "told": False})
    assert untold.level == "note"
    assert untold.words == "the prompts hardly tell the labels of s, t: whether those are right nobody looked"


def test_leaks() -> None:
    def of(hit: int, gone: int) -> Reason:
        report = {"rows_hit": hit, "rows_gone": gone, "sets": {"mmlu": 9}, "listed": [[5, "a:1"]]}
        return reasons(facts(checks={"leaks": report}))["leaks"]

    assert (of(0, 0).level, of(4, 4).level, of(4, 1).level) == ("fine", "note", "mend")
    assert of(4, 1).words.startswith("3 rows hold items of mmlu and stay")


@pytest.mark.parametrize(("test", "level"), [(0, "mend"), (99, "mend"), (100, "fine"), (2_500, "fine")])
def test_a_test_set_that_can_show_something(test: int, level: str) -> None:
    found = reasons(facts(sides={"train": 6_000 - test, "test": test}))["test"]
    assert (found.level, found.number) == (level, test)
    assert test != 100 or "under 10 points of 100" in found.words
    assert ("`split.test: 100`" in found.words) == (level == "mend")


def test_nobody_is_told_to_hold_out_more_than_there_is() -> None:
    words = reasons(facts(36, sides={"train": 34, "test": 2}))["test"].words
    assert words.endswith(
        "under 69 points of 100 cannot be told from luck; no split of so few rows can show one"
    )


def test_answers_and_their_forms() -> None:
    given = facts(
        flags={"empty_answer": 601, "refusal": 3_000, "copies_prompt": 2},
        shortened=900,
        checks={
            "formats": {"verdict": "mend", "words": ["42 of 44 break"], "broken": 42},
            "reasoning": {"verdict": "mend", "words": ["9 rows"], "kinds": {"without": 5_000}},
            "spot_check": {"pass_rate": 0.8, "judged": 200, "interval": [0.7391, 0.8494]},
        },
    )
    levels = {code: reason.level for code, reason in reasons(given).items()}
    assert levels == {
        **dict.fromkeys(("empty_answer", "shortened", "reasoning", "spot_check"), "mend"),
        **dict.fromkeys(("refusal", "formats"), "note"),
        **dict.fromkeys(("size", "facts", "test"), "fine"),
    }


@pytest.mark.parametrize(
    ("right", "of", "words"),
    [
        (
            160,
            200,
            "people found 80% of the 200 rows that they judged right, which makes it 85% of all at most",
        ),
        (9, 10, "people found 90% of the 10 rows that they judged right"),  # chance may have it so
        (200, 200, "people found 100% of the 200 rows that they judged right"),
    ],
)
def test_what_people_found(right: int, of: int, words: str) -> None:
    rated = [ratings.Rating(n, "rater 1", "right" if n < right else "wrong") for n in range(of)]
    report = ratings.report(rated, dict.fromkeys(range(of), "s"), 6_000)
    found = reasons(facts(checks={"spot_check": report}))["spot_check"]
    assert found.words.startswith(words)
    assert (found.level, found.number) == ("mend" if "at most" in words else "fine", right / of)


def test_scores_without_a_verdict_say_of_no_row_that_it_is_right() -> None:
    rated = [ratings.Rating(1, "rater 1", None, {"fluency": 4})]
    report = ratings.report(rated, {1: "s"}, 6_000)
    assert "spot_check" not in reasons(facts(checks={"spot_check": report}))


def test_a_source_that_is_mostly_lost_is_looked_at_first() -> None:
    given = Facts(
        rows=6_000, records=20_000, name="RUN", lost={"dedup.exact": 2_000, "read.wrong_type": 12_000}
    )
    found = reasons(given)["lost"]
    assert (found.level, found.number) == ("mend", 0.6)
    assert found.show == "headrace rejected RUN --reason read.wrong_type"


counts = st.integers(0, 10_000)


@given(
    counts,
    st.dictionaries(st.sampled_from(sorted(sizes.KINDS)), counts),
    st.dictionaries(st.sampled_from(sorted(FLAGS)), counts),
    st.none() | st.tuples(st.floats(0, 1e4), counts),
)
def test_there_is_always_one_verdict_with_numbers(
    rows: int, tasks: dict[str, int], flags: dict[str, int], prompts: tuple[float, int] | None
) -> None:
    given = Facts(
        rows=rows,
        records=rows,
        tasks=tasks,
        flags=flags,
        told=sum(tasks.values()),
        checks={} if prompts is None else asked(*prompts),
    )
    advice = verdict.advise(given, PLAIN)
    levels = [verdict.LEVELS.index(reason.level) for reason in advice.reasons]
    assert levels == sorted(levels)
    assert advice.verdict == verdict.VERDICTS[advice.reasons[0].level]
    assert all(reason.words and reason.source for reason in advice.reasons)
    assert len({reason.code for reason in advice.reasons}) == len(advice.reasons)


def test_what_run_json_holds_is_understood() -> None:
    run = {
        "rows": {"in": 100, "kept": 80, "dropped": {"dedup.exact": 15}, "quarantined": {"read.bad": 5}},
        "splits": {"train": {"rows": 70}, "test": {"rows": 10}, "assignment": {"rows": 40}},
        "packed": {"train": {"rows": 7, "samples": 70, "tokens": 9_000}},
        "stages": {"read": {"seconds": 1.5, "bytes": 2_000_000}, "pii": {"seconds": 2.5, "bytes": 1}},
        "traits": {
            "task": {"chat": 90},
            "rule": {"chat.words": 90},
            "flags": {"refusal": 2},
            "reasoning": {"think": 3, "none": 87},
        },
        "examine": {
            "diversity": {"effective_prompts": 60.4, "rows": 80},
            "formats": {"enabled": False},
            "splits": {},
        },
    }
    found = of_run(run, "RUN")
    assert (found.rows, found.records, found.told, found.traced) == (80, 100, 90, 3)
    assert (found.samples, found.packed, found.tokens) == (70, 7, 9_000)
    assert (found.core_seconds, found.megabytes) == (4.0, 2.0)
    assert found.lost == {"dedup.exact": 15, "read.bad": 5}
    assert (found.size, list(found.checks)) == (60, ["diversity"])
    assert of_run({}, "RUN").rows == 0


@pytest.mark.parametrize(
    ("form", "level"),
    [("shifted", "stop"), ("exchanged", "stop"), ("one_answer", "mend"), ("some_system", "note")],
)
def test_forms_of_a_set(form: str, level: str) -> None:
    given = facts(forms={form: 400}, formed=5_000, examples={form: ["a: line 1"]})
    assert (reasons(given)[form].level, reasons(given)[form].number) == (level, 0.08)
    assert reasons(given)[form].rows == ["a: line 1"]
    assert reasons(given)[form].words.startswith("400 of 5,000 rows ")
    assert form not in reasons(facts(forms={form: 200}, formed=5_000))


def test_records_that_were_lost_are_said() -> None:
    def of(n: int) -> Reason | None:
        return reasons(facts(lost={"quality.echo": n, "dedup.exact": 900})).get("lost")

    assert of(300) is None
    assert [(found := of(n)) and found.level for n in (600, 3_600)] == ["note", "mend"]


@given(st.integers(1, 499))
def test_what_is_to_be_done_with_few_rows_leaves_some_to_measure_by(n: int) -> None:
    words = verdict.instead(n)
    numbers = [int(word) for word in words.split() if word.isdigit()]
    assert all(number < n for number in numbers)
    assert bool(numbers) == (n >= 6)


@pytest.mark.parametrize(
    ("flags", "suspect", "level"),
    [
        ({"missing": 101}, 0.05, "mend"),
        ({"missing": 100}, 0.05, "note"),
        ({"missing": 20}, 0.05, "note"),
        ({"missing": 19}, 0.05, None),
        ({"missing": 9_000}, 1, "note"),
        ({"missing": 2_100}, 0.2, "mend"),
        ({"repeated_turn": 500}, 0.05, None),
        ({"repeated_turn": 501}, 0.05, "mend"),
        ({"opener": 3_000}, 0.05, None),
        ({"opener": 3_001}, 0.05, "note"),
    ],
)
def test_how_many_rows_with_a_flag_are_a_fault(
    flags: dict[str, int], suspect: float, level: str | None
) -> None:
    advice = verdict.advise(facts(10_000, flags=flags), Config(suspect=suspect))
    found = {reason.code: reason.level for reason in advice.reasons}
    assert found.get(*flags) == level


def test_flags_of_one_source_are_a_fault_of_it() -> None:
    flags = {"error": 210, "refusal": 900}
    sources = {
        "a": {"rows": 8_000, "flags": {"error": 10}},
        "b": {"rows": 1_000, "flags": {"error": 200, "refusal": 900}},
        "c": {"rows": 1_000, "flags": {}},
    }
    advice = verdict.advise(facts(30_000, flags=flags, by_source=sources), Config())
    found = {one.code: one for one in advice.reasons}
    assert (found["error"].level, found["error"].number) == ("mend", 0.2)
    assert found["error"].words.startswith("200 of 1,000 rows of source 'b' hold a program's error message")
    assert found["refusal"].words.startswith("900 of 1,000 rows of source 'b' refuse (90.0%)")
    of_all = {"a": {"rows": 20_000, "flags": {}}, "b": {"rows": 1_000, "flags": {"missing": 1_000}}}
    missing = next(
        one
        for one in verdict.advise(facts(21_000, flags={"missing": 1_000}, by_source=of_all), Config()).reasons
        if one.code == "missing"
    )
    assert missing.words.startswith(
        "1,000 of 21,000 rows hold what a program writes where a value was missing"
    )
    assert "(4.8%, nearly all of source 'b')" in missing.words
    few = verdict.advise(facts(30_000, by_source={"b": {"rows": 20, "flags": {"error": 20}}}), Config())
    assert "error" not in {one.code for one in few.reasons}


def test_opening_turns_that_were_left_out_are_a_note() -> None:
    for n, level in ((5_001, "note"), (5_000, None)):
        given = facts(10_000, changed={"clean.opening_turns": n})
        found = {reason.code: reason.level for reason in verdict.advise(given, Config()).reasons}
        assert found.get("opening_turns") == level


def test_few_labels_that_hardly_a_row_has_are_said() -> None:
    given = facts(10_000, forms={"rare_label": 3, "blank": 500}, formed=10_000)
    found = {reason.code: reason.level for reason in verdict.advise(given, Config()).reasons}
    assert (found["rare_label"], found.get("blank")) == ("note", None)
