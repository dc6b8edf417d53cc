"""Weights by trait: every factor that fits, of the row's own source, and what recipes may say."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe, schema
from headrace.pipelines.passes import pack_worker, parts
from headrace.pipelines.stages.tokenise import stage as tokenise
from headrace.pipelines.stages.traits import weights
from tests.builders import table

TOLD = [
    {"task": "opinion", "language": "de", "flags": []},
    {"task": "code", "language": "en", "flags": ["opener", "praise"]},
    {"task": "code", "language": "de", "flags": ["praise"]},
    None,
    {"task": "opinion", "language": "en", "flags": None},
]
GIVEN = {"s": {"task": {"opinion": 0.0, "code": 2.0}, "language": {"de": 0.5}, "flags": {"praise": 0.25}}}


def rows(**fields: Any) -> pa.Table:
    made = table(*[[("user", "q"), ("assistant", "a")]] * len(TOLD), **fields)
    return made.append_column("traits", pa.array(TOLD, schema.TRAITS))


def test_all_factors_that_fit_are_multiplied() -> None:
    assert weights.of_rows(rows(), GIVEN).tolist() == [0, 0.5, 0.25, 1, 0]
    assert weights.of_rows(rows(source=["s", "t", "t", "t", "t"]), GIVEN).tolist() == [0, 1, 1, 1, 1]
    assert weights.of_rows(rows(), {}).tolist() == [1] * 5


def test_packed_rows_carry_the_weight_of_each_sample_and_its_mixes_are_counted(tmp_path: Path) -> None:
    kept = rows().append_column("split", pa.array(["train"] * 4 + ["test"]))
    own = weights.of_rows(kept, GIVEN)
    source = {"name": "s", "path": "rows.jsonl", "weights": GIVEN["s"]}
    wanted = recipe.validate({"output": str(tmp_path), "sources": [source]}, "recipe")
    samples = [{"row_id": n, "piece": 0, "input_ids": [n], "labels": [n]} for n in (0, 1, 1, 2, 3)]
    window = parts.Window(0, (), 0, 0)
    given = pa.Table.from_pylist(samples, schema=tokenise.SAMPLES), kept, own, window, wanted
    (written,), counts = pack_worker._packed(*given, pad_id=0)
    assert counts["train"]["samples"] == 5
    weighed = storage.read_table(str(tmp_path / written["path"]))
    assert weighed["row_ids"].to_pylist() == [[0, 1, 1, 2, 3]]
    assert weighed["weights"].to_pylist() == [[0, 0.5, 0.5, 0.25, 1]]
    (told,) = pack_worker._drawn(kept, own).values()
    assert (told["rows"], told["never"]) == (4, 1)
    assert told["traits"]["task"] == {"code": 0.75, "opinion": 0}
    assert told["traits"]["flags"] == {"opener": 0.5, "praise": 0.75}
    plain = pack_worker._drawn(kept, np.ones(5))["s"]["traits"]
    assert plain["task"] == {"code": 2, "opinion": 1}


@pytest.mark.parametrize(
    ("weighed", "more", "words"),
    [
        ({"topic": {"x": 1}}, {}, "'topic' is no trait"),
        ({"task": {"opinon": 0}}, {}, "task is never 'opinon'; did you mean 'opinion'"),
        ({"task": {"opinion": -1}}, {}, "greater than or equal to 0"),
        ({"task": {"opinion": 0}}, {"traits": {"enabled": False}}, "traits.enabled is false"),
    ],
)
def test_weights_that_cannot_be_are_refused(
    weighed: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    source = {"path": "in", "weights": weighed}
    with pytest.raises(RecipeError, match=words):
        recipe.validate({"output": "run", "sources": [source], **more}, "r")
