"""A function by which the recipe's author judges answers, `python:FILE:FUNCTION`, from the text of its file.

What: the file is read before any work, and looked at: whether it can be run, and whether the function takes
what it will be given. Its text is part of the key of what hangs on it. It is RUN, as the recipe asks for it.

Why errors have no message of the function's own: that may quote an answer.

Cost: one run of the file for each text of it, in each process.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError

FORM = re.compile(r"python:(.+\.py):([A-Za-z_][A-Za-z0-9_]*)")


class Named(NamedTuple):
    """A function as a recipe names it. key: of the recipe; name: `python:FILE:FUNCTION`; takes: arguments."""

    key: str
    name: str
    takes: int


def text(of: Named) -> str:
    """The text of the function's file.

    Raises: RecipeError where there is no such file, it cannot be run, or its function does not take what it
    is to be given; StorageError.
    """
    file = _parts(of)[0]
    try:
        found = storage.read_bytes(file).decode()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise RecipeError(f"{of.key}: {file!r} is no file of Python that can be read") from error
    made(of, found)
    return found


def texts(of: Iterable[Named]) -> list[str]:
    """`text` of several. Raises: as `text`."""
    return [text(one) for one in of]


@lru_cache(maxsize=16)
def made(of: Named, written: str) -> Callable[..., Any]:
    """The function, from the text of its file. Raises: RecipeError."""
    file, name = _parts(of)
    held: dict[str, Any] = {"__name__": "headrace_function", "__file__": file}
    try:
        exec(compile(written, file, "exec"), held)  # noqa: S102 - the recipe's author asked for it
    except (Exception, SystemExit) as error:
        missing = f" {error.name}" if isinstance(error, ImportError) and error.name else ""
        raise RecipeError(f"{of.key}: {file!r} cannot be run ({type(error).__name__}{missing})") from error
    found = held.get(name)
    if not callable(found):
        raise RecipeError(f"{of.key}: {file!r} has no function {name!r}")
    try:
        inspect.signature(found).bind(*[None] * of.takes)
    except TypeError as error:
        raise RecipeError(f"{of.key}: {name!r} of {file!r} must take {of.takes} arguments") from error
    except ValueError:  # a function of C tells no signature
        pass
    return found  # type: ignore[no-any-return]


def _parts(of: Named) -> tuple[str, str]:
    """File and function."""
    form = FORM.fullmatch(of.name)
    assert form is not None, "the recipe has looked"
    return form[1], form[2]
