"""What lies among data and is none: told by its name, passed over, and said.

A path that a recipe names is never passed over. Hidden files, markers of jobs, temporaries and checksums
are no data anywhere; a README, a licence or a description of a data set is none beside tables and records;
pictures, programs and documents are none beside anything that can be read.
"""

import re
from collections.abc import Collection, Iterable

MARKERS = {
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "md5sums",
    "sha1sums",
    "sha256sums",
    "checksums",
}
TEMPORARY = (
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".swp",
    ".swo",
    ".lock",
    ".lck",
    "~",
)
CHECKSUMS = (".crc", ".md5", ".sha1", ".sha256", ".sha512", ".asc", ".sig")
ABOUT = {
    *("copying", "notice", "changelog", "citation", "authors"),
    *("contributing", "code_of_conduct", "datasheet", "dataset_card", "datacard"),
}
ABOUT_SUFFIXES = ("", ".md", ".txt", ".rst", ".html", ".cff", ".bib", ".pdf", ".markdown", ".en", ".docx")
METADATA = {
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "croissant.json",
    "datapackage.json",
}
UNREADABLE = {
    "pictures, sounds and films": (
        *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".bmp", ".tif", ".tiff", ".ico", ".heic"),
        *(".mp3", ".wav", ".flac", ".ogg", ".m4a", ".mp4", ".avi", ".mov", ".mkv", ".webm"),
    ),
    "programs and settings": (
        *(
            ".py",
            ".pyc",
            ".sh",
            ".ipynb",
            ".yaml",
            ".yml",
            ".toml",
            ".cfg",
            ".ini",
            ".js",
            ".css",
            ".gitignore",
        ),
        *(".exe", ".dll", ".so", ".jar", ".lua", ".woff", ".woff2", ".ttf"),
    ),
    "documents (save their text as .txt, their sheets as CSV UTF-8)": (
        *(
            ".pdf",
            ".doc",
            ".docx",
            ".xls",
            ".xlsx",
            ".xlsm",
            ".ods",
            ".odt",
            ".ppt",
            ".pptx",
            ".epub",
            ".rtf",
        ),
    ),
    "models and arrays": (
        *(".bin", ".pt", ".pth", ".safetensors", ".ckpt", ".npy", ".npz", ".pkl", ".pickle", ".h5", ".hdf5"),
        *(".faiss", ".gguf", ".onnx", ".idx", ".index"),
    ),
    "databases and archives of other kinds (export or unpack them)": (
        *(".db", ".sqlite", ".sqlite3", ".mdb", ".7z", ".rar", ".lz4", ".z", ".avro", ".orc"),
    ),
}
_BY_SUFFIX = {suffix: what for what, suffixes in UNREADABLE.items() for suffix in suffixes}
STRUCTURED = ("jsonl", "json", "csv", "tsv", "parquet", "arrow", "archive")


CACHE = re.compile(r"cache-[0-9a-f]+(_\d+_of_\d+)?\.arrow")
LAKES = {
    "a Delta table": re.compile(r"(.*/)?_delta_log/.*"),
    "an Iceberg table": re.compile(r"(.*/)?metadata/(v\d+|\d{5}-[0-9a-f-]+)\.metadata\.json"),
    "a Hudi table": re.compile(r"(.*/)?\.hoodie/.*"),
}


def lake(relatives: Iterable[str]) -> str | None:
    """What table of a lake some paths are of, whose own log says which of its files count; None for none."""
    each = ((what, relative) for relative in relatives for what in LAKES)
    return next((what for what, relative in each if LAKES[what].fullmatch(relative)), None)


def by_hash(relatives: Collection[str]) -> set[str]:
    """Of the hub's cache the files that are called by their hashes, beside links that have names."""
    roots = {r[: r.index("snapshots/")] for r in relatives if "/snapshots/" in f"/{r}"}
    return {r for r in relatives for root in roots if r.startswith((f"{root}blobs/", f"{root}refs/"))}


def rule(relative: str, named: Collection[int] = ()) -> str | None:
    """Why a file is no data wherever it lies; None where it may be.

    named: which components of the path a recipe's pattern spells out with their first letters.
    """
    parts = relative.split("/")
    if any(p.startswith((".", "_")) and p not in (".", "..") and n not in named for n, p in enumerate(parts)):
        return "hidden files and markers"
    name = parts[-1].lower()
    if len(parts) - 1 in named:
        return None
    if name.endswith("_$folder$"):
        return "folder markers"
    if name.startswith("~$") or name.endswith(TEMPORARY) or (name.startswith("#") and name.endswith("#")):
        return "temporary files"
    if CACHE.fullmatch(name):
        return "what `datasets` keeps of its own steps"
    if name in MARKERS or name.endswith(CHECKSUMS) or name.removesuffix(".txt") in MARKERS:
        return "checksums and files of the desktop"
    return None


def beside(relative: str, forms: Collection[str], *, arrow: bool) -> str | None:
    """Why a file is no data beside files of these `forms`; None where it may be.

    forms: formats of the others, "archive" among them. arrow: an Arrow file lies in its folder.
    """
    if not forms:
        return None
    name = relative.rpartition("/")[2].lower()
    stem, dot, suffix = name.partition(".")
    about = stem in ABOUT or stem.startswith(("readme", "license", "licence"))
    if about and f"{dot}{suffix}" in ABOUT_SUFFIXES and any(f in STRUCTURED for f in forms):
        return "what says something about the data"
    if name in METADATA or (arrow and name == "state.json"):
        return "descriptions of a data set"
    return _BY_SUFFIX.get(name[name.rfind(".") :] if "." in name else "")
