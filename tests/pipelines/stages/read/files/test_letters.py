"""Latin script in the encodings of DOS, Windows, ISO 8859 and the Macintosh is told by its letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.stages.read.files import encodings, letters

TEXTS = {
    "Das Gerät lässt sich nicht ausschalten, es hört nicht auf zu blinken. Schöne Grüße, bis übermorgen.": (
        *("cp1252", "iso8859_15", "cp850", "cp437", "mac_roman"),
    ),
    "Où se trouve la clé de la réserve ? L'élève a déjà répondu, ça marche très bien depuis hier.": (
        *("cp1252", "iso8859_15", "cp850", "cp437", "mac_roman"),
    ),
    "¿Dónde está la habitación? El niño comió una piña y después bebió un café.": (
        *("cp1252", "cp850", "cp437", "mac_roman"),
    ),
    "Não consigo abrir a aplicação desde a última atualização, três irmãos estão à espera.": (
        *("cp1252", "cp850", "mac_roman"),
    ),
    "Hvor er nøglen til køkkenet? Både æbler og pærer er på tilbud på øen i dag.": (
        *("cp1252", "cp850", "cp865", "mac_roman"),
    ),
    "Það er ekki hægt að opna skjalið sem þú sendir mér í gær, þau búa á Ísafirði.": ("cp1252", "cp850"),
    "Bu dosyayı açamıyorum, lütfen yardım eder misiniz? Sipariş ettiğim ürün İstanbul'da.": (
        *("cp1254", "iso8859_9", "cp857"),
    ),
    "Nie mogę otworzyć pliku, który wysłałeś wczoraj. Książka leży na półce obok łóżka.": (
        *("cp1250", "iso8859_2", "cp852", "mac_latin2"),
    ),
    "Kde je nejbližší nádraží? Příliš drahý účet za říjen jsme dostali až dnes, děkuji.": (
        *("cp1250", "iso8859_2", "cp852"),
    ),
    "Őszintén szólva nem értem, miért működik így a gép. Űrlapot is kell kitölteni a fürdő előtt.": (
        *("cp1250", "iso8859_2", "cp852"),
    ),
    "The agent’s “first” answer – sent at noon—was late… It cost £20, or €24.": ("cp1252",),
}


@pytest.mark.parametrize("text", TEXTS)
def test_an_encoding_is_told_by_its_letters(text: str) -> None:
    for encoding in TEXTS[text]:
        raw = text.encode(encoding)
        told = encodings.of_bytes(raw)
        assert raw.decode(told) == text, encoding


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"word\x97word " * 400, "cp1252"),  # dashes alone, no Italian in a code page
        (b"it\x92s so \x96 yes " * 50, "cp1252"),
        (b"caf\x82", "utf-8"),  # one letter of a code page may be a comma of Windows
        (b"\xb0\xb1\xb2 box \xdb\xdb", "utf-8"),
    ],
)
def test_what_is_not_sure_is_not_told(raw: bytes, told: str) -> None:
    assert encodings.of_bytes(raw) == told


def test_of_readings_that_are_alike_the_usual_one_is_named() -> None:
    assert letters.latin("schöne Grüße aus der Straße".encode("cp437")) == "cp850"
    assert letters.latin("très déçu, à bientôt".encode("latin-1")) == "cp1252"


@given(st.binary(max_size=60))
def test_any_bytes_are_scored(raw: bytes) -> None:
    found = letters.scored(raw)
    assert {encoding for encoding, _ in found} <= {*letters.ENCODINGS, *letters.RARE}
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
