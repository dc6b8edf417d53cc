"""Wrong labels: found where the texts tell the label, and nothing said where they do not."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headrace.cluster import storage
from headrace.pipelines.examine.label_noise import judge
from headrace.pipelines.examine.label_noise import run as label_noise
from headrace.pipelines.examine.label_noise.config import Config
from headrace.pipelines.stages.dedup import stage as dedup
from tests import builders

WORDS = {
    "billing": ["invoice", "payment", "refund", "card", "charge", "fee", "bank", "euro", "receipt", "total"],
    "travel": [
        "flight",
        "hotel",
        "luggage",
        "airport",
        "gate",
        "passport",
        "boarding",
        "seat",
        "train",
        "ticket",
    ],
    "garden": [
        "roses",
        "soil",
        "seeds",
        "watering",
        "lawn",
        "hedge",
        "shovel",
        "compost",
        "bulbs",
        "greenhouse",
    ],
}
FRAME = ["could", "you", "please", "help", "with", "my", "and", "the", "about", "today", "again", "soon"]


def labelled(count: int, wrong: int = 0, seed: int = 1) -> tuple[list[str], list[str], set[int]]:
    """Texts, labels, and the rows whose label is wrong."""
    draw, names = np.random.default_rng(seed), [*WORDS]
    right = [names[k] for k in draw.integers(0, 3, count)]
    texts = [" ".join(draw.permutation([*draw.choice(WORDS[n], 4), *draw.choice(FRAME, 2)])) for n in right]
    at = {int(k) for k in draw.choice(count, wrong, replace=False)}
    labels = [names[(names.index(n) + 1) % 3] if k in at else n for k, n in enumerate(right)]
    return texts, labels, at


def test_system_prompts_do_not_hide_wrong_labels() -> None:
    texts, labels, wrong = labelled(600, 30)
    systems = [builders.story(40 + k, 400) for k in range(40)]
    framed = [f"{systems[k % 40]}\n{text}" for k, text in enumerate(texts)]
    plain, found = (set(judge.label_noise(said, labels)["row"].to_pylist()) for said in (texts, framed))
    assert found <= wrong
    assert len(found) >= len(plain) - 1


def test_planted_labels_are_found_and_the_right_ones_suggested() -> None:
    texts, labels, wrong = labelled(600, 30)
    table = judge.label_noise(texts, labels)
    found = {row["row"]: row for row in table.to_pylist()}
    assert table.column_names == ["row", "label", "suggested", "score", "rule"]
    assert wrong.issuperset(found)
    assert len(found) >= 8
    names = [*WORDS]
    for at, row in found.items():
        assert row["label"] == labels[at]
        assert row["suggested"] == names[names.index(labels[at]) - 1]
        assert "odds" in row["rule"]
        assert 0 <= row["score"] < Config().odds


@pytest.mark.parametrize("rule", ["estimate", "odds", "neighbours", "either", "both", "cleanlab"])
def test_every_rule_finds_most_and_little_else(rule: str) -> None:
    texts, labels, wrong = labelled(600, 30)
    config = Config(rule=rule, precision=0.7)  # type: ignore[arg-type]
    found = set(judge.label_noise(texts, labels, config)["row"].to_pylist())
    assert len(found & wrong) >= 6
    assert len(found - wrong) <= 3


def test_clean_labels_are_left_alone() -> None:
    texts, labels, _ = labelled(600)
    assert judge.label_noise(texts, labels).num_rows == 0


def test_nothing_is_said_where_texts_do_not_tell_labels() -> None:
    texts, labels, _ = labelled(600)
    draw = np.random.default_rng(3)
    assert judge.label_noise(texts, list(draw.permutation(labels))).num_rows == 0


def test_pairs_that_stand_there_in_both_orders_tell_no_label() -> None:
    draw = np.random.default_rng(5)
    texts, labels = [], []
    for k in range(300):
        a, b = builders.story(2 * k, 6), builders.story(2 * k + 1, 6)
        texts += [f"Are they one?\n1. {a}\n2. {b}", f"Are they one?\n1. {b}\n2. {a}"]
        labels += [draw.choice(["same", "different"])] * 2
    found, told = judge.looked_at(pa.array(texts), pa.array(labels), Config())
    assert (found.num_rows, told) == (0, False)


def test_rare_labels_and_missing_ones_are_not_judged() -> None:
    texts, labels, wrong = labelled(300, 15)
    labels[0], labels[1] = "seldom", "seldom"
    given = pa.array([None, *texts]), pa.array(["billing", *labels])
    found = judge.label_noise(*given)
    assert {row - 1 for row in found["row"].to_pylist()} <= wrong
    assert "seldom" not in found["label"].to_pylist()
    assert judge.label_noise([], []).num_rows == 0
    assert judge.label_noise(["a"], ["b"]).num_rows == 0


def test_a_draw_is_bounded_and_the_same_for_the_same_rows() -> None:
    ids = np.arange(5000, dtype=np.uint64)
    chosen = judge.drawn(ids, 3, Config(sample=500))
    assert len(chosen) == 500
    assert np.array_equal(ids[chosen], np.sort(ids[::-1][judge.drawn(ids[::-1], 3, Config(sample=500))]))
    assert len(judge.drawn(ids, 1000, Config())) == judge.WORK // 1000


def prepared(folder: Path, texts: list[str], labels: list[str], cuts: list[int]) -> list[str]:
    """Files of prompts and answers as pass 1 leaves them, none of which is a duplicate."""
    rows = builders.table(*[[("user", t), ("assistant", a)] for t, a in zip(texts, labels, strict=True)])
    storage.write_table(str(folder / "duplicates/removed.parquet"), dedup.REMOVED.empty_table())
    return builders.write_parts(folder, rows, cuts)


def test_the_run_says_the_same_as_memory_for_any_files(tmp_path: Path) -> None:
    texts, labels, _ = labelled(400, 20)
    expected = judge.label_noise(texts, labels)
    written = []
    for name, cuts in (("one", []), ("three", [100, 350])):
        folder = tmp_path / name
        paths = prepared(folder, texts, labels, cuts)
        each = builders.in_order if name == "one" else builders.backwards
        report = label_noise.run(paths, str(folder), Config(policy="drop"), each)
        written.append((folder / "findings/label_noise.parquet").read_bytes())
        table = storage.read_table(str(folder / "findings/label_noise.parquet"))
        assert table["row_id"].to_pylist() == expected["row"].to_pylist()
        assert table["score"].to_pylist() == expected["score"].to_pylist()
        drops = storage.read_table(str(folder / "findings/label_noise.drops.parquet"))
        assert drops["row_id"].to_pylist() == expected["row"].to_pylist()
        assert set(drops["reason"].to_pylist()) == {"label_noise.suspect"}
        (source,) = report["sources"]
        assert (source["source"], source["rows"], source["labels"], source["told"]) == ("s", 400, 3, True)
        assert source["suspects"] == report["suspects"] == expected.num_rows
        assert not any(word in str(report) for word in ("billing", "travel", "garden"))
        assert not (folder / "findings/work").exists() or not any(
            (folder / "findings/work").rglob("*.parquet")
        )
    assert written[0] == written[1]


def test_answers_of_their_own_are_no_labels(tmp_path: Path) -> None:
    texts, _, _ = labelled(200)
    paths = prepared(tmp_path, texts, [builders.story(k, 20) for k in range(200)], [])
    report = label_noise.run(paths, str(tmp_path), Config(), builders.in_order)
    counts = {"rows": 200, "suspects": 0, "policy": "keep", "sources": []}
    assert report == counts | {"words": label_noise.NO_LABELS}
    assert storage.read_table(str(tmp_path / "findings/label_noise.drops.parquet")).num_rows == 0


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1])
def test_the_estimate_tells_how_many_labels_are_wrong(share: float) -> None:
    """Chances of a classifier that is right on four of five rows, and not sure of the others."""
    draw = np.random.default_rng(0)
    n, labels = 4000, 20
    true = draw.integers(0, labels, n)
    chances = draw.dirichlet(np.full(labels, 0.2), n) * 0.1
    second = (true + draw.integers(1, labels, n)) % labels
    sure = draw.beta(4, 1, n)
    chances[np.arange(n), true] += 0.9 * sure
    chances[np.arange(n), second] += 0.9 * (1 - sure)
    own, wrong = true.copy(), draw.random(n) < share
    own[wrong] = (true[wrong] + draw.integers(1, labels, int(wrong.sum()))) % labels
    low, noise = judge.lowest(chances, own, 0.7)
    assert abs(noise - share) < 0.012
    assert low[~wrong].mean() <= judge.ALARMS + 0.005
    if share:
        assert low[wrong].mean() > 0.9
        assert wrong[low].mean() > 0.7
    else:
        assert low.mean() < 0.005
