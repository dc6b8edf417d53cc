"""Text in every encoding: read right, the same however a file is cut, and no line lost for a byte."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cluster.errors import RecipeError
from headrace.pipelines import recipe
from headrace.pipelines.stages.read import streams
from headrace.pipelines.stages.read.files import encodings
from tests.pipelines.stages.read.rows_of import contents, repaired, rows_of

TEXTS = {
    "utf-8": "Grüße, 😀 und 中文 – „sehr“ 12,50 €",
    "utf-8-sig": "Grüße, 😀 und 中文",
    "utf-16": "Grüße, 😀 und 中文 \u2028 weiter",
    "utf-16-le": "Grüße und mehr, in ASCII zumeist",
    "utf-16-be": "Grüße und mehr, in ASCII zumeist",
    "utf-32": "Grüße, 😀 und 中文",
    "latin-1": "très déçu, à bientôt; Größe ärgerlich",
    "cp1252": "Grüße aus München – „sehr“ ärgerlich, 12,50 €; it’s fine",
    "cp1250": "Příliš žluťoučký kůň úpěl ďábelské ódy, děkuji za zprávu",
    "cp1251": "Здравствуйте, мой заказ не пришёл вовремя",
    "koi8_r": "Здравствуйте, мой заказ не пришёл вовремя",
    "cp932": "お世話になっております。注文した商品がまだ届いていません。",
    "euc_jp": "お世話になっております。注文した商品がまだ届いていません。",
    "gb18030": "您好，我的订单还没有收到，请帮我查询一下物流信息。",
    "big5": "您好，我的訂單還沒有收到，請幫我查詢一下物流資訊。",
    "cp949": "안녕하세요, 주문한 상품이 아직 도착하지 않았습니다.",
    "koi8_u": "Доброго дня, моє замовлення ще не прийшло, будь ласка, перевірте його стан",
    "mac_cyrillic": "Здравствуйте, мой заказ не пришёл вовремя, а я жду его уже вторую неделю",
    "cp855": "Здравствуйте, мой заказ не пришёл вовремя, а я жду его уже вторую неделю",
    "iso8859_5": "Здравствуйте, мой заказ не пришёл вовремя, а я жду его уже вторую неделю",
    "kz1048": "Сәлеметсіз бе, менің тапсырысым әлі келген жоқ, өтінемін, оның қайда екенін айтыңыз",
    "cp1253": "Καλησπέρα, η παραγγελία μου δεν έχει έρθει ακόμη, πού βρίσκεται;",
    "mac_greek": "Καλησπέρα, η παραγγελία μου δεν έχει έρθει ακόμη, πού βρίσκεται;",
    "cp1255": "שלום, ההזמנה שלי עדיין לא הגיעה, איפה היא נמצאת עכשיו",
    "cp862": "שלום, ההזמנה שלי עדיין לא הגיעה, איפה היא נמצאת עכשיו",
    "cp1256": "مرحبا، لم يصل طلبي حتى الآن، أين هو وهل يمكنكم أن تساعدوني",
    "iso8859_6": "مرحبا، لم يصل طلبي حتى الآن، أين هو وهل يمكنكم أن تساعدوني",
    "cp874": "สวัสดีครับ สินค้าที่ผมสั่งซื้อยังมาไม่ถึง ช่วยตรวจสอบให้ด้วยครับ",
    "cp1257": "Labas, mano užsakymas dar neatvyko, gal galėtumėte patikrinti, kur jis yra įstrigęs",
    "iso8859_3": "Saluton, mia mendaĵo ankoraŭ ne venis, ĉu vi povas serĉi ĝin kaj diri, kie ĝi estas",
    "iso2022_jp": "お世話になっております。注文した商品",
}
FORMS = ["jsonl", "json", "csv", "tsv", "txt", "jsonl.gz"]


def pairs(text: str, n: int = 40) -> list[dict[str, str]]:
    return [{"question": f"{text} {i}?", "answer": f"{i}: {text}."} for i in range(n)]


def file_of(form: str, text: str, encoding: str) -> bytes:
    """A file of pairs in an encoding."""
    bare = form.removesuffix(".gz")
    if bare == "json":
        whole = json.dumps(pairs(text), ensure_ascii=False, indent=1)
    elif bare == "jsonl":
        whole = "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in pairs(text))
    elif bare == "txt":
        whole = "\n".join(p["question"] for p in pairs(text))
    else:
        sink = io.StringIO(newline="")
        writer = csv.DictWriter(sink, ["question", "answer"], delimiter="," if bare == "csv" else "\t")
        writer.writeheader()
        writer.writerows(pairs(text))
        whole = sink.getvalue()
    data = whole.encode(encoding)
    return gzip.compress(data, mtime=0) if form.endswith(".gz") else data


def expected(form: str, text: str) -> list[Any]:
    if form == "txt":
        return [("\n".join(p["question"] for p in pairs(text)),)]
    return [(p["question"], p["answer"]) for p in pairs(text)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", TEXTS)
def test_every_encoding_is_told_in_every_format(tmp_path: Path, form: str, encoding: str) -> None:
    path = tmp_path / f"x.{form}"
    path.write_bytes(file_of(form, TEXTS[encoding], encoding))
    whole = rows_of(path)
    assert contents(whole) == expected(form, TEXTS[encoding])
    assert repaired(whole) == 0
    cut = rows_of(path, 300)
    assert contents(cut) == contents(whole)


@pytest.mark.parametrize("form", FORMS)
def test_the_recipe_names_the_encoding(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"x.{form}"
    for encoding, text in (
        ("cp850", "schöne Grüße"),
        ("mac_roman", "déçu"),
        ("cp1254", "ışık şu"),
        ("cp037", "é"),
    ):
        path.write_bytes(file_of(form, text, encoding))
        found = rows_of(path, 300, encoding=encoding)
        assert contents(found) == expected(form, text), encoding


def test_an_encoding_that_is_none_is_refused(tmp_path: Path) -> None:
    for name in ("utf-9", "base64", "rot13"):
        data = {"output": "out", "sources": [{"path": "x", "encoding": name}]}
        with pytest.raises(RecipeError, match=r"sources\[0\]\.encoding.*is no encoding that Python knows"):
            recipe.validate(data, "r.yaml")


# ---- bad bytes


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "jsonl.gz"])
@pytest.mark.parametrize("bad", [b"\xff", b"\xf0\x9f\x98", b"\xc3(", b"\xed\xa0\x80"])
def test_a_few_bad_bytes_cost_no_line_of_a_good_file(tmp_path: Path, form: str, bad: bytes) -> None:
    text = TEXTS["utf-8"]
    data = file_of(form.removesuffix(".gz"), text, "utf-8")
    mark = f"{text} 7?".encode()
    assert data.count(mark) == 1
    data = data.replace(mark, f"{text} ".encode() + bad + b"7?")
    path = tmp_path / f"x.{form}"
    path.write_bytes(gzip.compress(data, mtime=0) if form.endswith(".gz") else data)
    found = rows_of(path)
    good = expected(form, text)
    assert contents(found)[:7] + contents(found)[8:] == good[:7] + good[8:]
    question = bad.decode("utf-8", "replace")
    assert contents(found)[7] == (f"{text} {question}7?", good[7][1])
    assert repaired(found) == question.count("\ufffd")
    assert contents(rows_of(path, 300)) == contents(found)


def test_a_text_file_with_a_bad_byte_is_no_loss(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("Größe und Maß, für alle\n".encode() * 9 + b"cut \xf0\x9f\n")
    (row,) = rows_of(path)
    assert contents([row]) == [("Größe und Maß, für alle\n" * 9 + "cut \ufffd\n",)]
    assert repaired([row]) == 1


def test_replacement_characters_that_were_there_are_no_repair(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(
        '{"text": "\ufffd\ufffd – ok"}\n'.encode() + b'{"text": "\xef\xbf\xbd \xe2\x82 \xe2\x80\x93"}\n'
    )
    found = rows_of(path)
    assert contents(found) == [("\ufffd\ufffd – ok",), ("\ufffd \ufffd –",)]
    assert repaired(found) == 1


def test_a_western_line_in_a_utf8_file_is_read_as_one(tmp_path: Path) -> None:
    """Files of two origins put together: each line by itself, and its bytes are counted."""
    lines = [json.dumps({"text": f"gute Grüße {i} – 😀"}, ensure_ascii=False).encode() for i in range(3000)]
    lines[2500] = '{"text": "très déçu"}'.encode("cp1252")
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(lines))
    assert repaired(rows_of(path)) == 3
    found = contents(rows_of(path))
    assert found[2499] == ("gute Grüße 2499 – 😀",)
    assert found[2500] == ("très déçu",)
    assert len(found) == 3000
    assert contents(rows_of(path, 5000)) == found


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r'"a\ud83dz"', "a\ufffdz"),
        (r'"\udc00\ud800"', "\ufffd\ufffd"),
        (r'"\ud83d\ude00"', "😀"),
        ('"a\u2028b\u2029c\u0085d"', "a\u2028b\u2029c\u0085d"),
        (r'"a\u0000b"', "a\x00b"),
    ],
)
def test_what_json_spells_and_text_cannot_hold(tmp_path: Path, written: str, read: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"text": {written}}}\r\n{{"text": "next"}}\r\n', encoding="utf-8")
    found = rows_of(path)
    assert contents(found) == [(read,), ("next",)]
    assert repaired(found) == read.count("\ufffd")


def test_byte_order_marks_within_a_file_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    one = '\ufeff{"text": "one é"}\n'.encode()
    path.write_bytes(one * 3)
    for size in (2**20, 25, 31, 1):
        assert contents(rows_of(path, size)) == [("one é",)] * 3


def test_a_mark_does_not_move_a_line_to_two_ranges(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"".join(b'{"text": "%d"}\n' % i for i in range(50)))
    for size in range(10, 60):
        assert contents(rows_of(path, size)) == [(str(i),) for i in range(50)]


@pytest.mark.parametrize("form", ["jsonl", "csv", "txt"])
def test_lines_that_end_in_a_carriage_return(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"x.{form}"
    data = file_of(form, "alt é", "mac_roman").replace(b"\r\n", b"\n").replace(b"\n", b"\r")
    path.write_bytes(data)
    found = rows_of(path, encoding="mac_roman")
    assert contents(found) == expected(form, "alt é")
    assert contents(rows_of(path, 200, encoding="mac_roman")) == contents(found)


# ---- invariants


some = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=15), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(
    some,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030", "utf-16-be"]),
    st.integers(1, 200),
)
def test_any_text_comes_back_however_it_is_cut(
    tmp_path_factory: Any, texts: list[str], encoding: str, size: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    path.write_bytes(
        "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts).encode(encoding)
    )
    keys = {} if encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32") else {"encoding": encoding}
    assert contents(rows_of(path, size, shape="text", **keys)) == [(t,) for t in texts]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=25), min_size=1, max_size=25), st.integers(1, 120), st.integers(3, 50))
def test_any_bytes_are_the_same_rows_however_they_are_cut(
    tmp_path_factory: Any, lines: list[bytes], size: int, chunk: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    path.write_bytes(b'{"text": "first"}\n' + b"\n".join(b'{"text": "%s"}' % line for line in lines))
    whole = rows_of(path, shape="text")
    assert contents(rows_of(path, size, shape="text")) == contents(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        assert contents(rows_of(path, size, shape="text")) == contents(whole)


def test_large_files_are_looked_at_all_over(tmp_path: Path) -> None:
    """A Latin-1 file whose first letter beyond ASCII stands far behind its beginning."""
    path = tmp_path / "x.csv"
    plain, other = b"a question,an answer\n", "très déçu,à bientôt\n".encode("latin-1")
    path.write_bytes(b"question,answer\n" + plain * 90_000 + other * 4000)
    found = contents(rows_of(path))
    assert found[-1] == ("très déçu", "à bientôt")
    assert len(found) == 94_000


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"caf\xe9", "cp1252"),
        (b"it\x92s", "cp1252"),
        (b"a\xffb", "utf-8"),
        (b"cut \xf0\x9f", "utf-8"),
        ("wörter – ok".encode() + b" \xe9", "utf-8"),
        (b"plain", "utf-8"),
    ],
)
def test_little_text_is_told_only_where_it_is_sure(data: bytes, encoding: str) -> None:
    assert encodings.of_bytes(data) == encoding
