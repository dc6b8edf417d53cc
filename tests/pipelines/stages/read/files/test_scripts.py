"""Encodings of Cyrillic, Greek, Hebrew, Arabic and Thai told by their letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.stages.read.files import encodings, scripts

RUSSIAN = "Здравствуйте, мой заказ не пришёл вовремя, а я жду его уже вторую неделю"
GREEK = "Καλησπέρα, η παραγγελία μου δεν έχει έρθει ακόμη, πού βρίσκεται;"
HEBREW = "שלום, ההזמנה שלי עדיין לא הגיעה, איפה היא נמצאת עכשיו"
ARABIC = "مرحبا، لم يصل طلبي حتى الآن، أين هو وهل يمكنكم أن تساعدوني"
THAI = "สวัสดีครับ สินค้าที่ผมสั่งซื้อยังมาไม่ถึง ช่วยตรวจสอบให้ด้วยครับ"
TEXTS = {"Russian": RUSSIAN, "Greek": GREEK, "Hebrew": HEBREW, "Arabic": ARABIC, "Thai": THAI}
PAGES = [(name, page) for name in TEXTS for page in scripts.ENCODINGS[name] if page != "mac_arabic"]


@pytest.mark.parametrize(("name", "page"), PAGES)
def test_each_page_of_a_language_reads_as_its_text(name: str, page: str) -> None:
    raw = TEXTS[name].encode(page, "ignore")
    told = scripts.told(raw)
    assert told is not None
    assert raw.decode(told) == raw.decode(page)


@pytest.mark.parametrize("page", ["cp1251", "koi8_r", "cp866", "mac_cyrillic"])
def test_a_text_in_capitals_is_told_too(page: str) -> None:
    raw = RUSSIAN.upper().encode(page)
    told = scripts.told(raw)
    assert told is not None
    assert raw.decode(told) == RUSSIAN.upper()


@pytest.mark.parametrize(
    "raw",
    [
        "schöne Grüße aus der Straße".encode("cp1252"),
        "žluťoučký kůň úpěl ďábelské ódy".encode("cp1250"),
        "お世話になっております。注文した商品がまだ届いていません。".encode("cp932"),
        "您好，我的订单还没有收到，请帮我查询一下物流信息。".encode("gb18030"),
        "안녕하세요, 주문한 상품이 아직 도착하지 않았습니다.".encode("cp949"),
        bytes(range(0x80, 0x100)) * 3,
        b"plain",
    ],
)
def test_other_scripts_are_none_of_these(raw: bytes) -> None:
    assert scripts.told(raw) is None


def test_what_two_pages_read_alike_is_the_usual_one() -> None:
    assert scripts.told("когда ты уйдешь, и куда".encode("mac_cyrillic")) == "cp1251"
    assert encodings.of_bytes(HEBREW.encode("iso8859_8")) == "cp1255"


@given(st.binary(max_size=60))
def test_any_bytes_are_scored(raw: bytes) -> None:
    found = scripts.scored(raw)
    assert {encoding for encoding, _ in found} <= {
        page for pages in scripts.ENCODINGS.values() for page in pages
    }
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
