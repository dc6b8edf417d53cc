"""The recipe: one YAML a run, one model that composes every stage's own `Config`.

Unknown keys are refused with the nearest known one named, values with the key's path. Secrets
are never part of a recipe: storage takes them from the environment.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ByteSize, Field, RootModel, ValidationError, model_validator

from headrace.cluster import storage
from headrace.cluster.errors import OutputError, RecipeError
from headrace.pipelines import yaml_text
from headrace.pipelines.evaluate.config import Config as Evaluate
from headrace.pipelines.evaluate.gates.config import Config as Gates
from headrace.pipelines.examine.advice.config import Config as Advise
from headrace.pipelines.examine.advice.config import Costs
from headrace.pipelines.examine.config import Config as Examine
from headrace.pipelines.examine.leaks.config import Config as Decontaminate
from headrace.pipelines.section import Path, Section, hint
from headrace.pipelines.stages.clean.config import Config as Clean
from headrace.pipelines.stages.dedup.config import Config as Dedup
from headrace.pipelines.stages.fingerprint.config import Config as Fingerprint
from headrace.pipelines.stages.pack.config import Config as Pack
from headrace.pipelines.stages.pii.config import Config as Pii
from headrace.pipelines.stages.quality.config import Config as Quality
from headrace.pipelines.stages.read.source import Mix, Source
from headrace.pipelines.stages.split.config import Config as Split
from headrace.pipelines.stages.steps.config import Config as Steps
from headrace.pipelines.stages.tokenise.config import Config as Tokenise
from headrace.pipelines.stages.traits.config import Config as Traits
from headrace.pipelines.train.config import Config as Train
from headrace.pipelines.train.sweep.config import Config as Sweep
from headrace.pipelines.train.trackers.config import Config as Trackers

FORMAT = 2  # of the run directory; another number is refused
LEAST_FRAGMENT = 2**12
MOST_FRAGMENT = 2**40
MOST_WORKERS = 100_000
# The two ends of a recipe that is kept with a run. What begins with the first was written to its end only
# where the second, YAML's mark of a document's end, stands there.
BEGINNING = f"headrace: {FORMAT}  # down to the line of three dots\n"
END = "...\n"


class Quarantine(Section):
    """What happens to records that cannot be read."""

    limit: float = Field(0.05, ge=0, le=1)
    """Share of a source's records that may be quarantined before the run stops (exit 2)."""
    text: bool = False
    """Keep, in rejected/, the text of rows that were marked before PII masked them."""


