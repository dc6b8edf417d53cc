"""What is asked of a model that is made of functions: labels, exchanged rows, speed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from headrace.cluster import storage
from headrace.pipelines import schema
from headrace.pipelines.evaluate.arms.both import Loaded
from headrace.pipelines.evaluate.gates import probes, speed
from headrace.pipelines.evaluate.gates.gate import Unmeasured
from headrace.pipelines.examine.bias.swaps import SWAPS
from headrace.pipelines.train.watch.samples import Sample
from tests.pipelines import toys

TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}"


class Model:
    """What "base" and "tuned" model say and cost; merges: whether the adapter can be merged."""

    def __init__(self, *, merges: bool = True) -> None:
        self.name, self.merges = "tuned", merges
        self.asked: list[list[int]] = []

    @contextmanager
    def without(self) -> Iterator[None]:
        self.name = "base"
        yield
        self.name = "tuned"

    @contextmanager
    def merged(self) -> Iterator[bool]:
        self.name = "merged" if self.merges else "tuned"
        yield self.merges
        self.name = "tuned"

    def forced(self, what: str, some: list[Sample]) -> NDArray[np.float64]:
        """The tuned model knows kinds: what is said of a thing costs nothing where it is right."""
        rows = []
        for sample in some:
            words = [toys.WORDS[token] for token in sample.ids]
            right = toys.KINDS[words[3]] == words[-2]
            rows.append([0.1 if right and self.name == "tuned" else 2.0, 1.0, 0.0])
        return np.array(rows)

    def said(self, what: str, prompts: list[NDArray[np.int64]], most: int) -> tuple[list[str], list[bool]]:
        self.asked += [ids.tolist() for ids in prompts]
        return [f"{self.name} {ids[0]}" for ids in prompts], [True] * len(prompts)

    def timed(self, prompts: list[NDArray[np.int64]], tokens: int) -> tuple[float, float]:
        return {"base": 1.0, "tuned": 4.0, "merged": 1.25}[self.name], {"tuned": 1.5}.get(self.name, 1.0)

    def loaded(self, room: float = 1000) -> Loaded:
        return Loaded(toys.tokenizer(), room, self.forced, self.said, self.without, self.merged, self.timed)


def held(n: int) -> list[Sample]:
    """Questions whose answer is a kind alone."""
    found = []
    for at in range(n):
        thing = sorted(toys.KINDS)[at % len(toys.KINDS)]
        ids = [toys.WORDS.index(word) for word in f"what is a {thing} ? {toys.KINDS[thing]} <end>".split()]
        found.append(Sample(np.array(ids), np.array([-100] * 5 + ids[5:])))
    return found


def test_each_label_is_held_behind_each_prompt() -> None:
    found = probes.of_labels(Model().loaded(), held(120))
    assert isinstance(found, probes.Labels)
    assert found.base.shape == found.tuned.shape == (120, 3)
    assert found.tuned.argmin(1).tolist() == found.wanted.tolist()
    assert set(found.base.flatten().tolist()) == {2.0}
    kinds = sorted(set(toys.KINDS.values()))
    assert [kinds[at] for at in found.wanted[:6]] == [toys.KINDS[thing] for thing in sorted(toys.KINDS)]


def test_answers_that_are_no_labels_are_not_asked() -> None:
    assert probes.of_labels(Model().loaded(), held(3)) == Unmeasured("the references are no labels")
    full = probes.of_labels(Model().loaded(room=6), held(120))
    assert full == Unmeasured("a label behind its prompt has no room in the model's context")


def written(run: Path, rows: list[tuple[str, str]]) -> None:
    """Rows (asked, exchanged) in prepared/ and in the examiner's findings."""

    def turns(asked: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": "it is"}]

    own = {"row_id": pa.array(range(len(rows)), pa.uint64())}
    messages = pa.array([turns(asked) for asked, _ in rows], schema.MESSAGES)
    storage.write_table(f"{run}/prepared/part-00000000.parquet", pa.table({**own, "messages": messages}))
    exchanged = [
        {"row_id": at, "list": "kind", "group_from": "a", "group_to": "b", "messages": turns(other)}
        for at, (_, other) in enumerate(rows)
    ]
    storage.write_table(f"{run}/{probes.SWAPS}", pa.Table.from_pylist(exchanged, schema=SWAPS))


def test_rows_are_asked_as_they_are_and_as_exchanged(tmp_path: Path) -> None:
    written(tmp_path, [("oak is", "elm is"), ("is it", "is it"), ("carp is", "pike is")])
    model = Model()
    found = probes.of_swaps(model.loaded(), str(tmp_path), 10, TEMPLATE)
    words = [toys.WORDS.index(word) for word in ("oak", "carp", "elm", "pike")]
    assert found == probes.Swaps(
        ([f"base {at}" for at in words[:2]], [f"base {at}" for at in words[2:]]),
        ([f"tuned {at}" for at in words[:2]], [f"tuned {at}" for at in words[2:]]),
    )
    assert [len(ids) for ids in model.asked] == [2] * 8
    few = probes.of_swaps(Model().loaded(), str(tmp_path), 1, TEMPLATE)
    assert isinstance(few, probes.Swaps)
    assert len(few.tuned[0]) == 1


@pytest.mark.parametrize(
    ("rows", "template", "why"),
    [
        (None, TEMPLATE, "the examiner has exchanged no rows"),
        ([("oak is", "elm is")], None, "the tokenizer has no chat template"),
        ([("is it", "is it")], TEMPLATE, "no row asks anything else"),
    ],
)
def test_why_rows_are_not_asked(tmp_path: Path, rows: Any, template: str | None, why: str) -> None:
    if rows is not None:
        written(tmp_path, rows)
    found = probes.of_swaps(Model().loaded(), str(tmp_path), 10, template)
    assert isinstance(found, Unmeasured)
    assert found.why.startswith(why)


@pytest.mark.parametrize("merges", [True, False])
def test_rounds_are_measured_in_turn(merges: bool) -> None:
    found = probes.of_speed(Model(merges=merges).loaded(), held(9))
    assert isinstance(found, probes.Speed)
    of_round = speed.PROMPTS * speed.TOKENS
    wanted = {"base": [of_round / 1.0], "tuned": [of_round / 4.0], "merged": [of_round / 1.25]}
    if not merges:
        del wanted["merged"]
    assert found.rates == {name: rate * speed.ROUNDS for name, rate in wanted.items()}
    assert found.gib == {name: 1.5 if name == "tuned" else 1.0 for name in wanted}


def test_answers_said_again_are_those_of_some_length() -> None:
    class Says(Model):
        def said(
            self, what: str, prompts: list[NDArray[np.int64]], most: int
        ) -> tuple[list[str], list[bool]]:
            return ["it is a fruit"] * len(prompts), [True] * len(prompts)

    some = [Sample(*map(np.array, toys.sample(thing))) for thing in sorted(toys.KINDS)]
    found = probes.recited(Says().loaded(), "some", some, 4)
    assert found.tolist() == [toys.KINDS[thing] == "fruit" for thing in sorted(toys.KINDS)]
    assert probes.recited(Says().loaded(), "some", some, 9).tolist() == []
