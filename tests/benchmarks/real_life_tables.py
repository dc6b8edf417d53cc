"""Inputs of `real_life.py`: tables, lines and values as programs of other countries and ages write them."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.real_life_chats import each, pair
from tests.benchmarks.real_life_inputs import (
    REFUSED,
    TALKS,
    Expected,
    Input,
    Write,
    both,
    lines,
    priced,
    prices,
    right,
    rows,
    sheet,
    table,
    turns,
    whole,
)
from tests.benchmarks.real_life_texts import page, pairs

HEAD = ["question", "answer"]


def raw(name: str, of: Callable[[], str], encoding: str = "utf-8") -> Write:
    """A file of this text."""

    def write(folder: Path) -> None:
        (folder / name).write_bytes(of().encode(encoding))

    return write


def listed(
    before: str = "", between: str = "\n", after: str = "", form: str = '"{0}","{1}"'
) -> Callable[[], str]:
    """Every talk by a form, between and around other text."""
    return lambda: before + between.join(form.format(a, b) for a, b in TALKS) + after


def jsons(between: str = "\n", before: str = "", after: str = "\n") -> Callable[[], str]:
    """Every talk as an object."""
    return lambda: before + between.join(json.dumps(r) for r in each(pair)()) + after


def repeated() -> str:
    """Three exports, one behind the other, each with its line of names."""
    parts = [TALKS[:10], TALKS[10:20], TALKS[20:]]
    return "".join("question,answer\n" + "".join(f'"{a}","{b}"\n' for a, b in part) for part in parts)


def named(first: str, second: str) -> Input:
    """A sheet of semicolons whose columns are named in some language."""
    return Input(
        f"a sheet of {first} and {second}",
        sheet("a.csv", [first, second], lambda n, a, b: (a, b), delimiter=";"),
        right(rows()),
    )


def tongue(name: str, encoding: str, asked: str, answer: str) -> Input:
    """A sheet in an encoding."""
    made = [(asked.format(n), answer.format(n)) for n in range(30)]
    return Input(f"{name} in {encoding}", page(encoding, made), right(pairs(made)), named=["encoding"])


def two_encodings(folder: Path) -> None:
    """One file of each encoding."""
    for name, encoding in (("a.csv", "utf-8"), ("b.csv", "cp1252"), ("c.csv", "utf-16")):
        text = "question,answer\n" + "".join(f'"Größe {n} {name}?","Über {n} Meter."\n' for n in range(10))
        (folder / name).write_bytes(text.encode(encoding))


THREE = [
    (f"Größe {n} {name}?", f"Über {n} Meter.") for name in ("a.csv", "b.csv", "c.csv") for n in range(10)
]
BROKEN = [(f'{a}\nAnd then, "it" stops?', f"{b}\n\n- one\n- two") for a, b in TALKS]


def columns() -> dict[str, dict[str, str]]:
    """What pandas makes by default: each column by the numbers of rows."""
    return {
        "question": {str(n): a for n, (a, _) in enumerate(TALKS)},
        "answer": {str(n): b for n, (_, b) in enumerate(TALKS)},
    }


def split() -> dict[str, Any]:
    """The same with orient="split"."""
    return {"columns": HEAD, "index": [*range(len(TALKS))], "data": [[a, b] for a, b in TALKS]}


def schema() -> dict[str, Any]:
    """The same with orient="table"."""
    fields = [{"name": n, "type": "string"} for n in ("index", *HEAD)]
    data = [{"index": n, "question": a, "answer": b} for n, (a, b) in enumerate(TALKS)]
    return {"schema": {"fields": fields, "primaryKey": ["index"]}, "data": data}


def bulk(folder: Path) -> None:
    """Documents with a line of orders before each."""
    text = "".join(
        json.dumps({"index": {"_index": "i", "_id": n}}) + "\n" + json.dumps(pair(n, *talk)) + "\n"
        for n, talk in enumerate(TALKS)
    )
    (folder / "bulk.jsonl").write_text(text)


def times() -> dict[str, Any]:
    day = datetime.date(2024, 2, 29)
    return priced(pa.array([day + datetime.timedelta(n) for n in range(len(TALKS))], pa.date32()))()


def categories() -> dict[str, Any]:
    """Columns as dictionaries, and pandas' own index."""
    asked = pa.array([a for a, _ in TALKS]).dictionary_encode()
    return {
        "question": asked,
        "answer": pa.array([b for _, b in TALKS], pa.large_string()),
        "__index_level_0__": pa.array(range(len(TALKS))),
    }


