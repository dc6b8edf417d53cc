"""What every stage offers, in one form, so that passes and keys treat all of them alike."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from headrace.pipelines import flow
from headrace.pipelines.recipe import Recipe
from headrace.pipelines.section import Section
from headrace.pipelines.stages.dedup import stage as dedup
from headrace.pipelines.stages.pack import stage as pack
from headrace.pipelines.stages.split import stage as split
from headrace.pipelines.stages.tokenise import stage as tokenise

ROW_STAGES = tuple(import_module(name) for name in flow.ROW_STAGES)
STAGES = (*ROW_STAGES, dedup, split, tokenise, pack)
FOLDER = Path(inspect.getfile(split)).parents[1]


def named(stage: ModuleType) -> str:
    return str(stage.NAME)


def files(stage: ModuleType) -> list[Path]:
    """The stage's file, or all of its folder."""
    path = Path(inspect.getfile(stage))
    return [path] if path.parent == FOLDER else sorted(path.parent.rglob("*.py"))


def words(path: Path) -> Iterator[str]:
    """Every whole string in a file that has the form of a reason, those with a name put in among them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\A[a-z]+\.[a-z_]*\Z", node.value)


def is_of(keys: Any, config: type[BaseModel]) -> bool:
    """Whether all `keys`, in the form that `model_dump` takes for `exclude`, are of a config."""
    if not set(keys) <= set(config.model_fields):
        return False
    below = {k: v for k, v in keys.items() if v is not True} if isinstance(keys, Mapping) else {}
    return all(is_of(inner, config.model_fields[k].annotation) for k, inner in below.items())  # type: ignore[arg-type]


@pytest.mark.parametrize("stage", STAGES, ids=named)
def test_a_stage_has_name_version_and_the_config_of_its_section(stage: ModuleType) -> None:
    assert isinstance(stage.NAME, str)
    assert isinstance(stage.VERSION, int)
    assert issubclass(stage.Config, Section | RootModel)
    assert Recipe.model_fields[stage.NAME].annotation is stage.Config
    assert Path(inspect.getfile(stage)).relative_to(FOLDER).parts[0].removesuffix(".py") == stage.NAME


@pytest.mark.parametrize("stage", STAGES, ids=named)
def test_a_stage_is_applied_to_a_table(stage: ModuleType) -> None:
    first = next(iter(inspect.signature(stage.apply).parameters))
    assert first == ("samples" if stage is pack else "table")


@pytest.mark.parametrize("stage", ROW_STAGES, ids=named)
def test_a_stage_of_pass_1_takes_a_table_and_its_config(stage: ModuleType) -> None:
    assert list(inspect.signature(stage.apply).parameters) == ["table", "config"]


@pytest.mark.parametrize("stage", STAGES, ids=named)
def test_keys_that_change_no_bytes_are_keys_of_the_config(stage: ModuleType) -> None:
    assert is_of(getattr(stage, "NOT_IN_KEY", ()), stage.Config)


@pytest.mark.parametrize("stage", STAGES, ids=named)
def test_reasons_begin_with_the_name_of_their_stage(stage: ModuleType) -> None:
    found = {word for path in files(stage) for word in words(path) if word.partition(".")[0] in flow.STAGES}
    assert {word.partition(".")[0] for word in found} <= {stage.NAME}


@pytest.mark.parametrize("stage", STAGES, ids=named)
def test_versions_are_those_of_libraries(stage: ModuleType) -> None:
    versions = stage.versions() if hasattr(stage, "versions") else {}
    assert all(isinstance(name, str) and isinstance(version, str) for name, version in versions.items())


def test_every_stage_is_listed_in_the_order_of_the_flow() -> None:
    assert ("read", *map(named, STAGES), "gate") == tuple(s for s in flow.STAGES if s != "examine")
