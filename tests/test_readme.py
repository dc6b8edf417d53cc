"""README promises nothing that the command does not keep.

`python tests/test_readme.py` writes its reference of recipe keys anew.
"""

import json
import re
import types
import typing
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import BaseModel, RootModel
from pydantic_core import PydanticUndefined

REPOSITORY = Path(__file__).resolve().parents[1]
README = REPOSITORY / "README.md"
MARKS = ("<!-- reference: written by `python tests/test_readme.py` -->\n", "<!-- end of reference -->")


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The config model that a key holds: itself, or one in a list or an optional."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (tuple, list, types.UnionType, typing.Union):
        for argument in typing.get_args(annotation):
            if (found := section_of(argument)) is not None:
                return found
    return None


def keys(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str]]:
    """(key, default as YAML, meaning) of every key of `model`, those of sections below it too."""
    rows = []
    for name, field in model.model_fields.items():
        below = section_of(field.annotation)
        plain = isinstance(field.default, int | float | str)  # a number, say, or a section instead of it
        if below is not None and below.__name__ == "Source" and name != "sources":
            below = None  # its keys stand under `sources[]`
        if below is not None and not plain:
            several = typing.get_origin(field.annotation) in (tuple, list)
            if issubclass(below, RootModel):  # a section that is a list
                below, several = section_of(below.model_fields["root"].annotation), True
                assert below is not None
            rows += keys(below, f"{prefix}{name}{'[]' if several else ''}.")
            continue
        default = field.get_default(call_default_factory=True)
        shown = "must" if default is PydanticUndefined else f"`{as_yaml(default)}`"
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append((prefix + (field.alias or name), shown, meaning))
        rows += keys(below, f"{prefix}{name}.") if below is not None else []
    return rows


def as_yaml(value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value)
    plain = list(value) if isinstance(value, tuple | set | frozenset) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
    return text.replace("|", "\\|")


def reference() -> str:
    """The table of every key that a recipe may have."""
    from headrace.pipelines.recipe import Recipe

    lines = [f"| `{key}` | {default} | {meaning} |" for key, default, meaning in keys(Recipe)]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *lines]) + "\n"


def test_the_reference_is_the_recipe() -> None:
    _, _, rest = README.read_text().partition(MARKS[0])
    written, mark, _ = rest.partition(MARKS[1])
    assert mark
    assert written == reference(), "renew it: python tests/test_readme.py"


def test_every_key_says_what_it_means() -> None:
    from headrace.pipelines.recipe import Recipe

    assert [key for key, _, meaning in keys(Recipe) if not meaning] == []


def test_the_recipes_of_the_readme_are_valid() -> None:
    from headrace.pipelines import recipe

    found = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    for text in found:
        recipe.validate(yaml.safe_load(text), "README.md")


def test_every_command_exists_and_is_told() -> None:
    from headrace.pipelines.cli.main import app

    commands = set(typer.main.get_group(app).commands)
    pages = [README, REPOSITORY / "infra" / "README.md", REPOSITORY / "CHANGELOG.md"]
    text = "\n".join(page.read_text() for page in pages)
    named = {
        name for found in re.findall(r"(?:`|    |-- )headrace ([a-z|]+)", text) for name in found.split("|")
    }
    assert named <= commands, named - commands
    assert set(re.findall(r"^\| `headrace ([a-z]+)", README.read_text(), re.MULTILINE)) == commands


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    pages = [README, REPOSITORY / "CONTRIBUTING.md"]
    for page in pages:
        assert set(re.findall(r"(?:^    |`)make ([a-z]+)", page.read_text(), re.MULTILINE)) <= targets


def test_every_link_leads_somewhere() -> None:
    for page in (README, REPOSITORY / "infra" / "README.md", REPOSITORY / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_stages_are_told() -> None:
    from headrace.pipelines.flow import STAGES

    table = README.read_text().partition("## What happens to a record")[2].partition("The run directory")[0]
    told = re.findall(r"^\| ([a-z]+) \|", table, re.MULTILINE)
    assert told == ["stage", *STAGES, "train", "evaluate"]


if __name__ == "__main__":
    before, mark, rest = README.read_text().partition(MARKS[0])
    assert mark
    README.write_text(before + mark + reference() + MARKS[1] + rest.partition(MARKS[1])[2])
