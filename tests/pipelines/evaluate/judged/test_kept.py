"""What an evaluation has kept is what was said; some of it can be taken; turns come without the template."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.evaluate.arms import kept as arms
from headrace.pipelines.evaluate.arms import wanted
from headrace.pipelines.evaluate.config import Config
from headrace.pipelines.evaluate.judged import kept
from tests.builders import table
from tests.pipelines.evaluations import evaluate, outcome


def test_what_is_read_is_what_was_kept(tmp_path: Path) -> None:
    made = outcome(["a", "b"], ["c", "d"], ["c", "x"], rows=[7, 2**40], beyond=3, longest=9)
    config = Config(samples=11, answer="last_line")
    run = evaluate(tmp_path, made, config, key="k")
    found = kept.read(run)
    assert found is not None
    assert found.key == "k"
    assert found.config == config
    assert {k: v for k, v in vars(found.outcome).items() if k not in ("base", "tuned")} == {
        k: v for k, v in vars(made).items() if k not in ("base", "tuned")
    }
    for one, other in ((found.outcome.base, made.base), (found.outcome.tuned, made.tuned)):
        np.testing.assert_array_equal(one.forced, other.forced)
        assert (one.answers, one.ended, one.unfinished) == (other.answers, other.ended, other.unfinished)


def test_another_evaluation_has_kept_nothing(tmp_path: Path) -> None:
    run = evaluate(tmp_path, outcome(["a"], ["b"], ["b"]), key="k")
    arms.keep(run, wanted.BASE, "measured anew", outcome(["x"], ["b"], ["b"]).base)
    assert kept.read(run) is None
    assert kept.read(str(tmp_path / "no run")) is None


def test_some_samples_are_taken_with_their_own_answers() -> None:
    made = outcome(list("abc"), list("xyz"), list("xyz"), rows=[5, 6, 7])
    plain = outcome(["b"], ["y"], ["y"], rows=[1, 2][:1], asked=(0,))
    assert kept.taken(plain, [0], [0]).references == ["y"]
    some = kept.taken(made, [2, 0], [1])
    assert some.row_ids == (7, 5)
    assert some.asked == (1,)
    assert (some.base.answers, some.tuned.answers, some.prompts) == (["a"], ["x"], ["prompt 5"])
    assert some.base.forced.shape == (2, 3)


def test_answers_that_differ_are_found_once_a_row() -> None:
    made = outcome(["a", "b", " c", "d"], ["x", "y", "c ", "z"], list("wwww"), rows=[3, 1, 2, 1])
    assert kept.differing(made) == ({1: 1, 3: 0}, 1)


def test_turns_stand_before_the_reference_and_without_template(tmp_path: Path) -> None:
    told = [
        ("system", "be brief"),
        ("user", "one?"),
        ("assistant", "1"),
        ("user", "two?"),
        ("assistant", "2"),
    ]
    rows = table(told, [("user", "other"), ("assistant", "2")]).cast(schema.ROW)
    path = storage.join(str(tmp_path), "prepared", "part-00000000.parquet")
    storage.write_table(path, pa.table(rows))
    prompts = ["<s>be brief<u>one?<a>1<u>two?<a>", "<u>was cut<a>"]
    made = outcome(["x", "x"], ["y", "y"], ["2", "2"], rows=[0, 1], prompts=prompts)
    found = kept.turns(str(tmp_path), made)
    assert found == [told[:4], [("prompt", "<u>was cut<a>")]]
    assert kept.turns(str(tmp_path / "no run"), made) == [[("prompt", prompt)] for prompt in prompts]
