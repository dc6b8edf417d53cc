"""The functions of a recipe's steps: from the text of their files, in whatever process needs them.

What: the driver reads a file once and looks whether it can be run; a worker is sent its text and makes a
module of it, once a process. No worker needs the file, or the folder it lies in.

Why the text and no pickle: what is run is what is hashed into the pass key, and what a function leans on
in its file comes with it. What a file takes from its own folder would be neither, so that is refused.

Cost: one import a process.
"""

import ast
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import ModuleType, TracebackType
from typing import Any

import xxhash

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines.stages.steps.config import Config, Step

Function = Callable[[Any], Any]


def require(config: Config) -> None:
    """Look at every step before any work.

    Raises: RecipeError where a file or a function is not there, cannot be run, imports from its own folder or
    does not take one argument; StorageError.
    """
    for step in config.root:
        function(step)


def function(step: Step) -> Function:
    """The function of `step`. Raises: as `require`."""
    return _function(step.code, step.file, step.name)


@lru_cache(maxsize=64)
def _function(code: str, file: str, name: str) -> Function:
    found = getattr(_module(code, file), name, None)
    if not callable(found):
        raise RecipeError(f"steps: {file!r} has no function {name!r}")
    if inspect.iscoroutinefunction(found) or inspect.isgeneratorfunction(found):
        raise RecipeError(
            f"steps: {name!r} of {file!r} is a generator or a coroutine: write a plain function"
        )
    try:
        inspect.signature(found).bind(None)
    except TypeError as error:
        raise RecipeError(
            f"steps: {name!r} of {file!r} must take one argument, the row (or, with `table: true`, the table)"
        ) from error
    except ValueError:  # a function of C tells no signature
        pass
    return found  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _module(code: str, file: str) -> ModuleType:
    try:
        tree = ast.parse(code, file)
    except (SyntaxError, ValueError) as error:
        where = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise RecipeError(f"steps: {file!r} is no Python that can be read{where}") from error
    _require_alone(tree, file)
    module = ModuleType(f"headrace_steps_{xxhash.xxh3_64_hexdigest(repr((file, code)).encode())}")
    module.__file__ = file
    sys.modules[module.__name__] = module  # dataclasses and pickle look for a class's module there
    try:
        exec(compile(tree, file, "exec"), module.__dict__)  # noqa: S102 - the recipe's author asked for it
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        missing = f" ({error.name})" if isinstance(error, ImportError) and error.name else ""
        raise RecipeError(
            f"steps: {file!r} cannot be run: {type(error).__name__}{missing}{line(error, file)}"
        ) from error
    return module


def line(error: BaseException, file: str) -> str:
    """The line of `file` that raised, in words; empty where none of it did."""
    numbers = [at.tb_lineno for at in _frames(error.__traceback__) if at.tb_frame.f_code.co_filename == file]
    return f" in line {numbers[-1]}" if numbers else ""


def _frames(at: TracebackType | None) -> Iterator[TracebackType]:
    while at is not None:
        yield at
        at = at.tb_next


def _require_alone(tree: ast.Module, file: str) -> None:
    """Raises: RecipeError where the file imports from its own folder."""
    folder = "" if storage.is_remote(file) else os.path.dirname(os.path.abspath(file))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            named, beside = f"{'.' * node.level}{node.module or ''}", True
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names]
            tops = [str(name).partition(".")[0] for name in names]
            named = next((top for top in tops if folder and _lies(folder, top)), "")
            beside = bool(named)
        else:
            continue
        if beside:
            raise RecipeError(
                f"steps: {file!r} imports {named!r} from its own folder, in line {node.lineno}: the file "
                "alone is sent to the workers. Put what it needs into it, or install it"
            )


def _lies(folder: str, name: str) -> bool:
    """Whether `name` is a module of `folder`, which Python could take from elsewhere as well."""
    path = os.path.join(folder, name)
    return os.path.isfile(f"{path}.py") or os.path.isfile(os.path.join(path, "__init__.py"))
