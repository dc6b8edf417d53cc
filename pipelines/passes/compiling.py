"""Everything that Numba compiles, once a machine and before the first task, kept in Numba's cache.

Compiled in every worker as it meets them, the jitted loops take a minute of each; compiled here, on all cores
at once, they are read from the cache by whoever comes later. A stamp beside the cache says that it is whole
for these sources, this Numba and this processor, so that a start that finds one costs a few milliseconds.
`headrace warm` does it ahead of time, for an image or a fresh checkout.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules
from threading import Lock

from headrace import kernels
from headrace.cluster.errors import UserError
from headrace.pipelines.console import Mode, say

# Modules that compile loops of their own; each has a function `warm`.
MODULES = (
    "examine.contradictions.apart",
    "examine.contradictions.bags",
    "examine.contradictions.coded",
    "examine.contradictions.keys",
    "examine.contradictions.near",
    "examine.contradictions.numbers",
    "examine.diversity.links",
    "examine.leaks.regions",
    "examine.vectors",
    "stages.dedup.candidates",
    "stages.dedup.decide",
    "stages.dedup.passages",
    "stages.dedup.signatures",
    "stages.fingerprint.stage",
    "stages.split.assign",
    "stages.tokenise.decode",
    "stages.tokenise.stage",
    "stages.traits.stage",
)
UNCACHED = (
    "Numba has no directory to keep what it compiles in: set NUMBA_CACHE_DIR to one that can be written"
)


def modules() -> list[str]:
    """Names of all modules with a function `warm`."""
    homes = [f"headrace.kernels.{home.name}.cpu" for home in iter_modules(kernels.__path__) if home.ispkg]
    return [*homes, *(f"headrace.pipelines.{name}" for name in MODULES)]


def warm(tell: Callable[[int, int], None]) -> int:
    """Compile what is not in the cache yet, in as many processes as there are cores.

    `tell` is called with (modules done, modules in all) as they are done. Returns how many were compiled: 0
    where the stamp says that all are there.

    Raises: UserError where Numba can keep nothing.
    """
    stamp = _stamp()
    if stamp.exists():
        return 0
    names, done, lock = modules(), 0, Lock()
    tell(0, len(names))

    def tick() -> None:
        nonlocal done
        with lock:
            done += 1
            tell(done, len(names))

    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as pool:
        for ended in [pool.submit(_compile, names[first::cores], tick) for first in range(cores)]:
            ended.result()
    with suppress(OSError):  # nobody may write there: whoever comes next loads all of it again
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    return len(names)


CODE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name).warm()
    print(name, flush=True)
"""


def _compile(names: Sequence[str], tick: Callable[[], None]) -> None:
    """Compile some modules in a process of their own, which gives back the memory that it takes."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    command = [sys.executable, "-c", CODE, *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:  # noqa: S603 - ours
        for _ in child.stdout or ():
            tick()
    if child.returncode:
        raise UserError(
            "kernels could not be compiled, see the traceback above, or on a cluster in Ray's logs. If it "
            f"says so: {UNCACHED}"
        )


def _stamp() -> Path:
    """The file that says that all is compiled: beside Numba's own files of one of the kernels.

    Its name holds a hash of everything that a compiled function depends on.
    """
    import llvmlite.binding as llvm
    from numba.core import config

    key = sha256()
    for part in (version("numba"), version("llvmlite"), llvm.get_host_cpu_name()):
        key.update(part.encode())
    key.update(llvm.get_host_cpu_features().flatten().encode())
    root = Path(kernels.__file__).parent
    pipelines = root.parent / "pipelines"
    names = ("dedup", "fingerprint", "read", "split", "tokenise", "traits")
    folders = [*(pipelines / "stages" / name for name in names), pipelines / "examine"]
    for path in sorted(path for folder in (root, *folders) for path in folder.rglob("*.py")):
        key.update(path.read_bytes())
    folder = Path(config.CACHE_DIR) if config.CACHE_DIR else _beside_numba()
    return folder / f"headrace-compiled-{key.hexdigest()[:32]}"


def _beside_numba() -> Path:
    """Where Numba keeps what it compiles of the kernels: beside them, or in the user's cache."""
    try:
        from headrace.kernels.graph.cpu import _union
    except RuntimeError as error:  # what Numba raises of a function that it cannot keep
        raise UserError(UNCACHED) from error
    return Path(_union.stats.cache_path)


def everywhere(mode: Mode) -> None:
    """Compile on every machine that Ray runs tasks on, and say so while it is done."""
    if not os.environ.get("RAY_ADDRESS"):  # a Ray of ours, on this machine alone
        warm(partial(say_compiling, mode))
        return
    from headrace.cluster import session, stream

    nodes = session.nodes()
    # What a node that joins later has not, its workers compile as they meet it.
    for number, _ in enumerate(stream.on_nodes(_quietly, nodes, name="compile"), 1):
        text = f"compiling kernels, once: {number} of {len(nodes)} nodes"
        say(mode, "compiling", text, done=number, of=len(nodes))


def _quietly(_: str) -> int:
    return warm(lambda done, of: None)


def say_compiling(mode: Mode, done: int, of: int) -> None:
    """Tell how far compiling is."""
    say(mode, "compiling", f"compiling kernels, once: {done} of {of}", done=done, of=of)
