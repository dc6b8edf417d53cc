"""README promises nothing that the command does not keep.

`python tests/test_readme.py` writes anew what is made from something else: the contents, the tables of
reasons and of gates, the reference of recipe keys.
"""

import json
import re
import types
import typing
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel, RootModel
from pydantic_core import PydanticUndefined

REPOSITORY = Path(__file__).resolve().parents[1]
README = REPOSITORY / "README.md"


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


def reasons() -> str:
    """The table of every reason for which a record is not kept."""
    from headrace.pipelines.stages.reasons import REASONS

    kinds = {"dropped": "", "quarantined": " (quarantined)", "either": " (dropped or quarantined)"}
    lines = [
        f"| `{name}`{kinds[reason.kind]} | {cell(reason.means)} | {cell(reason.remedy)} |"
        for name, reason in REASONS.items()
    ]
    return "\n".join(["| reason | what it means | what to do |", "|---|---|---|", *lines]) + "\n"


def gates() -> str:
    """The table of every gate, as a recipe holds them that says nothing of them."""
    from headrace.pipelines import recipe
    from headrace.pipelines.commands.gates import known
    from headrace.pipelines.evaluate.gates.config import OWN

    plain = recipe.validate({"output": "run", "sources": [{"path": "data"}]}, "README.md")
    lines = []
    for name, command, threshold, fails, source in known(plain):
        whence = cell(source.replace(OWN, "this project"))
        lines.append(f"| `{name}` | {command} | {cell(threshold)} | {fails or 'off'} | {whence} |")
    head = "| gate | held by | passes where | else | threshold from |"
    return "\n".join([head, "|---|---|---|---|---|", *lines]) + "\n"


def contents() -> str:
    """The headings below the first two ranks, as links."""
    text = re.sub(r"^```.*?^```", "", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = []
    for rank, title in re.findall(r"^(##|###) (?!Contents$)(.+)$", text, re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        lines.append(f"{'  ' * (len(rank) - 2)}- [{title}](#{anchor})")
    return "\n".join(lines) + "\n"


def cell(words: str) -> str:
    """A clause as a table's cell."""
    return words.replace("|", "\\|")


BLOCKS = {"contents": contents, "reasons": reasons, "gates": gates, "reference": reference}


def marks(block: str) -> tuple[str, str]:
    """What stands before and behind a block that is made."""
    return f"<!-- {block}: written by `python tests/test_readme.py` -->\n", f"<!-- end of {block} -->"


def parts(block: str) -> tuple[str, str, str]:
    """README before a block, the block as it is written, and README behind it."""
    first, last = marks(block)
    before, mark, rest = README.read_text().partition(first)
    written, end, behind = rest.partition(last)
    assert mark, f"README has no place for {block}"
    assert end, f"README has no end of {block}"
    return before, written, behind


@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_made_from_something_else_is_up_to_date(block: str) -> None:
    assert parts(block)[1] == BLOCKS[block](), "renew it: python tests/test_readme.py"


def test_a_reason_names_only_keys_that_a_recipe_has() -> None:
    from headrace.pipelines.recipe import Recipe
    from headrace.pipelines.stages.reasons import REASONS

    known = {key.replace("[]", "") for key, _, _ in keys(Recipe)}
    sections = {key.partition(".")[0] for key in known}
    for name, reason in REASONS.items():
        for word in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)", f"{reason.means} {reason.remedy}"):
            under = any(key.startswith(f"{word}.") for key in known)
            assert word.partition(".")[0] not in sections or word in known or under, f"{name}: {word}"
        for section, key in re.findall(r"`([a-z_]+): \{([a-z_]+):", f"{reason.means} {reason.remedy}"):
            assert section == "columns" or f"{section}.{key}" in known, f"{name}: {section}.{key}"


def test_every_key_says_what_it_means() -> None:
    from headrace.pipelines.recipe import Recipe

    assert [key for key, _, meaning in keys(Recipe) if not meaning] == []


def test_the_recipes_of_the_readme_are_valid() -> None:
    from headrace.pipelines import recipe

    found = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    for text in found:
        recipe.validate(yaml.safe_load(text), "README.md")


def test_the_sources_by_input_are_valid() -> None:
    from headrace.pipelines import recipe

    table = README.read_text(encoding="utf-8").partition("### Recipes by input")[2].partition("\n## ")[0]
    sources = [yaml.safe_load(found) for found in re.findall(r"\| `(\{path.*?\})`", table)]
    assert len(sources) > 8
    for source in sources:
        recipe.validate({"output": "run", "sources": [source]}, "README.md")


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
            known = link.startswith("#") and f"]({link})" in contents() if page == README else False
            assert known or (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_stages_are_told() -> None:
    from headrace.pipelines.flow import STAGES

    table = README.read_text().partition("## What happens to a record")[2].partition("### Reasons")[0]
    told = re.findall(r"^\| ([a-z]+) \|", table, re.MULTILINE)
    assert told == ["stage", *STAGES, "train", "evaluate"]


if __name__ == "__main__":
    for name in (
        "reasons",
        "gates",
        "reference",
        "contents",
    ):  # the contents are those of what is written then
        before, _, behind = parts(name)
        first, last = marks(name)
        README.write_text(before + first + BLOCKS[name]() + last + behind)
