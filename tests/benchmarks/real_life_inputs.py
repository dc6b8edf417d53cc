"""The inputs of `real_life.py`, in our own words: how each is written and what is right of it."""

import bz2
import csv
import gzip
import io
import json
import lzma
import mailbox
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = tuple[tuple[str, str], ...]
Write = Callable[[Path], None]

THINGS = ("kettle", "bicycle", "lantern", "piano", "tent", "loom", "compass", "anvil", "sieve", "ladder")
FAULTS = ("does not start", "makes a noise", "came in two pieces", "is too small", "lost its colour")
TALKS = [
    (
        f"The {thing} that I bought in shop {n} {FAULTS[n % 5]}. What am I to do?",
        f"Bring the {thing} back to shop {n} with the bill {n * 37}, and we shall look at it.",
    )
    for n, thing in enumerate(THINGS * 3)
]


@dataclass(frozen=True)
class Expected:
    """The rows that are right; or, where others wrote the input, how many and what stands in each."""

    count: int
    rows: list[Row] | None = None
    words: dict[str, str] = field(default_factory=dict)  # by role

    def fits(self, row: Row) -> bool:
        """Whether what must stand in a row does."""
        return all(any(r == role and word in c for r, c in row) for role, word in self.words.items())


@dataclass(frozen=True)
class Input:
    """One input: what writes it, what is right, and the line that a message may ask for."""

    name: str
    write: Write | None
    expected: Expected
    line: dict[str, Any] | None = None
    told: Sequence[str] = ()  # what must stand in the messages before the line is added
    named: Sequence[str] = ()  # one of these must stand in a refusal
    whole: bool = False  # the line is for the whole folder, not for what `init` wrote


def rows(*more: tuple[str, str]) -> list[Row]:
    """Every talk as a row; `more` are turns before each."""
    return [(*more, ("user", asked), ("assistant", answer)) for asked, answer in TALKS]


def preferred(worse: str = "No.") -> list[Row]:
    """Every talk with another answer that is worse."""
    return [(("user", a), ("assistant", b), ("rejected", worse)) for a, b in TALKS]


def texts(of: Sequence[str]) -> list[Row]:
    """Plain texts as rows."""
    return [(("text", text),) for text in of]


def right(made: list[Row]) -> Expected:
    """These rows and no others."""
    return Expected(len(made), made)


REFUSED = Expected(0, [])


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A turn."""
    return {"role": role, "content": content, **more}


def turns(asked: str, answer: str) -> list[dict[str, Any]]:
    """A talk as turns."""
    return [said("user", asked), said("assistant", answer)]


def lines(name: str, of: Callable[[int, str, str], Any]) -> Write:
    """A file with a record a line."""

    def write(folder: Path) -> None:
        made = [json.dumps(of(n, *talk), ensure_ascii=False) + "\n" for n, talk in enumerate(TALKS)]
        (folder / name).write_text("".join(made), encoding="utf-8")

    return write


def whole(name: str, of: Callable[[], Any], indent: int | None = None) -> Write:
    """A file that is one JSON value."""

    def write(folder: Path) -> None:
        (folder / name).write_text(json.dumps(of(), ensure_ascii=False, indent=indent), encoding="utf-8")

    return write


def table(columns: Callable[[], dict[str, Any]]) -> Write:
    """A Parquet file."""

    def write(folder: Path) -> None:
        pq.write_table(pa.table(columns()), folder / "rows.parquet")

    return write


def sheet(
    name: str,
    head: Sequence[str],
    of: Callable[[int, str, str], Sequence[Any]],
    encoding: str = "utf-8",
    **dialect: Any,
) -> Write:
    """A table as text."""

    def write(folder: Path) -> None:
        with (folder / name).open("w", encoding=encoding, newline="") as file:
            writer = csv.writer(file, **dialect)
            writer.writerow(head)
            writer.writerows(of(n, *talk) for n, talk in enumerate(TALKS))

    return write


def packed(name: str, pack: Callable[[bytes], bytes]) -> Write:
    """A packed file of prompts and completions."""

    def write(folder: Path) -> None:
        data = "".join(json.dumps({"prompt": a, "completion": b}) + "\n" for a, b in TALKS).encode()
        (folder / name).write_bytes(pack(data))

    return write


def zipped(data: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("rows.jsonl", data)
    return held.getvalue()


def tarred(data: bytes) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        info = tarfile.TarInfo("data/rows.jsonl")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return held.getvalue()


def both(*writes: Write) -> Write:
    """Several files in one folder."""

    def write(folder: Path) -> None:
        for one in writes:
            one(folder)

    return write


def beside(name: str, data: bytes) -> Write:
    """A file that is no data."""

    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return write


def map_turns() -> dict[str, Any]:
    kind = pa.list_(pa.map_(pa.string(), pa.string()))
    made = [[[*t.items()] for t in turns(*talk)] for talk in TALKS]
    return {"messages": pa.array(made, kind)}


def tree(n: int, asked: str, answer: str) -> dict[str, Any]:
    """A chat service's export: an answer that was written twice, of which the second is current."""

    def node(name: str, parent: str | None, children: list[str], role: str = "", text: str = "") -> Any:
        content = {"content_type": "text", "parts": [text]}
        message = {"author": {"role": role}, "content": content} if role else None
        return {"id": name, "parent": parent, "children": children, "message": message}

    nodes = [
        node("root", None, ["ask"]),
        node("ask", "root", ["first", "second"], "user", asked),
        node("first", "ask", [], "assistant", "No."),
        node("second", "ask", [], "assistant", answer),
    ]
    return {"title": f"talk {n}", "mapping": {x["id"]: x for x in nodes}, "current_node": "second"}


