"""Texts that are hard on kernels: every script, borders of characters, odd Arrow layouts."""

import html
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

HARD = [
    "",
    " ",
    "a",
    "1234567",
    "12345678",
    "The  Quick\tbrown fox -- jumps; over (the) lazy dog.",
    "ÀÉÎõü ß ẞ İ ı Ⱥ Ⱦ ﬁ ᾈ Σίσυφος",
    "ไทยนี้น่าอยู่ ที่สุด",
    "हिन्दी में लिखा हुआ वाक्य।",
    "人人生而自由，在尊嚴和權利上一律平等。",
    "⠓⠑⠇⠇⠕ 𝠀𝡝 👩\u200d🔬 co\u00adoperate",
    "ᏣᎳᎩ ꭰꭱ",
    "\u3000 \u2003\u00a0\r\n\x00\x85\u200b",
    "𐐀𐐁 𞤀 \U0010ffff",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "x" * 63 + "é" * 70 + "世" * 50,
]


@pytest.fixture
def hard() -> list[str]:
    """Texts short and long, in many scripts."""
    return list(HARD)


@pytest.fixture(params=["large", "small", "slice", "nulls", "chunks", "binary", "view", "list"])
def layout(request: pytest.FixtureRequest) -> Callable[[list[str]], object]:
    """Function that lays texts out in one of the ways in which a caller may hold them."""

    def lay(texts: list[str]) -> object:
        whole = pa.array(texts, pa.large_string())
        chunks = [whole[:3], whole[3:3], whole[3:]]
        made = {
            "large": whole,
            "small": whole.cast(pa.string()),
            "slice": pa.array(["before, é", *texts, "behind 世"], pa.string())[1:-1],
            "nulls": pa.array([*texts, None], pa.string())[: len(texts)],
            "chunks": pa.chunked_array(chunks),
            "binary": whole.cast(pa.large_binary()),
            "view": whole.cast(pa.string_view()),
            "list": texts,
        }
        return made[request.param]

    return lay


@pytest.fixture(scope="session")
def tatoeba(shared_data: Path) -> list[str]:
    """Sentences of 112 languages."""
    with tarfile.open(shared_data / "web/tatoeba/tatoeba_v1.tar.gz") as tar:
        files = [tar.extractfile(m) for m in tar.getmembers() if m.isfile() and not m.name.endswith(".md")]
        return [line for file in files if file for line in file.read().decode().split("\n") if line]


@pytest.fixture(scope="session")
def udhr(shared_data: Path) -> list[str]:
    """One declaration in more than 500 languages."""
    with tarfile.open(shared_data / "web/udhr/udhr_html.tar.gz") as tar:
        files = [tar.extractfile(m) for m in tar.getmembers() if m.isfile()]
        pages = [file.read().decode() for file in files if file]
    return [re.sub(r"<[^>]+>", " ", html.unescape(page.split("<body>")[1])) for page in pages]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every kernel cut its work in two, however small."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    for kernel in ("chunking", "content", "folding", "sketch", "similarity", "hamming"):
        monkeypatch.setattr(f"headrace.kernels.{kernel}.cpu.LEAST", 1)
    monkeypatch.setattr("headrace.kernels.hamming.cpu.LEAST_ROWS", 1)


@pytest.fixture(autouse=True)
def no_gpu_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let "auto" be the CPU on every machine; what tests a GPU asks for it."""
    monkeypatch.setattr("headrace.kernels.dispatch.gpu_given", lambda: False)
