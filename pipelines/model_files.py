"""The files of a model: a copy on this machine, and a hash of what they hold.

What: a model is a directory (local or s3://) or a hub name. An s3:// directory is copied once to the user's
cache, under a name that changes with what it holds.
"""

import os
from pathlib import Path

import xxhash

from headrace.cluster import storage
from headrace.cluster.errors import ModelError

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
OF_TOKENIZER = (".json", ".jinja", ".model", ".txt")  # weights stay where they are
UNSAFE = (".bin", ".pt", ".pth")  # pickles


def local(path: str, *, suffixes: tuple[str, ...] = ()) -> str:
    """A local directory, or hub name, for `path`: s3:// is copied to the user's cache once.

    Only names without a directory are copied, where `suffixes` are given those that end so; they are
    fetched anew when they change. Weights that may run code are left where they are.
    """
    if not storage.is_remote(path):
        return os.path.abspath(path) if os.path.isdir(path) else path
    entries = [e for e in storage.listing(path) if not e.path.endswith(UNSAFE)]
    entries = [e for e in entries if not suffixes or e.path.endswith(suffixes)]
    stamp = xxhash.xxh3_128_hexdigest(repr([(e.path, e.size, e.stamp) for e in entries]).encode())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace" / "models" / stamp
    for entry in entries:
        below = entry.path.removeprefix(path.rstrip("/") + "/")
        if "/" not in below and not (home / below).exists():
            _copy(entry.path, home / below)
    return str(home)


def tokenizer_directory(name: str) -> str:
    """The local directory of the tokenizer `name`, or `name` where it is one of the hub's.

    Raises: ModelError that says what is missing.
    """
    path = name
    if storage.is_remote(path):
        path = local(name, suffixes=OF_TOKENIZER)
        if not os.path.isdir(path):  # nothing was copied
            raise ModelError(f"{name!r} holds no tokenizer: none of {', '.join(VOCABULARIES)} is below it")
    if os.path.isdir(path):
        if not any(os.path.exists(os.path.join(path, file)) for file in VOCABULARIES):
            raise ModelError(
                f"{name!r} is not a tokenizer directory: it has none of {', '.join(VOCABULARIES)}"
            )
    elif os.path.exists(path) or path.startswith(("/", "./", "../", "~")):
        raise ModelError(f"{name!r} is not a directory; give a model directory, an s3:// one or a hub name")
    return path


def _copy(source: str, target: Path) -> None:
    """Fetch one object, a block at a time: weights are larger than what `put` should hold."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{storage.TEMPORARY}{os.getpid()}-{target.name}")
    with storage.explained(source, "read"), storage.open_input(source) as file, open(temporary, "wb") as out:
        while block := file.read(2**24):
            out.write(block)
    os.replace(temporary, target)


def digest(model: str) -> str:
    """Hash of what a model is: names and contents of a directory's files, or the hub name.

    Cost: reads the weights once, ~1 s for each GB or so; loading them does so anyway.
    """
    directory = local(model)
    if not os.path.isdir(directory):
        return model
    whole = xxhash.xxh3_128()
    for path in sorted(Path(directory).iterdir()):
        if path.is_file() and path.suffix in (".json", ".safetensors", ".jinja", ".model", ".txt"):
            whole.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(2**24):
                    whole.update(block)
    return whole.hexdigest()


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line that is not too long: type and message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"
