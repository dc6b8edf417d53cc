"""Kernels: functions over arrays. No Ray, no files, no configuration.

A folder a kernel: `__init__.py` states the contract and dispatches, `reference.py` is the plainest
definition, `cpu.py` the fast one. All public functions are named here and load on first use, so that
importing it costs nothing.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.kernels.bottom import bottom_jaccard, bottom_sketches
    from headrace.kernels.chunking import chunks
    from headrace.kernels.content import content_hash, content_hash_lists, list_hash
    from headrace.kernels.folding import fold
    from headrace.kernels.graph import components
    from headrace.kernels.hamming import hamming_pairs, hamming_table, hamming_tables
    from headrace.kernels.packing import pack
    from headrace.kernels.similarity import containment, jaccard, overlap
    from headrace.kernels.sketch import fingerprint, simhash

_HOME = {
    "bottom_jaccard": "bottom",
    "bottom_sketches": "bottom",
    "chunks": "chunking",
    "components": "graph",
    "containment": "similarity",
    "content_hash": "content",
    "content_hash_lists": "content",
    "fingerprint": "sketch",
    "fold": "folding",
    "hamming_pairs": "hamming",
    "hamming_table": "hamming",
    "hamming_tables": "hamming",
    "jaccard": "similarity",
    "list_hash": "content",
    "overlap": "similarity",
    "pack": "packing",
    "simhash": "sketch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)


def warm() -> None:
    """Compile every jitted function, or load it from Numba's cache, so that what follows can be timed."""
    for home in iter_modules(__path__):
        if home.ispkg:
            import_module(f"{__name__}.{home.name}.cpu").warm()


__all__ = [
    "bottom_jaccard",
    "bottom_sketches",
    "chunks",
    "components",
    "containment",
    "content_hash",
    "content_hash_lists",
    "fingerprint",
    "fold",
    "hamming_pairs",
    "hamming_table",
    "hamming_tables",
    "jaccard",
    "list_hash",
    "overlap",
    "pack",
    "simhash",
    "warm",
]
