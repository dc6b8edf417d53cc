"""Encodings that are told right, not told, and told wrong, with sentences of Tatoeba.

    python tests/benchmarks/encodings_told.py [--out encodings_told.csv]

Pieces of 1, 5 and 40 sentences, of each language in each encoding that can hold it, as plain text. Right is
what reads as the same text; not told is what stays UTF-8, with its bytes counted as bad; wrong is the rest.

Cost: about two minutes.
"""

import argparse
import csv
import os
import sys
import tarfile
from collections import Counter
from pathlib import Path

from headrace.pipelines.stages.read.files import encodings

DATA = Path(os.environ.get("HEADRACE_TEST_DATA", Path(__file__).parents[3] / "shared/data"))
SIZES = (1, 5, 40)
PIECES = 25
WESTERN = ("cp1252", "iso8859_15", "cp850", "cp437", "mac_roman")
CENTRAL = ("cp1250", "iso8859_2", "cp852", "mac_latin2")
LANGUAGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("deu", "fra", "spa", "por", "ita", "dan", "swe", "fin", "nld", "cat", "isl", "eng"), WESTERN
    ),
    **dict.fromkeys(("nob", "glg", "eus", "gle"), WESTERN),
    **dict.fromkeys(("pol", "ces", "slk", "hun", "hrv", "ron", "slv"), CENTRAL),
    "tur": ("cp1254", "iso8859_9", "cp857"),
    **dict.fromkeys(("est", "lit", "lvs"), ("cp1257", "cp775")),
    **dict.fromkeys(
        ("rus", "bul", "srp"), ("cp1251", "koi8_r", "cp866", "iso8859_5", "mac_cyrillic", "cp855")
    ),
    "ukr": ("cp1251", "koi8_u", "cp1125", "iso8859_5", "mac_cyrillic"),
    "kaz": ("kz1048", "ptcp154"),
    "ell": ("cp1253", "iso8859_7", "cp737", "mac_greek", "cp869"),
    "heb": ("cp1255", "iso8859_8", "cp862"),
    "ara": ("cp1256", "iso8859_6", "cp720"),
    "tha": ("cp874",),
    "epo": ("iso8859_3",),
    "cym": ("iso8859_14",),
    "jpn": ("cp932", "euc_jp"),
    "cmn": ("gb18030", "big5"),
    "kor": ("cp949",),
}


def pieces(lines: list[str], encoding: str, size: int) -> list[bytes]:
    """Some pieces of `size` sentences that the encoding can hold, each with a byte beyond ASCII."""
    found: list[bytes] = []
    for start in range(0, len(lines) - size, size):
        try:
            raw = "\n".join(lines[start : start + size]).encode(encoding)
        except UnicodeEncodeError:
            continue
        if not raw.isascii():
            found.append(raw)
        if len(found) == PIECES:
            break
    return found


def outcome(raw: bytes, encoding: str) -> str:
    """What becomes of text in an encoding."""
    told = encodings.of_bytes(raw)
    if raw.decode(told, "replace") == raw.decode(encoding):
        return "right"
    return "not told" if told == encodings.UTF8 else "wrong"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out")
    options = parser.parse_args()
    rows, whole = [], {size: Counter[str]() for size in SIZES}
    with tarfile.open(DATA / "web/tatoeba/tatoeba_v1.tar.gz") as archive:
        members = {Path(name).suffix[1:]: name for name in archive.getnames() if "-eng." in name}
        for language, names in LANGUAGES.items():
            if language not in members:
                print(f"no sentences in {language}", file=sys.stderr)
                continue
            file = archive.extractfile(members[language])
            assert file is not None
            lines = file.read().decode().splitlines()
            for encoding in names:
                for size in SIZES:
                    seen = Counter(outcome(raw, encoding) for raw in pieces(lines, encoding, size))
                    whole[size] += seen
                    rows.append([language, encoding, size, seen["right"], seen["not told"], seen["wrong"]])
                    if seen["wrong"]:
                        print(*rows[-1], flush=True)
    for size, seen in whole.items():
        print(f"{size} sentences: {dict(sorted(seen.items()))}")
    if options.out:
        with open(options.out, "w", encoding="utf-8", newline="") as sink:
            writer = csv.writer(sink, lineterminator="\n")
            writer.writerow(["language", "encoding", "sentences", "right", "not_told", "wrong"])
            writer.writerows(rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
