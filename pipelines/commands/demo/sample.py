"""A small messy sample that headrace writes itself: made-up support tickets and their triage.

What: four sources of tickets, each in a format and shape of its own, from one seed. A ticket's
answer is its triage: a category, a priority and the next step, all of which its words decide,
so a model can learn the task and a held-out metric can show that it did. Around that bulk lies
what real exports hold: broken encodings, consecutive turns of one speaker, personal data (all
invented: reserved domains and numbers, with check digits that are right), exact and near
duplicates, contradictions, empty and over-long rows, malformed lines, undecodable bytes.

Why: the demo and the tests need data that nobody has to download, whose faults are known.

Cost: about a second for the default size. The bytes depend on `seed` and `tickets` alone.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa

from headrace.cluster import storage
from headrace.pipelines.commands.demo import phrases

CHAT_FILES = 3
TURN_FILES = 2
FORM_FILES = 2


@dataclass(frozen=True)
class Ticket:
    """One made-up ticket: what the customer wrote and how it was triaged."""

    question: str
    answer: str


def write(directory: str, seed: int = 0, tickets: int = 2400) -> None:
    """Write the sample below `directory` (local or `s3://`).

    `tickets` is the number of distinct tickets, before duplicates and broken rows are added.
    Files: ``chat/*.jsonl`` (OpenAI messages), ``forms/*.csv`` (question, answer),
    ``archive.json`` (an array of question, answer), ``turns/*.parquet`` (one record a turn:
    conversation, turn, speaker, text; the turns of a conversation lie in several files).

    Raises: StorageError.
    """
    draw = random.Random(seed)  # noqa: S311  a stream that is the same everywhere, no secret
    made = [_ticket(draw) for _ in range(tickets)]
    made += _faults(draw, made)
    draw.shuffle(made)
    chat, forms, archive = (len(made) * part // 20 for part in (8, 12, 15))
    _write_chat(directory, draw, made[:chat])
    _write_forms(directory, draw, made[chat:forms])
    _write_archive(directory, made[forms:archive])
    _write_turns(directory, draw, made[archive:])


def documents(seed: int, count: int) -> list[str]:
    """What the demo's base model reads, in the same words as the sample and never ticket and triage together.

    Of the `count` documents 40% are bare tickets, 40% tickets with a mere receipt as the reply
    (ChatML), 20% triage notes by themselves. With another `seed` than the sample's these are
    other tickets.
    """
    draw = random.Random(seed)  # noqa: S311  as above
    return [_document(draw) for _ in range(count)]


def _document(draw: random.Random) -> str:
    ticket, kind = _ticket(draw), draw.random()
    if kind < 0.4:
        return ticket.question
    if kind < 0.8:
        receipt = draw.choice(phrases.RECEIPTS)
        return f"<|im_start|>user\n{ticket.question}<|im_end|>\n<|im_start|>assistant\n{receipt}"
    return _ticket(draw).answer


def _ticket(draw: random.Random) -> Ticket:
    problem = draw.choice(phrases.PROBLEMS)
    priority = draw.choice(sorted(phrases.URGENCY))
    middle = [
        draw.choice(problem.sayings).replace("{product}", draw.choice(phrases.PRODUCTS)),
        draw.choice(phrases.URGENCY[priority]),
        *draw.sample(phrases.DETAILS, 2),
    ]
    draw.shuffle(middle)
    if draw.random() < 0.2:
        middle.append(_personal(draw))
    said = " ".join([draw.choice(phrases.OPENINGS), *middle, draw.choice(phrases.CLOSINGS)])
    said = said.format(
        order=f"{draw.choice('ABCDEFGH')}{draw.randrange(10_000, 99_999)}",
        place=draw.choice(phrases.PLACES),
        day=draw.choice(phrases.DAYS),
        number=draw.randrange(2, 30),
    )
    answer = f"Category: {problem.category}\nPriority: {priority}\nNext step: {problem.next_step}"
    return Ticket(said, answer)


def _personal(draw: random.Random) -> str:
    """A sentence with invented personal data: example domains, fiction numbers, right check digits."""
    name = draw.choice(phrases.NAMES)
    kind = draw.randrange(4)
    if kind == 0:
        host = draw.choice(("example.com", "example.org", "example.net"))
        return f"Write to {name.lower()}.{draw.randrange(100)}@{host} please."
    if kind == 1:
        area = draw.choice(("212", "415", "617"))
        return f"My phone number is ({area}) 555-01{draw.randrange(100):02d}."
    if kind == 2:
        return f"The card was {card(draw)}."
    return f"The refund goes to IBAN {iban(draw)}."


def card(draw: random.Random) -> str:
    """An invented card number in a test range, valid by Luhn, in groups of four."""
    digits = [4, 0, 0, 0, 0, 0] + [draw.randrange(10) for _ in range(9)]
    doubled = [d * 2 - 9 * (d > 4) if i % 2 == 0 else d for i, d in enumerate(digits)]
    digits.append(-sum(doubled) % 10)
    text = "".join(map(str, digits))
    return " ".join(text[i : i + 4] for i in range(0, 16, 4))


def iban(draw: random.Random) -> str:
    """An invented British IBAN of the bank TEST, valid by mod 97, in groups of four."""
    account = f"TEST{draw.randrange(10**14):014d}"
    as_digits = "".join(str(int(c, 36)) for c in account + "GB00")
    text = f"GB{98 - int(as_digits) % 97:02d}{account}"
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def _faults(draw: random.Random, made: list[Ticket]) -> list[Ticket]:
    """The odd rows that are added to the bulk, each a share of it."""

    def some(share: float, change: Callable[[Ticket], Ticket]) -> list[Ticket]:
        return [change(draw.choice(made)) for _ in range(max(1, round(len(made) * share)))]

    return [
        *some(0.02, lambda ticket: ticket),  # exact duplicates
        *some(0.03, lambda ticket: replace(ticket, question=_retyped(draw, ticket.question))),
        *some(0.01, lambda ticket: replace(ticket, answer=_ticket(draw).answer)),  # contradictions
        *some(0.03, lambda ticket: replace(ticket, question=_mojibake(ticket.question))),
        *some(0.005, lambda ticket: replace(ticket, question=draw.choice(("", "  ", "\n\t")))),
        *some(0.005, lambda ticket: replace(ticket, answer="")),
        *some(0.002, lambda ticket: replace(ticket, question=_overlong(draw, ticket.question))),
    ]


def _retyped(draw: random.Random, text: str) -> str:
    """`text` as someone types it a second time: one letter lost, another closing mark."""
    place = draw.randrange(len(text) // 4, len(text) // 2)
    return text[:place] + text[place + 1 :].rstrip(".") + draw.choice(("!", "", " ...", " Thanks!"))


def _mojibake(text: str) -> str:
    """`text` with typographic quotes, its UTF-8 read as Windows-1252, as old exports have it."""
    curly = text.replace("'", "\u2019").replace(" - ", " \u2013 ") + " \u2013 sent from my caf\u00e9"
    return curly.encode().decode("cp1252", errors="ignore")


def _overlong(draw: random.Random, text: str) -> str:
    """`text` followed by a pasted device log, longer than any training window."""
    log = (f"unit {draw.randrange(9000)}: {draw.choice(phrases.LOG)}" for _ in range(1500))
    return text + "\n" + "\n".join(log)


def _write_chat(directory: str, draw: random.Random, tickets: list[Ticket]) -> None:
    """JSONL of OpenAI messages; a share of the customers writes two turns in a row."""
    files: list[list[bytes]] = [[] for _ in range(CHAT_FILES)]
    for number, ticket in enumerate(tickets):
        record = json.dumps({"messages": _messages(draw, ticket)}, ensure_ascii=False)
        files[number % CHAT_FILES].append(record.encode())
    for lines in files:
        cut = lines[len(lines) // 2]
        lines.insert(len(lines) // 2, cut[: len(cut) // 2])  # a line that ends too early
        lines.insert(len(lines) // 3, b"-- exported by helpdesk --")
        lines.insert(
            len(lines) // 4, '{"messages": [{"role": "user", "content": "caf\u00e9"}]}'.encode("latin-1")
        )
        lines.insert(len(lines) // 5, b'{"messages": "none"}')
    for number, lines in enumerate(files):
        storage.put(storage.join(directory, "chat", f"{number}.jsonl"), b"\n".join(lines) + b"\n")


def _messages(draw: random.Random, ticket: Ticket) -> list[dict[str, str]]:
    said = ticket.question
    turns = [said]
    if draw.random() < 0.3 and ". " in said:
        first, rest = said.split(". ", 1)
        turns = [first + ".", rest]
    return [
        *({"role": "user", "content": turn} for turn in turns),
        {"role": "assistant", "content": ticket.answer},
    ]


def _write_forms(directory: str, draw: random.Random, tickets: list[Ticket]) -> None:
    """CSV with quoted newlines; a few records have a column too many."""
    files = [["question,answer"] for _ in range(FORM_FILES)]
    for number, ticket in enumerate(tickets):
        question = ticket.question.replace(". ", ".\n", 1) if draw.random() < 0.2 else ticket.question
        files[number % FORM_FILES].append(f"{_quoted(question)},{_quoted(ticket.answer)}")
    for number, lines in enumerate(files):
        lines.insert(len(lines) // 2, f"{_quoted('Lost a comma')},{_quoted('here')},{_quoted('or there')}")
        text = "\r\n".join(lines) + "\r\n"
        storage.put(storage.join(directory, "forms", f"{number}.csv"), text.encode())


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _write_archive(directory: str, tickets: list[Ticket]) -> None:
    """One JSON array; one element is no record."""
    records: list[object] = [{"question": ticket.question, "answer": ticket.answer} for ticket in tickets]
    records.insert(len(records) // 2, "see the old system")
    storage.put(storage.join(directory, "archive.json"), json.dumps(records, indent=1).encode())


def _write_turns(directory: str, draw: random.Random, tickets: list[Ticket]) -> None:
    """Parquet of one record a turn, shuffled over the files: only `conversation` and `turn` join them."""
    records = []
    for ticket in tickets:
        key = f"c{draw.randrange(16**8):08x}"
        said = [("customer", part) for part in ticket.question.split(". ", 1)]
        for turn, (speaker, text) in enumerate([*said, ("agent", ticket.answer)]):
            records.append({"conversation": key, "turn": turn, "speaker": speaker, "text": text})
    draw.shuffle(records)
    schema = pa.schema(
        {"conversation": pa.string(), "turn": pa.int32(), "speaker": pa.string(), "text": pa.string()}
    )
    for number in range(TURN_FILES):
        table = pa.Table.from_pylist(records[number::TURN_FILES], schema=schema)
        storage.write_table(storage.join(directory, "turns", f"{number}.parquet"), table)
