"""Raw text shards in; clean, private, duplicate-free packed tokens and an evaluated adapter out.

    import headrace

    headrace.prepare({"output": "run", "sources": [{"path": "chats.jsonl"}]})
    headrace.open("run").kept

Whole runs, of a recipe's path, a mapping or a `Recipe`: `check`, `prepare`, `train`, `evaluate`, `run`; what
a run left: `open`, which gives a `Run`, and `verify`. Stages and checks over texts in memory: `duplicates`,
`find_pii`, `mask`, `leaks`, `contradictions`, `label_noise`, `effective`, `formats`.
Kernels: `fold`, `simhash`, `hamming_pairs`. All load on first use, so that importing headrace costs nothing.

The folders lie beside this one and are linked into it: `headrace.pipelines` (what happens to a row) stands on
`headrace.cluster` (where things run and rest) and `headrace.kernels` (arrays).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.kernels import fold, hamming_pairs, simhash
    from headrace.pipelines.python.runs import Run, check, evaluate, open, prepare, run, train, verify
    from headrace.pipelines.python.texts import (
        contradictions,
        duplicates,
        effective,
        find_pii,
        formats,
        label_noise,
        leaks,
        mask,
    )
    from headrace.pipelines.recipe import Recipe

    __version__: str

_HOME = {
    "Recipe": "pipelines.recipe",
    "Run": "pipelines.python.runs",
    "check": "pipelines.python.runs",
    "contradictions": "pipelines.python.texts",
    "duplicates": "pipelines.python.texts",
    "effective": "pipelines.python.texts",
    "evaluate": "pipelines.python.runs",
    "find_pii": "pipelines.python.texts",
    "fold": "kernels",
    "formats": "pipelines.python.texts",
    "hamming_pairs": "kernels",
    "label_noise": "pipelines.python.texts",
    "leaks": "pipelines.python.texts",
    "mask": "pipelines.python.texts",
    "open": "pipelines.python.runs",
    "prepare": "pipelines.python.runs",
    "run": "pipelines.python.runs",
    "simhash": "kernels",
    "train": "pipelines.python.runs",
    "verify": "pipelines.python.runs",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("headrace")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)


__all__ = [
    "Recipe",
    "Run",
    "__version__",
    "check",
    "contradictions",
    "duplicates",
    "effective",
    "evaluate",
    "find_pii",
    "fold",
    "formats",
    "hamming_pairs",
    "label_noise",
    "leaks",
    "mask",
    "open",
    "prepare",
    "run",
    "simhash",
    "train",
    "verify",
]
