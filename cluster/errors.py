"""Every error that headrace raises on purpose.

::

    HeadraceError
    ├── UserError             exit 2   something the user can mend
    │   ├── RecipeError                the recipe: an unknown key, a wrong value
    │   ├── SourceError                an input: missing, empty, of an unknown shape
    │   ├── StorageError               credentials, bucket, endpoint, disk
    │   │   └── FullDiskError  exit 1  no room for what has to be written
    │   ├── ModelError                 a model, tokenizer or chat template
    │   ├── OutputError                an output directory that is not ours to write
    │   └── QuarantineError            more bad records than the recipe allows
    ├── GateError             exit 3   the work is done and a gate says no
    └── Fault                 exit 1   ours: a defect or a broken machine
        ├── BooksError                 in != kept + dropped + quarantined
        ├── LedgerError                a commit record that cannot be right
        └── DamagedError               a stored output that is not what was written

A message says what is wrong, the value (of a recipe key, never of a row), where, and what
to do. No message holds a row's content or a secret.
"""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

AGAIN = (
    "Nothing that was committed is lost; the same command goes on where it was. HEADRACE_DEBUG=1 prints the "
    "whole traceback, which may quote your data"
)
INTERRUPTED = "interrupted: the same command goes on where it was"


class HeadraceError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command returns.

    `gate`: the recipe key, or the rule, that was not kept, where the work itself was done ("" elsewhere).
    """

    exit_code = 1
    gate = ""

    def at(self, gate: str) -> Self:
        """The same error, as that of a gate."""
        self.gate = gate
        return self


class UserError(HeadraceError):
    """Something that the user can mend."""

    exit_code = 2


class RecipeError(UserError):
    """The recipe: an unknown key, a wrong type, a value that cannot be."""


class SourceError(UserError):
    """An input: missing, empty, or of a shape that could not be told."""


class StorageError(UserError):
    """Object storage or disk: credentials, bucket, endpoint, permission, space."""


class FullDiskError(StorageError):
    """A disk without room for what has to be written: the work stands as it is and can go on."""

    exit_code = 1


class ModelError(UserError):
    """A model, tokenizer or chat template that cannot be used."""


class OutputError(UserError):
    """An output directory that is not ours to write into."""


class QuarantineError(UserError):
    """More records could not be read than `quarantine.limit` allows."""


class GateError(HeadraceError):
    """The work is done and a gate says no."""

    exit_code = 3


class Fault(HeadraceError):  # noqa: N818 - it is a fault, not a user error
    """A defect of headrace or of the machines below it."""

    exit_code = 1


class BooksError(Fault):
    """Books that do not balance: a row was lost or made."""


class LedgerError(Fault):
    """A commit record that contradicts what it stands for."""


class DamagedError(Fault):
    """A stored output that is gone, or does not hold the bytes that were written; `path` names it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)  # the one argument, so that the error travels between processes
        self.path = path

    def __str__(self) -> str:
        return (
            f"{self.path} is damaged: it is not what was written there. `headrace verify RUN` names "
            "every such file; remove them, and `headrace prepare` on the recipe makes them again"
        )


@contextmanager
def discreet(what: str = "") -> Iterator[None]:
    """Let no foreign error leave a task with its message, which may quote what was read: Ray logs it.

    what: the file or source that is worked on, where one is known. Also a decorator of plain functions.
    HEADRACE_DEBUG=1 lets errors through as they are.
    """
    try:
        yield
    except HeadraceError as error:
        if os.environ.get("HEADRACE_DEBUG"):
            raise
        raise error from None  # what led to it may quote, too
    except Exception as error:
        if os.environ.get("HEADRACE_DEBUG"):
            raise
        raise Fault(f"{what}{': ' if what else ''}a task failed: {place(error)}. {AGAIN}") from None


def place(error: BaseException) -> str:
    """An error without its message: its type, and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name} ({os.path.basename(last.filename)}:{last.lineno})"