def class_labels(folder: Path) -> None:
    """Numbers whose names stand in the file's schema, as `datasets` writes them."""
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["bad", "good"], "_type": "ClassLabel"},
    }
    made = pa.table({"text": [a for a, _ in TALKS], "label": [n % 2 for n in range(len(TALKS))]})
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(made.replace_schema_metadata(about), folder / "train.parquet")


GRADED = [(("user", a), ("assistant", ("bad", "good")[n % 2])) for n, (a, _) in enumerate(TALKS)]
SPACED = [(("user", a), ("assistant", b)) for a, b in TALKS]

TABLES = [
    Input(
        "a preamble above the names",
        raw("a.csv", listed("Report of shops\nMade on 2024-03-01\n\nquestion,answer\n")),
        right(rows()),
        named=["stands above the line of names"],
    ),
    Input(
        "sep= above the names",
        raw("a.csv", listed("sep=;\nquestion;answer\n", form='"{0}";"{1}"')),
        right(rows()),
    ),
    Input("names repeated in the middle", raw("a.csv", repeated), right(rows()), named=["repeated"]),
    Input(
        "a line of sums at the end",
        raw("a.csv", listed("question,answer,n\n", form='"{0}","{1}",1', after="\nTotal,,30\n")),
        right(rows()),
    ),
    Input(
        "psql's count of rows",
        raw("a.csv", listed("question|answer\n", form="{0}|{1}", after="\n(30 rows)\n")),
        right(rows()),
    ),
    Input(
        "cells over several lines",
        sheet("a.csv", HEAD, lambda n, a, b: BROKEN[n], lineterminator="\r\n"),
        right(pairs(BROKEN)),
    ),
    Input(
        "quotes behind backslashes",
        raw("a.csv", listed("question,answer\n", form='"{0} \\"So\\"?","{1}"')),
        right(pairs([(f'{a} "So"?', b) for a, b in TALKS])),
    ),
    Input(
        "blanks behind commas",
        raw("a.csv", listed("question, answer\n", form='"{0}", "{1}"')),
        right(rows()),
        named=["malformed", "wrong_columns"],
    ),
    Input(
        "an index without a name",
        raw("a.csv", listed(",question,answer\n", form='7,"{0}","{1}"')),
        right(rows()),
    ),
    Input(
        "a delimiter at each end", raw("a.csv", listed("question;answer;\n", form="{0};{1};")), right(rows())
    ),
    Input("names with blanks and capitals", raw("a.csv", listed('" Question "," ANSWER "\n')), right(rows())),
    Input("bars for commas", raw("a.csv", listed("question|answer\n", form="{0}|{1}")), right(rows())),
    Input(
        "stray quotes in a TSV",
        raw("a.tsv", listed("question\tanswer\n", form='{0} 5" wide\t{1}')),
        right(pairs([(f'{a} 5" wide', b) for a, b in TALKS])),
    ),
    Input(
        "a column named twice",
        raw("a.csv", listed("question,answer,answer\n", form='"{0}","{1}","again"')),
        right(rows()),
        told=["'answer (column 3)'"],
    ),
    Input("an old Macintosh's lines", raw("a.csv", listed("question,answer\r", between="\r")), right(rows())),
    Input("lines of JSON by CR", raw("a.jsonl", jsons("\r")), right(rows()), named=["malformed_json"]),
    Input(
        "sheets of semicolons and decimal commas",
        raw("a.csv", listed("Frage;Antwort;Preis\n", form='"{0}";"{1}";3,50')),
        right(rows()),
    ),
    Input(
        "decimal commas as answers",
        raw(
            "a.csv",
            lambda: (
                "Frage;Antwort\n" + "".join(f"What does it cost in shop {n}?;{n}.234,50\n" for n in range(30))
            ),
            "cp1252",
        ),
        right(prices([f"{n}.234,50" for n in range(30)])),
    ),
    Input(
        "numbers between quotes and thousands",
        raw(
            "a.csv",
            lambda: (
                "question,answer\n"
                + "".join(f'What does it cost in shop {n}?,"{n},234.50"\n' for n in range(30))
            ),
        ),
        right(prices([f"{n},234.50" for n in range(30)])),
    ),
    named("Question", "Réponse"),
    named("Pergunta", "Resposta"),
    named("Pregunta", "Respuesta"),
    named("Domanda", "Risposta"),
    named("Вопрос", "Ответ"),
    named("问题", "答案"),
    named("質問", "回答"),
    named("Pytanie", "Odpowiedź"),
    named("Soru", "Cevap"),
    named("Fråga", "Svar"),
    Input("no line of names", raw("a.csv", listed()), REFUSED, named=["header: false"]),
    Input(
        "a table under .dat",
        raw("a.dat", listed("question;answer\n", form="{0};{1}")),
        right(rows()),
        line={"format": "csv"},
        told=["format: csv"],
        whole=True,
    ),
    Input("a table under .CSV", raw("A.CSV", listed("question,answer\n")), right(rows())),
    Input(
        "a copy of a database's table",
        raw("a.tsv", listed("question\tanswer\tnote\n", form="{0}\\nSo?\t{1}\t\\N")),
        Expected(30, None, {"user": "So?", "assistant": "Bring"}),
    ),
    # JSON
    Input("objects without newlines", raw("a.json", jsons("")), right(rows())),
    Input("objects behind RS", raw("a.json-seq", jsons("\n\x1e", "\x1e")), right(rows()), named=["format"]),
    Input(
        "objects with a comma at each line's end",
        raw("a.jsonl", jsons(",\n")),
        right(rows()),
        named=["malformed_json"],
    ),
    Input(
        "an array that ends with a comma",
        raw("a.json", jsons(",\n", "[\n", ",\n]\n")),
        right(rows()),
        named=["malformed_json"],
    ),
    Input(
        "comments between lines",
        raw("a.jsonl", jsons("\n// next\n")),
        right(rows()),
        named=["malformed_json"],
    ),
    Input(
        "a stream of events",
        raw(
            "a.jsonl", lambda: "".join(f"data: {json.dumps(r)}\n\n" for r in each(pair)()) + "data: [DONE]\n"
        ),
        right(rows()),
        named=["malformed_json", "no record"],
    ),
    Input(
        "Python's dictionaries a line",
        raw("a.jsonl", lambda: "".join(f"{r}\n" for r in each(pair)())),
        REFUSED,
        named=["malformed_json", "Python"],
    ),
    Input(
        "texts of JSON a line",
        raw("a.jsonl", lambda: "".join(json.dumps(json.dumps(r)) + "\n" for r in each(pair)())),
        REFUSED,
        named=["not an object"],
    ),
    Input("columns by numbers of rows", whole("a.json", columns), right(rows()), named=["'question'"]),
    Input("columns and data", whole("a.json", split), REFUSED, named=["'columns'", "pandas", "split"]),
    Input("a schema and data", whole("a.json", schema), right(rows())),
    Input("orders between documents", bulk, right(rows()), named=["'index'", "missing_field"]),
    Input(
        "NaN beside answers",
        raw(
            "a.jsonl", lambda: "".join(json.dumps({**r, "score": float("nan")}) + "\n" for r in each(pair)())
        ),
        right(rows()),
    ),
    Input("a BOM in the middle", both(raw("a.jsonl", lambda: "\ufeff" + jsons()())), right(rows())),
    Input(
        "two files with BOMs put together",
        raw(
            "a.jsonl",
            lambda: "".join(
                "\ufeff" + "".join(json.dumps(r) + "\n" for r in part)
                for part in (each(pair)()[:15], each(pair)()[15:])
            ),
        ),
        right(rows()),
        named=["malformed_json"],
    ),
    Input(
        "zeros at the end",
        raw("a.jsonl", lambda: jsons()() + "\0" * 4096),
        right(rows()),
        named=["malformed"],
    ),
    Input("JSON in UTF-16", raw("a.jsonl", jsons(), "utf-16"), right(rows())),
    Input(
        "JSON in UTF-16, no BOM",
        raw("a.json", lambda: json.dumps(each(pair)()), "utf-16-le"),
        right(rows()),
        named=["encoding"],
    ),
    Input("JSON in UTF-32", raw("a.jsonl", jsons(), "utf-32"), right(rows()), named=["encoding"]),
    Input("three encodings in a folder", two_encodings, right(pairs(THREE))),
    Input(
        "a sheet of UTF-16, no BOM",
        raw("a.csv", listed("question;answer\n", form="{0};{1}"), "utf-16-le"),
        right(rows()),
        named=["encoding"],
    ),
    tongue(
        "Japanese",
        "iso2022_jp",
        "店{0}はどこですか。教えてください。",
        "駅の近くの大きな通りに店{0}があります。",
    ),
    tongue(
        "Japanese",
        "shift_jis",
        "店{0}はどこですか。教えてください。",
        "駅の近くの大きな通りに店{0}があります。",
    ),
    tongue("Chinese", "gb18030", "第{0}家商店在哪里?请告诉我。", "商店{0}在火车站旁边的大街上。"),
    tongue("Chinese", "big5", "第{0}家商店在哪裡?請告訴我。", "商店{0}在火車站旁邊的大街上。"),
    tongue("Korean", "euc_kr", "{0}번 가게는 어디에 있습니까?", "가게 {0}은 기차역 옆 큰길에 있습니다."),
    tongue("Greek", "cp1253", "Πού είναι το κατάστημα {0};", "Το κατάστημα {0} είναι δίπλα στον σταθμό."),
    tongue("Hebrew", "cp1255", "איפה נמצאת החנות {0}?", "החנות {0} נמצאת ליד תחנת הרכבת."),
    tongue("Arabic", "cp1256", "أين يقع المتجر رقم {0}؟", "يقع المتجر {0} بجانب محطة القطار."),
    tongue("Thai", "cp874", "ร้านที่ {0} อยู่ที่ไหน", "ร้าน {0} อยู่ข้างสถานีรถไฟ"),
    tongue(
        "Ukrainian",
        "cp1251",
        "Де знаходиться крамниця {0}?",
        "Крамниця {0} є поруч із вокзалом, її легко знайти.",
    ),
    tongue(
        "Russian",
        "koi8_r",
        "Где находится магазин {0}?",
        "Магазин {0} стоит рядом с вокзалом, его легко найти.",
    ),
    tongue("Vietnamese", "utf-8-sig", "Cửa hàng {0} ở đâu?", "Cửa hàng {0} ở bên cạnh nhà ga."),
    # values
    Input(
        "days as answers",
        table(times),
        right(prices([str(datetime.date(2024, 2, 29) + datetime.timedelta(n)) for n in range(30)])),
    ),
    Input(
        "yes and no as answers",
        table(priced([n % 2 == 0 for n in range(30)])),
        right(prices([str(n % 2 == 0).lower() for n in range(30)])),
    ),
    Input("dictionaries and an index", table(categories), right(SPACED)),
    Input(
        "names of labels in the schema",
        class_labels,
        right(GRADED),
        line={"label_names": ["bad", "good"]},
        told=["label_names"],
    ),
    Input(
        "texts of JSON in Parquet",
        table(lambda: {"messages": [json.dumps(turns(*talk)) for talk in TALKS]}),
        right(rows()),
    ),
    Input(
        "bytes of text in Parquet",
        table(
            lambda: {
                "question": pa.array([a.encode() for a, _ in TALKS], pa.binary()),
                "answer": [b for _, b in TALKS],
            }
        ),
        right(rows()),
    ),
    Input(
        "doubles that are whole",
        table(priced([float(n) for n in range(30)])),
        right(prices([f"{n}.0" for n in range(30)])),
    ),
    Input(
        "answers of which some are missing",
        lines("a.jsonl", lambda n, a, b: {"question": a, "answer": b if n % 10 else None}),
        right([r for n, r in enumerate(rows()) if n % 10]),
        named=["empty"],
    ),
    Input(
        "nan for what is missing",
        lines("a.jsonl", lambda n, a, b: {"question": a, "answer": b if n % 10 else "nan"}),
        right([(("user", a), ("assistant", b if n % 10 else "nan")) for n, (a, b) in enumerate(TALKS)]),
        told=["'nan'"],
    ),
]