def replies(n: int, asked: str, answer: str) -> dict[str, Any]:
    first = {"text": answer, "role": "assistant", "rank": 0, "replies": []}
    second = {"text": "I cannot say.", "role": "assistant", "rank": 1, "replies": []}
    prompt = {"text": asked, "role": "prompter", "replies": [second, first]}
    return {"message_tree_id": f"t{n}", "prompt": prompt}


def blocks(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "messages": [
            said("user", [{"type": "text", "text": asked}]),
            said("assistant", [{"type": "text", "text": answer}]),
        ]
    }


def pictured(n: int, asked: str, answer: str) -> dict[str, Any]:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    return {"messages": [said("user", [{"type": "text", "text": asked}, image]), said("assistant", answer)]}


def only_pictures(n: int, asked: str, answer: str) -> dict[str, Any]:
    image = {"type": "image", "source": {"data": "AAAA"}}
    return {"messages": [said("user", [image]), said("assistant", answer)]}


def batch_in(n: int, asked: str, answer: str) -> dict[str, Any]:
    body = {"model": "m", "messages": [said("user", asked)]}
    return {"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def batch_out(n: int, asked: str, answer: str) -> dict[str, Any]:
    choice = {"index": 0, "message": said("assistant", answer), "finish_reason": "stop"}
    body = {"id": f"c{n}", "object": "chat.completion", "choices": [choice]}
    return {"custom_id": f"r{n}", "response": {"status_code": 200, "body": body}, "error": None}


def ticket(n: int, asked: str, answer: str) -> dict[str, Any]:
    comments = [
        {"id": n * 2, "author_id": n, "body": asked},
        {"id": n * 2 + 1, "author_id": 900, "body": answer},
    ]
    return {"id": n, "subject": f"ticket {n}", "requester": {"id": n}, "comments": comments}


def opened(n: int, asked: str, answer: str) -> dict[str, Any]:
    part = {"type": "conversation_part", "body": answer, "author": {"type": "admin", "id": "7"}}
    first = {"type": "conversation", "body": asked, "author": {"type": "user", "id": str(n)}}
    return {
        "id": str(n),
        "source": first,
        "conversation_parts": {"conversation_parts": [part], "total_count": 1},
    }


def called(n: int, asked: str, answer: str) -> dict[str, Any]:
    call = json.dumps({"name": "look", "arguments": {"n": n}})
    return {
        "conversations": [
            {"from": "human", "value": asked},
            {"from": "function_call", "value": call},
            {"from": "observation", "value": f"shop {n}"},
            {"from": "gpt", "value": answer},
        ]
    }


def squad() -> dict[str, Any]:
    return {
        "id": [str(n) for n in range(len(TALKS))],
        "context": [f"Shop {n} sells things." for n in range(len(TALKS))],
        "question": [asked for asked, _ in TALKS],
        "answers": [{"text": [answer], "answer_start": [0]} for _, answer in TALKS],
    }


def records() -> list[dict[str, Any]]:
    return [{"id": n, "messages": turns(*talk)} for n, talk in enumerate(TALKS)]


def chat(folder: Path) -> None:
    """A conversation a file, as an array of turns."""
    for n, talk in enumerate(TALKS):
        (folder / f"{n:02d}.json").write_text(json.dumps(turns(*talk), indent=1), encoding="utf-8")


def objects(folder: Path) -> None:
    for n, talk in enumerate(TALKS):
        text = json.dumps({"messages": turns(*talk)}, indent=2)
        (folder / f"{n:02d}.json").write_text(text, encoding="utf-8")


def pretty(name: str) -> Write:
    def write(folder: Path) -> None:
        made = [json.dumps({"instruction": a, "input": "", "output": b}, indent=2) for a, b in TALKS]
        (folder / name).write_text("\n".join(made) + "\n", encoding="utf-8")

    return write


def commas(folder: Path) -> None:
    made = [json.dumps({"prompt": a, "completion": b}) for a, b in TALKS]
    (folder / "rows.jsonl").write_text("[\n" + ",\n".join(made) + "\n]\n", encoding="utf-8")


def mixed(folder: Path) -> None:
    """Three formats and shapes, and what lies beside data."""
    (folder / "README.md").write_text("# Ours\n", encoding="utf-8")
    (folder / "_SUCCESS").write_text("")
    third = len(TALKS) // 3
    made = "".join(json.dumps({"prompt": a, "completion": b}) + "\n" for a, b in TALKS[:third])
    (folder / "a.jsonl").write_text(made, encoding="utf-8")
    with (folder / "b.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("question", "answer"), *TALKS[third : 2 * third]])
    objects = [{"instruction": a, "input": "", "output": b} for a, b in TALKS[2 * third :]]
    (folder / "c.json").write_text(json.dumps(objects), encoding="utf-8")


def two_shapes(folder: Path) -> None:
    """Two shapes in files of one format."""
    half = len(TALKS) // 2
    for name, made in (
        ("a.jsonl", [{"messages": turns(*talk)} for talk in TALKS[:half]]),
        ("b.jsonl", [{"instruction": a, "input": "", "output": b} for a, b in TALKS[half:]]),
    ):
        text = "".join(json.dumps(r) + "\n" for r in made)
        (folder / name).write_text(text, encoding="utf-8")


def single_turns(folder: Path) -> None:
    with (folder / "turns.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["conversation_id", "turn", "speaker", "utterance", "timestamp"])
        for n, (asked, answer) in enumerate(TALKS):
            writer.writerow([f"c{n}", 1, "customer", asked, "2024-03-01T10:00:00"])
            writer.writerow([f"c{n}", 2, "agent", answer, "2024-03-01T10:01:00"])


def messages_of_roles(folder: Path) -> None:
    """Records that are turns, with the columns that plain texts have."""
    made = [
        {"thread_id": n, "index": i, "role": role, "content": text}
        for n, talk in enumerate(TALKS)
        for i, (role, text) in enumerate(zip(("user", "assistant"), talk, strict=True))
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in made), encoding="utf-8")


def mails(folder: Path) -> None:
    box = mailbox.mbox(folder / "support.mbox")
    for n, (asked, answer) in enumerate(TALKS):
        for sender, text in (("ann", asked), ("shop", answer)):
            mail = EmailMessage()
            mail["From"], mail["To"] = f"{sender}{n}@example.com", "all@example.com"
            mail["Subject"] = f"shop {n}"
            mail.set_content(text)
            box.add(mail)
    box.flush()


def saved(folder: Path) -> None:
    """What `datasets` writes to disk."""
    (folder / "train").mkdir()
    made = pa.table({"messages": [turns(*talk) for talk in TALKS]})
    file = str(folder / "train/data-00000-of-00001.arrow")
    with pa.OSFile(file, "wb") as sink, pa.ipc.new_stream(sink, made.schema) as writer:
        writer.write_table(made)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (folder / "train/state.json").write_text(json.dumps(state), encoding="utf-8")
    (folder / "train/dataset_info.json").write_text('{"features": {}}', encoding="utf-8")
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}', encoding="utf-8")


def pages(folder: Path) -> None:
    for n, (asked, answer) in enumerate(TALKS):
        text = (
            f"<!doctype html><html><head><title>shop</title><script>var x = {n};</script></head>"
            f"<body><p>{asked}</p><p>{answer}</p></body></html>"
        )
        (folder / f"{n}.html").write_text(text, encoding="utf-8")


ANSWERS = [f"The bill of shop {n} is this." for n in range(len(TALKS))]
NUMBERED = [round(0.1 + n * 1.1, 1) for n in range(len(TALKS))]


def priced(column: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "question": [f"What does it cost in shop {n}?" for n in range(len(TALKS))],
        "answer": column,
    }


def prices(answers: Sequence[str]) -> list[Row]:
    return [
        (("user", f"What does it cost in shop {n}?"), ("assistant", answer))
        for n, answer in enumerate(answers)
    ]


def labelled(folder: Path) -> None:
    labels = [float(n % 2) if n != 5 else -1.0 for n in range(len(TALKS))]
    pq.write_table(pa.table({"text": [a for a, _ in TALKS], "label": labels}), folder / "rows.parquet")


LABELLED = [
    (("user", TALKS[n][0]), ("assistant", ("bad", "good")[n % 2])) for n in range(len(TALKS)) if n != 5
]

INPUTS = [
    Input("messages", lines("a.jsonl", lambda n, a, b: {"messages": turns(a, b)}), right(rows())),
    Input(
        "sharegpt",
        whole(
            "a.json",
            lambda: [
                {"conversations": [{"from": "human", "value": a}, {"from": "gpt", "value": b}]}
                for a, b in TALKS
            ],
        ),
        right(rows()),
    ),
    Input(
        "alpaca",
        whole("a.json", lambda: [{"instruction": a, "input": "", "output": b} for a, b in TALKS], 2),
        right(rows()),
    ),
    Input("pairs", lines("a.jsonl", lambda n, a, b: {"prompt": a, "completion": b}), right(rows())),
    Input(
        "question and answer", sheet("a.csv", ["question", "answer"], lambda n, a, b: (a, b)), right(rows())
    ),
    Input(
        "Question, Answer, Category",
        sheet("a.csv", ["Question", "Answer", "Category"], lambda n, a, b: (a, b, "x")),
        right(rows()),
    ),
    Input(
        "Prompt and Response", sheet("a.csv", ["Prompt", "Response"], lambda n, a, b: (a, b)), right(rows())
    ),
    Input(
        "problem and solution", lines("a.jsonl", lambda n, a, b: {"problem": a, "solution": b}), right(rows())
    ),
    Input("input and output", lines("a.jsonl", lambda n, a, b: {"input": a, "output": b}), right(rows())),
    Input("USER and ASSISTANT", lines("a.jsonl", lambda n, a, b: {"USER": a, "ASSISTANT": b}), right(rows())),
    Input(
        "context, question, answer",
        lines("a.jsonl", lambda n, a, b: {"context": f"Shop {n} is open.", "question": a, "answer": b}),
        right([(("user", f"{a}\n\nShop {n} is open."), ("assistant", b)) for n, (a, b) in enumerate(TALKS)]),
    ),
    Input(
        "context and answers of spans",
        table(squad),
        right(
            [(("user", f"{a}\n\nShop {n} sells things."), ("assistant", b)) for n, (a, b) in enumerate(TALKS)]
        ),
    ),
    Input(
        "system column",
        lines("a.jsonl", lambda n, a, b: {"system": "Be kind.", "messages": turns(a, b)}),
        right(rows(("system", "Be kind."))),
    ),
    Input("turns as maps", table(map_turns), right(rows())),
    Input(
        "turns as a mapping of lists",
        table(lambda: {"conversations": [{"from": ["human", "gpt"], "value": [a, b]} for a, b in TALKS]}),
        right(rows()),
    ),
    Input("turns as pairs of texts", lines("a.jsonl", lambda n, a, b: {"history": [[a, b]]}), right(rows())),
    Input(
        "turns as role and text",
        lines("a.jsonl", lambda n, a, b: {"dialogue": [["user", a], ["assistant", b]]}),
        right(rows()),
    ),
    Input("turns as bare texts", lines("a.jsonl", lambda n, a, b: {"id": n, "data": [a, b]}), right(rows())),
    Input(
        "turns as JSON in a table",
        sheet("a.csv", ["id", "messages"], lambda n, a, b: (n, json.dumps(turns(a, b)))),
        right(rows()),
    ),
    Input(
        "turns as Python in a table",
        sheet("a.csv", ["id", "messages"], lambda n, a, b: (n, str(turns(a, b)))),
        right(rows()),
    ),
    Input(
        "prompt and completion of turns",
        lines("a.jsonl", lambda n, a, b: {"prompt": [said("user", a)], "completion": [said("assistant", b)]}),
        right(rows()),
    ),
    Input(
        "chosen and rejected",
        lines("a.jsonl", lambda n, a, b: {"prompt": a, "chosen": b, "rejected": "No."}),
        right(preferred()),
    ),
    Input(
        "chosen and rejected turns",
        lines("a.jsonl", lambda n, a, b: {"prompt": a, "chosen": turns(a, b), "rejected": turns(a, "No.")}),
        right(preferred()),
    ),
    Input("records under data.items", whole("a.json", lambda: {"data": {"items": records()}}), right(rows())),
    Input(
        "records under data", whole("a.json", lambda: {"status": "ok", "data": records()}, 2), right(rows())
    ),
    Input(
        "records under rows, one deeper",
        whole(
            "a.json", lambda: {"rows": [{"row_idx": r["id"], "row": r} for r in records()], "partial": False}
        ),
        right(rows()),
    ),
    Input(
        "records under conversations",
        whole("a.json", lambda: {"conversations": records(), "total": len(TALKS)}),
        right(rows()),
    ),
    Input(
        "records by their ids", whole("a.json", lambda: {f"t{r['id']}": r for r in records()}), right(rows())
    ),
    Input("records over several lines", pretty("a.json"), right(rows())),
    Input("the same under .jsonl", pretty("a.jsonl"), right(rows())),
    Input("an array under .jsonl", commas, right(rows())),
    Input("an object a file", objects, right(rows())),
    Input("an array of turns a file", chat, right(rows()), named=["one turn"]),
    Input(
        "a tree of nodes", whole("a.json", lambda: [tree(n, *t) for n, t in enumerate(TALKS)]), right(rows())
    ),
    Input("a tree of replies", lines("a.jsonl", replies), right(rows())),
    Input("content blocks", lines("a.jsonl", blocks), right(rows())),
    Input("images beside text", lines("a.jsonl", pictured), right(rows())),
    Input("images alone", lines("a.jsonl", only_pictures), REFUSED, named=["not text"]),
    Input("batch input", lines("a.jsonl", batch_in), REFUSED, named=["no assistant's turn"]),
    Input("batch output", lines("a.jsonl", batch_out), REFUSED, named=["no user's turn"]),
    Input(
        "batch input and output",
        both(lines("in.jsonl", batch_in), lines("out.jsonl", batch_out)),
        right(rows()),
        line={
            "group_by": "custom_id",
            "columns": {"messages": ["body.messages", "response.body.choices.0.message"]},
        },
        told=["group_by: custom_id", "messages: [body.messages, response.body.choices.0.message]"],
        whole=True,
    ),
    Input("tickets with comments", lines("a.jsonl", ticket), right(rows())),
    Input(
        "tickets with parts",
        whole("a.json", lambda: {"conversations": [opened(n, *t) for n, t in enumerate(TALKS)]}),
        right(rows()),
    ),
    Input(
        "turns one deeper",
        lines("a.jsonl", lambda n, a, b: {"id": n, "request": {"turns": turns(a, b)}}),
        right(rows()),
    ),
    Input(
        "function_call",
        lines("a.jsonl", called),
        Expected(len(TALKS), None, {"user": "What am I to do?", "tool": "shop", "assistant": "Bring the"}),
        line={"columns": {"roles": {"function_call": "assistant"}}},
        told=["columns: {roles: {function_call: assistant}}"],
    ),
    Input(
        "other speakers",
        lines("a.jsonl", lambda n, a, b: {"messages": [said("Patient", a), said("Doctor", b)]}),
        right(rows()),
        line={"columns": {"roles": {"patient": "user", "doctor": "assistant"}}},
        told=["columns: {roles: {patient: user}}"],
    ),
    Input(
        "people's names",
        lines("a.jsonl", lambda n, a, b: {"messages": [said("Ann Lee", a), said("Bo Roe", b)]}),
        REFUSED,
        named=["columns.roles"],
    ),
    Input(
        "what a tool gives back as JSON",
        lines(
            "a.jsonl",
            lambda n, a, b: {
                "messages": [
                    said("user", a),
                    said("assistant", None, tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]),
                    said("tool", {"shop": n}),
                    said("assistant", b),
                ]
            },
        ),
        Expected(
            len(TALKS), None, {"user": "What am I to do?", "tool": '{"shop":', "assistant": "Bring the"}
        ),
    ),
    Input("a record a turn", single_turns, right(rows())),
    Input("a record a turn, named as text", messages_of_roles, right(rows())),
    Input(
        "an answer that is a list",
        lines("a.jsonl", lambda n, a, b: {"question": a, "answer": [b, "Or not."]}),
        REFUSED,
        line={"shape": "question_answer", "columns": {"question": "question", "answer": "answer.0"}},
        named=["where text is asked for"],
    ),
    Input(
        "labels as floats",
        labelled,
        right(LABELLED),
        line={"label_names": ["bad", "good"]},
        told=["label_names"],
    ),
    Input(
        "float32 answers",
        table(priced(pa.array(NUMBERED, pa.float32()))),
        right(prices([str(n) for n in NUMBERED])),
    ),
    Input(
        "decimal answers",
        table(priced([Decimal(f"{n}.50") for n in range(len(TALKS))])),
        right(prices([f"{n}.50" for n in range(len(TALKS))])),
    ),
    Input(
        "integers beyond 2^53",
        lines(
            "a.jsonl", lambda n, a, b: {"question": f"What does it cost in shop {n}?", "answer": 2**60 + n}
        ),
        right(prices([str(2**60 + n) for n in range(len(TALKS))])),
    ),
    Input(
        "entities about entities",
        lines("a.jsonl", lambda n, a, b: {"prompt": f"{a} And &?", "completion": f"{b} Write &amp; for &."}),
        right([(("user", f"{a} And &?"), ("assistant", f"{b} Write &amp; for &.")) for a, b in TALKS]),
    ),
    Input(
        "escaped text",
        lines(
            "a.jsonl", lambda n, a, b: {"prompt": f"{a} Salt &amp; oil?", "completion": f"{b} Yes &amp; no."}
        ),
        right([(("user", f"{a} Salt & oil?"), ("assistant", f"{b} Yes & no.")) for a, b in TALKS]),
    ),
    Input("three formats in a folder", mixed, right(rows())),
    Input("two shapes of one format", two_shapes, right(rows())),
    Input(
        "a README beside data",
        both(
            lines("a.jsonl", lambda n, a, b: {"prompt": a, "completion": b}), beside("README.md", b"# Ours\n")
        ),
        right(rows()),
    ),
    Input(
        "nothing that is known",
        lines("a.jsonl", lambda n, a, b: {"one": n, "two": None}),
        REFUSED,
        named=["'one'"],
    ),
    Input("an empty file", beside("a.jsonl", b""), REFUSED, named=["empty"]),
    Input("a PDF", beside("a.pdf", b"%PDF-1.4\n" + bytes(range(256))), REFUSED, named=["PDF"]),
    Input(
        "a sheet of semicolons, cp1252",
        sheet(
            "a.csv", ["Nr", "Frage", "Antwort"], lambda n, a, b: (n, f"{a} “So”", b), "cp1252", delimiter=";"
        ),
        right([(("user", f"{a} “So”"), ("assistant", b)) for a, b in TALKS]),
    ),
    Input(
        "a sheet of UTF-16",
        sheet("a.tsv", ["question", "answer"], lambda n, a, b: (a, b), "utf-16", delimiter="\t"),
        right(rows()),
    ),
    Input(
        "a sheet with a BOM",
        sheet("a.csv", ["question", "answer"], lambda n, a, b: (a, b), "utf-8-sig"),
        right(rows()),
    ),
    Input("gzip", packed("a.jsonl.gz", gzip.compress), right(rows())),
    Input("gzip under another name", packed("a.jsonl", gzip.compress), right(rows()), named=["gzip"]),
    Input("bzip2", packed("a.jsonl.bz2", bz2.compress), right(rows()), named=["bz2"]),
    Input("xz", packed("a.jsonl.xz", lzma.compress), right(rows()), named=["xz"]),
    Input("zip", packed("a.zip", zipped), right(rows()), named=["zip"]),
    Input("tar.gz", packed("a.tar.gz", tarred), right(rows()), named=["tar"]),
    Input("what datasets writes", saved, right(rows()), named=["arrow"]),
    Input("mails", mails, Expected(len(TALKS)), named=["mbox"]),
    Input("pages of HTML", pages, Expected(len(TALKS), None, {"text": "What am I to do?"}), named=["html"]),
    Input(
        "plain texts",
        both(*(beside(f"{n}.txt", f"{a}\n\n{b}\n".encode()) for n, (a, b) in enumerate(TALKS))),
        right(texts([f"{a}\n\n{b}" for a, b in TALKS])),
    ),
]

