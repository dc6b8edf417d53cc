"""The recipe: what is refused, and what the user is told."""

from pathlib import Path

import pytest

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError, StorageError
from headrace.pipelines import recipe

LEAST = "output: out\nsources:\n  - path: data\n    shape: text\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recipe.yaml"


def load(file: Path, text: str, *overrides: str) -> recipe.Recipe:
    file.write_text(text, encoding="utf-8")
    return recipe.load(str(file), overrides)


def test_everything_but_output_and_sources_may_be_left_out(file: Path) -> None:
    loaded = load(file, LEAST)
    assert (loaded.output, loaded.seed, loaded.fragment_size, loaded.model) == ("out", 0, 32 * 2**20, None)
    assert loaded.quarantine.limit == 0.05


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dedupe: {}", "unknown key 'dedupe'; did you mean 'dedup'?"),
        ("dedup: {treshold: 0.9}", "unknown key 'dedup.treshold'; did you mean 'threshold'?"),
        ("quarantine: {xyzzy: 1}", "unknown key 'quarantine.xyzzy'; known keys: limit, text"),
        ("split: {by: time}", "split.by: time asks each source for its `time` column"),
        (
            "split: {test: 1.5}",
            "'split.test': write a share under 1, such as 0.05, or a whole number of rows",
        ),
        ("workers: none", "'workers': Input should be a valid integer"),
        ("workers: 0", "'workers': Input should be greater than or equal to 1 (is 0)"),
        ("fragment_size: 3 bananas", "'fragment_size': could not interpret byte unit: bananas"),
        ("fragment_size: 1KiB", "'fragment_size': Input should be greater than or equal to 4096 (is '1KiB')"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_path(file: Path, text: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(file, LEAST + text + "\n")
    assert told in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_source_without_a_path_is_refused(file: Path) -> None:
    with pytest.raises(RecipeError, match="names no path"):
        load(file, LEAST.replace("path: data", "path: []"))


def test_a_side_may_be_written_as_a_split(file: Path) -> None:
    sources = load(file, LEAST.replace("path: data", "path: data\n    split: test")).sources
    assert (sources[0].side, sources[0].split) == ("test", "file")
    assert load(file, LEAST.replace("path: data", "path: data\n    split: line")).sources[0].side is None


def test_an_unknown_key_of_a_source_names_the_nearest(file: Path) -> None:
    with pytest.raises(RecipeError, match=r"unknown key 'sources\[0\].shap'; did you mean 'shape'\?"):
        load(file, "output: out\nsources:\n  - path: data\n    shap: text\n")


def test_every_mistake_is_told_at_once(file: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(file, "sources: []\nsead: 1\n")
    told = str(caught.value)
    assert "'output' is missing" in told
    assert "'sources'" in told
    assert "did you mean 'seed'" in told


def test_bad_yaml_is_placed(file: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe.yaml, line 3, column \d+: not valid YAML"):
        load(file, "output: out\nsources: [\n")


def test_a_recipe_must_be_a_mapping(file: Path) -> None:
    with pytest.raises(RecipeError, match="a recipe is a mapping"):
        load(file, "- a\n- b\n")


def test_a_missing_recipe_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="write one with `headrace init"):
        recipe.load(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("text", "size"),
    [("256KiB", 2**18), ("32 MiB", 2**25), ("1MB", 10**6), ("65536", 65536), ("1.5KiB", None)],
)
def test_sizes_have_units(file: Path, text: str, size: int | None) -> None:
    if size is None:
        with pytest.raises(RecipeError, match="fragment_size"):
            load(file, LEAST + f"fragment_size: {text}\n")
    else:
        assert load(file, LEAST + f"fragment_size: {text}\n").fragment_size == size


def test_overrides_reach_every_key(file: Path) -> None:
    loaded = load(file, LEAST, "seed=7", "dedup.threshold=0.85", "sources.0.priority=3", "split.test=0.2")
    assert (loaded.seed, loaded.dedup.threshold, loaded.sources[0].priority) == (7, 0.85, 3)
    assert loaded.split.test == 0.2


@pytest.mark.parametrize("override", ["seed", "=1", "sources.5.priority=1", "output.x=1"])
def test_an_override_that_fits_nowhere_is_refused(file: Path, override: str) -> None:
    with pytest.raises(RecipeError, match=f"override {override!r}"):
        load(file, LEAST, override)


def test_the_resolved_recipe_reads_back_as_itself(file: Path, tmp_path: Path) -> None:
    loaded = load(file, LEAST, "seed=7", "dedup.threshold=0.85")
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(recipe.dump(loaded), encoding="utf-8")
    assert recipe.kept(str(run)) == (recipe.FORMAT, loaded)
    # By its file as well: so a sweep hands over its best.
    assert recipe.load_of(str(run / "recipe.yaml")) == loaded
    assert recipe.load_of(str(run / "recipe.yaml"), ["seed=8"]).seed == 8


def test_a_recipe_of_another_version_is_refused(file: Path) -> None:
    with pytest.raises(RecipeError, match="was written by another version of headrace"):
        load(file, f"headrace: {recipe.FORMAT + 1}\n{LEAST}")


def test_a_dead_store_is_named_before_anything_else_is_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(path: str) -> None:
        raise StorageError(f"cannot reach {path}")

    monkeypatch.setattr(storage, "probe", dead)
    monkeypatch.setattr(storage, "exists", lambda path: pytest.fail(f"{path} was asked for first"))
    for path in ("s3://bucket/run", "s3://bucket/recipe.yaml"):
        with pytest.raises(StorageError, match=f"cannot reach {path}"):
            recipe.load_of(path)
    with pytest.raises(RecipeError, match="this names no file"):
        recipe.load_of("")


def test_another_format_is_told_apart_from_no_recipe(tmp_path: Path) -> None:
    assert recipe.kept(str(tmp_path)) == (None, None)
    (tmp_path / "recipe.yaml").write_text("headrace: 999\nanything: else\n", encoding="utf-8")
    assert recipe.kept(str(tmp_path)) == (999, None)
    (tmp_path / "recipe.yaml").write_text("somebody: else\n", encoding="utf-8")
    assert recipe.kept(str(tmp_path)) == (None, None)


def test_a_training_does_not_go_on_from_the_run_that_it_is_in() -> None:
    data = {"output": "runs/a/", "sources": [{"path": "p"}], "train": {"from": "runs/a"}}
    with pytest.raises(RecipeError, match=r"train\.from is the run itself"):
        recipe.validate(data, "r")
    data["train"] = {"from": "runs/a/trainings/0f/adapter"}
    assert recipe.validate(data, "r").train.from_ == "runs/a/trainings/0f/adapter"