class Recipe(Section):
    """A whole run."""

    output: Path
    """Run directory, local or s3://. Ours alone: refused where something else lies in it."""
    sources: tuple[Source, ...] = Field(min_length=1)
    """Where the raw text is."""
    mix: Mix | None = None
    """Other rows that are learned beside these. Left out: none."""
    model: str | None = None
    """Model directory or hub name; its tokenizer and chat template are used. Left out: `prepare`
    uses the tokenizer that ships with headrace, `train` refuses."""
    workers: int | None = Field(None, ge=1, le=MOST_WORKERS)
    """Most tasks at once; left out: the cluster's CPUs. Changes nothing in the output."""
    stall_after: float = Field(10, gt=0, le=1e6)
    """Minutes without a commit after which a warning says what is at work, where, and since when. Nothing is
    ended for that."""
    seed: int = 0
    """Everything random is seeded from it."""
    fragment_size: ByteSize = Field(32 * 2**20, ge=LEAST_FRAGMENT, le=MOST_FRAGMENT, validate_default=True)
    """Bytes of input a unit of work; also `256KiB`, `32MiB`."""
    quarantine: Quarantine = Quarantine()
    clean: Clean = Clean()
    steps: Steps = Steps()
    quality: Quality = Quality()
    traits: Traits = Traits()
    pii: Pii = Pii()
    fingerprint: Fingerprint = Fingerprint()
    dedup: Dedup = Dedup()
    decontaminate: Decontaminate = Decontaminate()
    examine: Examine = Examine()
    split: Split = Split()
    tokenise: Tokenise = Tokenise()
    pack: Pack = Pack()
    train: Train = Train()
    trackers: Trackers = Trackers()
    sweep: Sweep = Sweep()
    evaluate: Evaluate = Evaluate()
    gates: Gates = Gates()
    advise: Advise = Advise()
    costs: Costs = Costs()

    @model_validator(mode="after")
    def _pools_are_sources(self) -> "Recipe":
        """The pools of `mix` stand among the sources, and what is found out of them is kept there."""
        if self.mix is not None:
            there = {source.name for source in self.sources}
            pools = tuple(source for source in self.mix.sources(self.split.by) if source.name not in there)
            object.__setattr__(self, "sources", (*self.sources, *pools))
        return self

    @model_validator(mode="after")
    def _weights_are_of_traits(self) -> "Recipe":
        """Raises: ValueError for weights by a value that no row can have, or where traits are not told."""
        for number, source in enumerate(self.sources):
            if source.weights and not self.traits.enabled:
                raise ValueError(f"sources[{number}].weights are by traits, and traits.enabled is false")
            for trait, by_value in source.weights.items():
                known = self.traits.known.get(trait, tuple(by_value))
                for value in by_value:
                    if value not in known:
                        where = f"sources[{number}].weights"
                        raise ValueError(f"{where}: {trait} is never {value!r}; {hint(value, known)}")
        return self

    @model_validator(mode="after")
    def _goes_on_from_another(self) -> "Recipe":
        """Raises: ValueError where a training goes on from the run that it is in."""
        if self.train.from_ is not None and self.train.from_.rstrip("/") == self.output.rstrip("/"):
            raise ValueError(
                "train.from is the run itself, whose adapter is another one after each training: name one of "
                "its trainings, as trainings/KEY/adapter below it (`headrace status` lists them)"
            )
        return self

    @model_validator(mode="after")
    def _times_are_known(self) -> "Recipe":
        """Raises: ValueError where the split goes by a time that a source has not."""
        if self.split.by == "time":
            for number, source in enumerate(self.sources):
                if source.time is None and source.side is None:
                    raise ValueError(
                        f"split.by: time asks each source for its `time` column (or its `side`): "
                        f"sources[{number}] has neither"
                    )
        return self