ASKED = {"user": "Hello, my", "assistant": "Your case is"}
SHARED = [
    *(
        Input(f"shared {name}", None, Expected(120, None, ASKED))
        for name in (
            *("anthropic", "apidata", "apinested", "bz2", "csv1252", "csvbom", "csvlatin1", "dpo"),
            *(
                "exceltsv",
                "hfparquet",
                "hfstructlists",
                "jsonzip",
                "misnamed",
                "openai_tools",
                "pretty",
            ),
            *(
                "prettyjsonl",
                "sharegpt",
                "targz",
                "think",
                "trailing",
                "trailing2",
                "turns",
                "xz",
                "zip",
                "zendesk",
            ),
            *("intercom", "think2"),
        )
    ),
    Input(
        "shared openai_functions",
        None,
        Expected(120, None, ASKED),
        line={"columns": {"roles": {"function": "tool"}}},
    ),
    Input("shared chatgpt", None, Expected(20, None, ASKED)),
    Input("shared convfiles", None, Expected(30, None, ASKED)),
    Input("shared objfiles", None, Expected(30, None, ASKED)),
    Input("shared vision", None, Expected(40, None, ASKED)),
    # Each has a tool's answer to no call: what called it was left out by who made it.
    Input("shared hfparquet", None, REFUSED, named=["stray_tool"]),
    Input("shared hfarrow", None, REFUSED),
    Input("shared openai_batch_in", None, REFUSED),
    Input("shared openai_batch_out", None, REFUSED),
    Input("shared squad", None, Expected(120, None, {"user": "Hello, my"})),
    Input("shared gzcsv", None, Expected(120, None, {"user": "Hello, my"})),
    Input("shared noheader", None, REFUSED),
    Input("shared mixed", None, Expected(120, None, ASKED)),
    Input("shared discord", None, Expected(1, None, ASKED)),
    Input("shared slack", None, REFUSED),
    # A chat as text: no reader makes turns of it, a line is a text of its own.
    Input("shared whatsapp", None, Expected(240), line={"split": "line"}, told=["split: line"]),
    Input(
        "shared excel",
        None,
        Expected(120, None, ASKED),
        line={"format": "tsv"},
        told=["format: tsv"],
        whole=True,
    ),
    Input("shared mbox", None, Expected(120)),
    Input("shared eml", None, Expected(30)),
    Input("shared html", None, Expected(20, None, {"text": "Hello, my"})),
    Input("shared markdown", None, Expected(20, None, {"text": "Hello, my"})),
    Input("shared log", None, Expected(300), line={"split": "line"}, told=["split: line"]),
    Input("shared pdf", None, REFUSED),
    Input("shared xlsx", None, REFUSED),
    Input("shared emptyfile", None, REFUSED),
    Input("shared empty", None, REFUSED),
]
