"""More inputs of `real_life.py`: conversations in one text, and code pages of DOS and of other countries."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.real_life_inputs import Input, Row, Write, lines, preferred, right, rows

ALPACA = "Below is an order that describes a task. Write an answer that does it."


def marked(form: Callable[[str, str], str]) -> Write:
    """A file of lines with a column `text` that holds the whole of a talk."""
    return lines("a.jsonl", lambda n, a, b: {"text": form(a, b)})


def page(encoding: str, texts: list[tuple[str, str]]) -> Write:
    """A CSV file of questions and answers in an encoding."""

    def write(folder: Path) -> None:
        sink = io.StringIO(newline="")
        writer = csv.writer(sink)
        writer.writerow(["question", "answer"])
        writer.writerows(texts)
        (folder / "a.csv").write_bytes(sink.getvalue().encode(encoding))

    return write


def pairs(texts: list[tuple[str, str]]) -> list[Row]:
    """The rows that are right of questions and answers."""
    return [(("user", a), ("assistant", b)) for a, b in texts]


GERMAN = [
    (f"Wo finde ich die Schlüssel für Tür {n}?", f"Über dem Gerät {n} hängt ein größeres Brett.")
    for n in range(30)
]
TURKISH = [
    (f"{n} numaralı dosyayı nasıl açarım?", f"Önce şifrenizi girin, sonra {n} yazan düğmeye basın.")
    for n in range(30)
]
HUNGARIAN = [
    (f"Miért nem működik a {n}. gép?", f"Előbb töltse ki az űrlapot, és jöjjön be {n} órakor, köszönjük.")
    for n in range(30)
]
RUSSIAN = [
    (f"Почему не приходит заказ {n}?", f"Мы отправили его вчера, номер отправления {n}.") for n in range(30)
]
PAGES = (
    ("German of DOS", "cp437", GERMAN),
    ("German of DOS, cp850", "cp850", GERMAN),
    ("German of the Macintosh", "mac_roman", GERMAN),
    ("Turkish of Windows", "cp1254", TURKISH),
    ("Turkish of ISO", "iso8859_9", TURKISH),
    ("Turkish of DOS", "cp857", TURKISH),
    ("Hungarian of Windows", "cp1250", HUNGARIAN),
    ("Hungarian of DOS", "cp852", HUNGARIAN),
    ("Russian of DOS", "cp866", RUSSIAN),
)
TEXTS = [
    Input("texts with ### Human", marked(lambda a, b: f"### Human: {a}### Assistant: {b}"), right(rows())),
    Input("texts with Human", marked(lambda a, b: f"\n\nHuman: {a}\n\nAssistant: {b}"), right(rows())),
    Input("texts with User and Assistant", marked(lambda a, b: f"User: {a}\nAssistant: {b}"), right(rows())),
    Input("texts with Q and A", marked(lambda a, b: f"Q: {a}\nA: {b}"), right(rows())),
    Input(
        "texts of ChatML",
        marked(lambda a, b: f"<|im_start|>user\n{a}<|im_end|>\n<|im_start|>assistant\n{b}<|im_end|>\n"),
        right(rows()),
    ),
    Input(
        "texts of Llama 2",
        marked(lambda a, b: f"<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n{a} [/INST] {b} </s>"),
        right(rows(("system", "Be kind."))),
    ),
    Input(
        "texts of Alpaca",
        marked(lambda a, b: f"{ALPACA}\n\n### Instruction:\n{a}\n\n### Response:\n{b}"),
        right(rows(("system", ALPACA))),
    ),
    Input(
        "chosen texts with Human",
        lines(
            "a.jsonl",
            lambda n, a, b: {
                "chosen": f"\n\nHuman: {a}\n\nAssistant: {b}",
                "rejected": f"\n\nHuman: {a}\n\nAssistant: No.",
            },
        ),
        right(preferred()),
    ),
    *(Input(name, page(encoding, texts), right(pairs(texts))) for name, encoding, texts in PAGES),
]
