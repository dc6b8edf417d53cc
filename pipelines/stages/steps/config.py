"""The config of `steps`, apart from its code; the text of the functions' files is read from here."""

import re
from typing import Any, Literal, Self

import xxhash
from pydantic import ConfigDict, Field, PrivateAttr, RootModel, field_validator, model_validator

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines.section import Section

Place = Literal["read", "clean", "quality"]
PLACES = ("read", "clean", "quality")
LARGEST = 2**20  # bytes of a file: it travels with every task
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Step(Section):
    """One function that rows go through."""

    python: str
    """File and function: `my_steps.py:fix_ticket`. A file stands by itself: it imports what is installed,
    and nothing from its own folder."""
    after: Place = "clean"
    """The stage after which it runs: read, clean or quality. Never later: personal data is masked next, and
    nothing unmasked comes in behind that."""
    table: bool = False
    """Whether it takes an Arrow table of many rows instead of one row as a dict."""
    _code: str | None = PrivateAttr(None)

    @field_validator("python")
    @classmethod
    def _named(cls, value: str) -> str:
        file, colon, function = value.rpartition(":")
        if not colon or not file.endswith(".py") or not NAME.fullmatch(function):
            raise ValueError("names no function of a Python file; write FILE.py:FUNCTION")
        if function == "error":
            raise ValueError("a step cannot be called error: steps.error says that one failed on a row")
        return value

    @field_validator("after", mode="before")
    @classmethod
    def _before_masking(cls, value: Any) -> Any:
        if value not in PLACES:
            raise ValueError(
                "a step runs before personal data is masked, so that nothing unmasked is added behind that: "
                "after read, clean or quality"
            )
        return value

    @property
    def name(self) -> str:
        """Its function's name: what its reasons and counts are called."""
        return self.python.rpartition(":")[2]

    @property
    def file(self) -> str:
        """Path of its file, local or s3://."""
        return self.python.rpartition(":")[0]

    @property
    def code(self) -> str:
        """The text of its file: as `Config.loaded` has read it, or as it is now.

        Raises: RecipeError where there is none, or it is no text; StorageError.
        """
        return _text(self) if self._code is None else self._code


class Config(RootModel[tuple[Step, ...]]):
    """The steps, in the order in which those of one place run."""

    model_config = ConfigDict(frozen=True)
    root: tuple[Step, ...] = Field(default=())

    @model_validator(mode="after")
    def _apart(self) -> Self:
        names = [step.name for step in self.root]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two steps are called {twice[0]!r}: what each did is counted under its name")
        return self

    def of(self, stage: str) -> "Config":
        """The steps that run after `stage`."""
        return Config(tuple(step for step in self.root if step.after == stage))

    def loaded(self) -> "Config":
        """With the text of every file in it, so that a worker needs none of them. Raises: as `Step.code`."""
        made = []
        for step in self.root:
            copy = step.model_copy()
            copy._code = step.code
            made.append(copy)
        return self.model_copy(update={"root": tuple(made)})

    def digests(self) -> list[str]:
        """Hash of the text of every step's file, in their order."""
        return [xxhash.xxh3_128_hexdigest(step.code.encode()) for step in self.root]


def _text(step: Step) -> str:
    try:
        data = storage.read_bytes(step.file)
        text = data.decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecipeError(f"steps: there is no file {step.file!r} (of {step.python!r})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"steps: {step.file!r} is not UTF-8 text") from error
    if len(data) > LARGEST:
        raise RecipeError(f"steps: {step.file!r} has {len(data):,} bytes; {LARGEST:,} are the most")
    return text