def load(path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in file `path` with `key=value` overrides.

    Raises: RecipeError (a missing file, bad YAML, an unknown key, a wrong value), StorageError.
    """
    _require_file(path)
    try:
        text = storage.read_bytes(path).decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecipeError(f"no recipe at {path!r}; write one with `headrace init PATH_TO_DATA`") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text") from error
    data = parse(text, path)
    if data.pop("headrace", FORMAT) != FORMAT:  # as a run keeps it, and a sweep writes its best
        raise RecipeError(f"{path} was written by another version of headrace: name a recipe instead")
    for override in overrides:
        _override(data, override)
    return validate(data, path)


def load_of(path: str, overrides: Sequence[str] = ()) -> Recipe:
    """As `load`; a run directory stands for the recipe that is kept in it, with itself as the output."""
    if path.endswith((".yaml", ".yml")):
        return load(path, overrides)
    _require_file(path)  # before the store is asked more: a dead one is named in seconds
    kept_in = storage.join(path, "recipe.yaml")
    if not storage.exists(kept_in):
        return load(path, overrides)
    _, settings = kept(path)
    if settings is None:
        raise RecipeError(f"{kept_in} was written by another version of headrace: name a recipe instead")
    data = settings.model_copy(update={"output": path}).model_dump(mode="json")
    for override in overrides:
        _override(data, override)
    return validate(data, kept_in)


def _require_file(path: str) -> None:
    """Raises: RecipeError for what can be no recipe and should not be opened, StorageError."""
    if not path or "\0" in path or (storage.is_remote(path) and not path.split("/")[2]):
        raise RecipeError(f"recipe {path!r}: this names no file")
    storage.probe(path)
    if storage.is_remote(path) or not os.path.exists(path) or os.path.isdir(path):
        return
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise RecipeError(
            f"recipe {path!r} is no file but a FIFO, a socket or a device; save it to a file first"
        )
    if about.st_size > yaml_text.MOST_BYTES:
        raise RecipeError(f"recipe {path!r} has {about.st_size:,} bytes, more than any recipe; is it data?")


def parse(text: str, where: str) -> dict[str, Any]:
    """The mapping that a YAML text holds. Raises: RecipeError."""
    data = yaml_text.value(text, where)
    if not isinstance(data, dict):
        raise RecipeError(f"{where}: a recipe is a mapping that starts with output: and sources:")
    return data


def validate(data: dict[str, Any], where: str) -> Recipe:
    """A recipe from its mapping. Raises: RecipeError with every mistake, one a line."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        wrong = [e["loc"] for e in error.errors()]
        # A list whose items are wrong counts as empty: what is said of the items is enough.
        told = [e for e in error.errors() if not any(w[: len(e["loc"])] == e["loc"] != w for w in wrong)]
        lines = [_explain(e["loc"], e["type"], e["msg"], e.get("input")) for e in told]
        raise RecipeError("\n".join(f"{where}: {line}" for line in lines)) from error


def _override(data: dict[str, Any], override: str) -> None:
    """Set one `a.b.0.c=value`; the value is read as YAML."""
    name, equals, value = override.partition("=")
    if not equals or not name:
        raise RecipeError(f"override {override!r}: write key=value, such as dedup.threshold=0.85")
    place: Any = data
    *above, last = name.split(".")
    for step in above:
        if isinstance(place, list) and step.isdigit() and int(step) < len(place):
            place = place[int(step)]
        elif isinstance(place, dict):
            place[step] = {} if place.get(step) is None else place[step]
            place = place[step]
        else:
            raise RecipeError(f"override {override!r}: there is no {step!r} in the recipe")
    parsed = yaml_text.value(value, f"override {override!r}")
    if isinstance(place, list) and last.isdigit() and int(last) < len(place):
        place[int(last)] = parsed
    elif isinstance(place, dict):
        place[last] = parsed
    else:
        raise RecipeError(f"override {override!r}: there is no {last!r} in the recipe")


def _explain(where: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    """One mistake in words, with its path in the recipe and, for a key, the nearest known one."""
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in where).lstrip(".")
    if kind == "extra_forbidden":
        known = _keys(where[:-1])
        return f"unknown key {path!r}; {hint(str(where[-1]), known, 'known keys')}"
    if kind == "missing":
        return f"{path!r} is missing"
    message = message.removeprefix("Value error, ")
    shown = f" (is {value!r})" if isinstance(value, str | int | float | bool) or value is None else ""
    return f"{path!r}: {message}{shown}" if path else message


def _keys(where: Iterable[int | str]) -> list[str]:
    """Known keys of the section at path `where`."""
    model: Any = Recipe
    for step in where:
        if isinstance(step, int) or model is None:
            continue
        field = model.model_fields.get(step) or model.model_fields.get(f"{step}_")
        model = _model_in(field.annotation) if field is not None else model
    return sorted(f.alias or name for name, f in model.model_fields.items()) if model is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `tuple[Source, ...]` or `Columns | None`."""
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return _model_in(annotation.model_fields["root"].annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(a) for a in getattr(annotation, "__args__", ()))
    return next((m for m in inner if m is not None), None)


def dump(recipe: Recipe) -> str:
    """The resolved recipe as YAML, as it is kept with the run."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
    return BEGINNING + text + END


def learned_last(recipe: Recipe) -> list[str]:
    """Names of the sources of which the last answer of each row alone is learned (`loss: last`), sorted."""
    return sorted(str(source.name) for source in recipe.sources if source.loss == "last")


def kept(run: str) -> tuple[int | None, Recipe | None]:
    """Format number and recipe that a run directory was written with.

    (None, None) where there is no recipe.yaml of ours; the recipe is None where its format is
    not ours.
    """
    try:
        text = storage.read_bytes(storage.join(run, "recipe.yaml")).decode(errors="replace")
    except FileNotFoundError:
        return None, None
    where = storage.join(run, "recipe.yaml")
    try:
        data = parse(text, where)
    except RecipeError:
        data = {}
    number = data.pop("headrace", None)
    # What was written before there was a mark at both ends is whole where it has the last of its sections.
    ours = number == FORMAT or (number is None and text.startswith("headrace:"))
    whole = text.endswith(f"\n{END}") or ("evaluate" in data and not text.startswith(BEGINNING))
    if ours and not whole:
        raise OutputError(
            f"{where} is cut off: put it back from a copy, or put there the recipe that was run, with a line "
            f"`headrace: {FORMAT}` above it and a line `...` below"
        )
    if not isinstance(number, int):
        return None, None
    return number, validate(data, where) if number == FORMAT else None
