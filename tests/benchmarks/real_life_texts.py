"""More inputs of `real_life.py`: conversations in one text, and code pages of DOS and of other countries."""

import csv
import io
import re
import unicodedata
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
UKRAINIAN = [
    (f"Чому не працює мій пристрій {n}?", f"Його треба увімкнути знову, потім введіть код {n}, і він піде.")
    for n in range(30)
]
HEBREW = [
    (f"איפה ההזמנה שלי מספר {n}?", f"היא נשלחה אתמול ותגיע בעוד {n} ימים לכתובת שלך.") for n in range(30)
]
ARABIC = [(f"أين طلبي رقم {n}؟", f"لقد أرسلناه أمس وسوف يصل إلى عنوانك بعد {n} أيام.") for n in range(30)]
THAI = [(f"คำสั่งซื้อหมายเลข {n} อยู่ที่ไหน", f"เราส่งของให้เมื่อวานนี้แล้ว จะถึงในอีก {n} วัน") for n in range(30)]
GREEK = [
    (f"Πού βρίσκεται η παραγγελία {n};", f"Την στείλαμε χθες και θα φτάσει σε {n} ημέρες.") for n in range(30)
]
VIETNAMESE = [
    (unicodedata.normalize("NFC", a), unicodedata.normalize("NFC", b))
    for a, b in (
        (f"Đơn hàng {n} của tôi đang ở đâu?", f"Chúng tôi đã gửi nó hôm qua, sẽ đến sau {n} ngày nữa.")
        for n in range(30)
    )
]
KOREAN = [
    (f"주문 번호 {n}은 어디에 있나요?", f"어제 보냈으니 {n}일 뒤에 도착할 것입니다.") for n in range(30)
]
KAZAKH = [
    (f"Менің {n} нөмірлі тапсырысым қайда?", f"Біз оны кеше жібердік, ол {n} күннен кейін келеді.")
    for n in range(30)
]


def of_vietnam(folder: Path) -> None:
    """The tones stand behind their letters, as Windows-1258 has them."""
    parts = [unicodedata.normalize("NFD", f"{a}\t{b}\n") for a, b in VIETNAMESE]
    text = "question\tanswer\n" + "".join(parts)
    for mark in "\u0302\u0306\u031b":
        text = re.sub(f"(\\w)([\u0300\u0301\u0303\u0309\u0323]?){mark}", lambda m: joined(m, mark), text)  # noqa: B023
    (folder / "a.tsv").write_bytes(text.encode("cp1258"))


def joined(found: re.Match[str], mark: str) -> str:
    return unicodedata.normalize("NFC", found[1] + mark) + found[2]


PAGES = (
    ("Russian of the Macintosh", "mac_cyrillic", RUSSIAN),
    ("Russian of DOS, cp855", "cp855", RUSSIAN),
    ("Ukrainian of KOI8", "koi8_u", UKRAINIAN),
    ("Ukrainian of DOS", "cp1125", UKRAINIAN),
    ("Kazakh of Windows", "kz1048", KAZAKH),
    ("Hebrew of Windows", "cp1255", HEBREW),
    ("Hebrew of DOS", "cp862", HEBREW),
    ("Arabic of Windows", "cp1256", ARABIC),
    ("Arabic of ISO", "iso8859_6", ARABIC),
    ("Thai of Windows", "cp874", THAI),
    ("Greek of Windows", "cp1253", GREEK),
    ("Greek of the Macintosh", "mac_greek", GREEK),
    ("Korean of Windows", "cp949", KOREAN),
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
    Input("Vietnamese of Windows", of_vietnam, right(pairs(VIETNAMESE))),
    *(
        Input(
            name, page(encoding, texts), right(pairs(texts)), line={"encoding": encoding}, told=("encoding",)
        )
        for name, encoding, texts in (
            ("Korean of DOS", "johab", KOREAN),
            ("German of mainframes", "cp273", GERMAN),
        )
    ),
]
