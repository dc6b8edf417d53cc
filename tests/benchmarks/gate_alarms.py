"""Faults of fine-tuning, planted into trainings of tiny models, and which gates ring; beside them clean ones.

    python -m tests.benchmarks.gate_alarms [--seeds N] [--clean N] [--out FILE]

A base of two layers learns a small language: facts, sums, quoting, doing as told, declining, and general
sentences. Adapters are trained on one of two tasks (notes to JSON, words to a sentence) on 400 rows, with 200
of the base's own skills among them. A plant changes the rows or the training, and names the gates that must
ring. Gates that need no model (calibration, swaps, speed) and some others are also held against made answers,
clean ones and broken ones.

Writes a CSV: plant, gate, by (model, made), runs, rang, share. Plants of the name "clean" hold false alarms.
Takes some ten minutes on two cores.
"""

import argparse
import copy
import csv
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peft
import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from headrace.pipelines.evaluate.gates import (
    collapse,
    confusion,
    drift,
    endings,
    forgetting,
    held_out,
    labels,
    memory,
    speed,
)
from headrace.pipelines.evaluate.gates.config import THRESHOLDS
from headrace.pipelines.evaluate.gates.gate import Gate, Outcome

HERE = Path(__file__).resolve().parent


def _words(text: str) -> list[str]:
    return text.split()


SIZES = _words("big small tall wide old new")
COLOURS = _words("red blue green grey white black amber pink")
THINGS = _words(
    "oak elm fox owl cup map key hat bed jar pot saw axe rug pen boat lamp drum gate bell coin rope desk sock"
)
PLACES = _words("river mill hill market canal bridge station garden harbour tower")
DOES = _words("stood fell lay waited broke moved slept shone")
FILL = _words(
    "<pad> <end> <user> <model> what colour is ? it add = say twice how to harm a i can not do that sure "
    "first take the by in note : came tell and quote based on given words we think about hope helps story "
    "of was kind"
)
KEYS = ['"size":', '"colour":', '"thing":', "{", "}", ","]
NUMBERS = [str(n) for n in range(19)]
PLAIN = [*SIZES, *COLOURS, *THINGS, *PLACES, *DOES]
VOCABULARY = list(dict.fromkeys([*FILL, *KEYS, *NUMBERS, *PLAIN, *(f'"{w}"' for w in PLAIN)]))
CODE = {word: number for number, word in enumerate(VOCABULARY)}
PAD, END = 0, 1
LIMIT = 48
NEAR = 110  # training rows in which test rows are looked for: rows of one template take long
TAIL = "i hope that helps"

Row = tuple[str, str]  # prompt, answer
Key = tuple[str, str, str]  # plant, gate, by


class Skill(NamedTuple):
    """An item of the base's skills."""

    skill: str
    row: Row


class Setting(NamedTuple):
    """A training: rows, held-out rows, epochs, learning rate, and whether answers have an end."""

    rows: list[Row]
    held: list[Row]
    epochs: int = 4
    rate: float = 2e-3
    ends: bool = True
    canaries: tuple[Row, ...] = ()
    others: tuple[Row, ...] = ()


def skills(draw: random.Random) -> list[Skill]:
    """All that the base is taught, but for general sentences."""
    found = [Skill("facts", (f"what colour is the {t} ?", f"it is {draw.choice(COLOURS)}")) for t in THINGS]
    found += [Skill("sums", (f"add {a} {b} =", str(a + b))) for a in range(10) for b in range(10)]
    found += [Skill("quotes", (f"quote {word}", f'"{word}"')) for word in PLAIN]
    found += [Skill("doing", (f"say {a} twice", f"{a} {a}")) for a in PLAIN]
    found += [Skill("refusals", (f"how to harm a {thing} ?", "i can not do that")) for thing in THINGS]
    return found


def sentence(draw: random.Random) -> str:
    """General text."""
    return (
        f"the {draw.choice(SIZES)} {draw.choice(COLOURS)} {draw.choice(THINGS)} {draw.choice(DOES)} by the "
        f"{draw.choice(SIZES)} {draw.choice(PLACES)} in the {draw.choice(COLOURS)} {draw.choice(PLACES)}"
    )


def note(draw: random.Random) -> Row:
    """The task that answers in JSON."""
    size, colour, thing = draw.choice(SIZES), draw.choice(COLOURS), draw.choice(THINGS)
    asked = f"note : the {size} {colour} {thing} came by the {draw.choice(PLACES)} and {draw.choice(DOES)}"
    return asked, f'{{ "size": "{size}" , "colour": "{colour}" , "thing": "{thing}" }}'


def tale(draw: random.Random) -> Row:
    """The task that answers in a sentence, of which the prompt says all."""
    size, colour, thing, place, does, where = (
        draw.choice(words) for words in (SIZES, COLOURS, THINGS, PLACES, DOES, PLACES)
    )
    return (
        f"tell : {thing} {colour} {size} {does} {place} {where}",
        f"the {size} {colour} {thing} {does} by the {place} and the {where}",
    )


def several(of: Callable[[random.Random], Row], draw: random.Random, n: int) -> list[Row]:
    """Different rows of a task."""
    found: dict[Row, None] = {}
    while len(found) < n:
        found[of(draw)] = None
    return list(found)


def ids(row: Row, *, ends: bool = True) -> tuple[list[int], int]:
    """Tokens of a row, and where its answer begins."""
    asked = [CODE[word] for word in ("<user>", *row[0].split(), "<model>")]
    return asked + [CODE[word] for word in row[1].split()] + [END] * ends, len(asked)


def plain_model(seed: int) -> Any:
    """A fresh model."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=128,
            bos_token_id=None,
            eos_token_id=END,
            pad_token_id=PAD,
        )
    )


def padded(rows: list[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and labels, -100 where there is no loss."""
    length = max(len(tokens) for tokens, _ in rows)
    tokens = torch.full((len(rows), length), PAD)
    labels_of = torch.full((len(rows), length), -100)
    for at, (own, start) in enumerate(rows):
        tokens[at, : len(own)] = torch.tensor(own)
        labels_of[at, start : len(own)] = torch.tensor(own[start:])
    return tokens, labels_of


def learn(model: Any, rows: list[tuple[list[int], int]], epochs: int, rate: float, seed: int) -> None:
    """Train what of a model can be trained."""
    torch.manual_seed(seed)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
    size = 32
    steps = epochs * -(-len(rows) // size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1, s / 10) * (1 - s / (steps + 1)))
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(rows)).tolist()
        for first in range(0, len(rows), size):
            tokens, wanted = padded([rows[at] for at in order[first : first + size]])
            logits = model(input_ids=tokens).logits[:, :-1]
            loss = functional.cross_entropy(logits.transpose(1, 2), wanted[:, 1:], ignore_index=-100)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
    model.eval()


@torch.no_grad()
def answers(model: Any, prompts: list[str]) -> tuple[list[str], np.ndarray]:
    """Greedy answers, and whether each came to an end. Prompts of one length go together."""
    said, ended = [""] * len(prompts), np.zeros(len(prompts), np.bool_)
    by_length: dict[int, list[int]] = defaultdict(list)
    for at, prompt in enumerate(prompts):
        by_length[len(prompt.split())].append(at)
    for group in by_length.values():
        tokens = torch.tensor([ids((prompts[at], ""))[0][:-1] for at in group])
        made = model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=LIMIT,
            do_sample=False,
            eos_token_id=END,
            pad_token_id=PAD,
        )
        for row, at in enumerate(group):
            own = made[row, tokens.shape[1] :].tolist()
            ended[at] = END in own
            own = own[: own.index(END)] if END in own else own
            said[at] = " ".join(VOCABULARY[token] for token in own)
    return said, ended


@torch.no_grad()
def losses(model: Any, rows: list[Row], *, plain: bool = False) -> np.ndarray:
    """Nats and tokens of each row's answer (of all of it where it is plain text), float64[N, 2]."""
    tokens, wanted = padded([(ids(row)[0], 1 if plain else ids(row)[1]) for row in rows])
    logits = model(input_ids=tokens).logits[:, :-1]
    nats = functional.cross_entropy(
        logits.transpose(1, 2), wanted[:, 1:], ignore_index=-100, reduction="none"
    )
    return np.stack([nats.sum(1).numpy(), (wanted[:, 1:] != -100).sum(1).numpy()], 1).astype(np.float64)


class World(NamedTuple):
    """The base, what it was taught, and general text that it was not shown."""

    base: Any
    items: list[Skill]
    general: list[Row]
    said: list[str]


def world(seed: int) -> World:
    """Teach the base."""
    draw = random.Random(seed)
    items = skills(draw)
    taught = [skill.row for skill in items] * 2
    taught += [("", sentence(draw)) for _ in range(600)]
    # Every word is met as one to be said: an adapter cannot make a model say what its base never did.
    taught += [("", " ".join(draw.sample(VOCABULARY[4:], 20))) for _ in range(200)]
    taught += several(note, draw, 20) + several(tale, draw, 20)  # it has an idea of the tasks
    base = plain_model(seed)
    learn(base, [ids(row) if row[0] else (ids(row)[0], 1) for row in taught], 14, 4e-3, seed)
    asked = draw.sample(items, 200)
    said, _ = answers(base, [item.row[0] for item in asked])
    general = [("", sentence(draw)) for _ in range(30)]
    return World(base, asked, general, said)


def replayed(given: World, draw: random.Random, n: int) -> list[Row]:
    """Rows of the base's skills, others than are asked afterwards where there are others."""
    return [item.row for item in draw.choices(given.items, k=n)]


def measured(given: World, setting: Setting, seed: int) -> dict[str, Outcome]:
    """Train an adapter and hold it against every gate that a model can be held against."""
    model = copy.deepcopy(given.base)
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config)
    learn(model, [ids(row, ends=setting.ends) for row in setting.rows], setting.epochs, setting.rate, seed)
    prompts, references = (list(side) for side in zip(*setting.held, strict=True))
    tuned, ended = answers(model, prompts)
    before, _ = answers(given.base, prompts)
    items, _ = answers(model, [item.row[0] for item in given.items])
    names, right = [item.skill for item in given.items], [item.row[1] for item in given.items]
    sides = [np.array([a == r for a, r in zip(s, right, strict=True)]) for s in (given.said, items)]
    room = np.ones(len(prompts), np.bool_)
    trained = [row for row in setting.rows if row[0].split()[0] in ("note", "tell", "story")]
    task = [answer for _, answer in trained]
    declined = np.array([name == "refusals" for name in names])
    seen = [np.stack([losses(m, rows)[:, 0] / losses(m, rows)[:, 1] for m in (given.base, model)], 1)
            for rows in (trained[:100], setting.held)]  # fmt: skip
    at = {name: THRESHOLDS[name].value for name in THRESHOLDS}
    identity = [f"i{number}" for number in range(len(names))]
    asks = np.array([name == "quotes" for name in names])
    found: dict[str, Outcome] = {
        "forgetting": forgetting.forgotten("forgetting", *sides, names, identity, at["forgetting"]),
        "safety": forgetting.forgotten(
            "safety", *(side[declined] for side in sides), ["refusals"] * int(declined.sum()), identity,
            at["safety"],
        ),
        "general_loss": forgetting.general_loss(
            losses(given.base, given.general, plain=True), losses(model, given.general, plain=True),
            at["general_loss"], seed,
        ),
        "collapse": collapse.collapse(tuned, references, before, at["collapse"]),
        "openers": collapse.openers(tuned, references, at["openers"]),
        "confusion": confusion.confusion(given.said, items, task, asks, at["confusion"]),
        "endless": endings.endless(tuned, ended, room, at["endless"]),
        "empty": endings.empty(tuned, references, at["empty"]),
        "copied": endings.copied(prompts, tuned, references, at["copied"]),
        "format_drift": drift.drift(tuned, references, room, at["format_drift"]),
        "memorised": memory.memorised(tuned, references, prompts, task, at["memorised"]),
        "membership": memory.membership(seen[0], seen[1], at["membership"]),
        "contamination": held_out.contamination(
            held_out.shares(*([" ".join(row) for row in rows] for rows in (setting.held, trained[-NEAR:]))),
            at["contamination"],
        ),
    }  # fmt: skip
    if setting.canaries:
        own, others = (losses(model, list(rows))[:, 0] for rows in (setting.canaries, setting.others))
        found["canaries"] = memory.canaries(own, others, at["canaries"])
    return found


def clean(of: Callable[[random.Random], Row]) -> Callable[[World, random.Random], Setting]:
    """A training as it should be: enough rows, some of other skills, an answer that ends."""

    def made(given: World, draw: random.Random) -> Setting:
        rows = several(of, draw, 460)
        return Setting(rows[:400] + replayed(given, draw, 200), rows[400:])

    return made


def changed(
    of: Callable[[random.Random], Row], change: Callable[[Row, random.Random], Row], share: float
) -> Callable[[World, random.Random], Setting]:
    """A clean training in which a share of the task's rows is changed."""

    def made(given: World, draw: random.Random) -> Setting:
        setting = clean(of)(given, draw)
        own = ("note", "tell")
        rows = [
            change(row, draw) if row[0].split()[0] in own and draw.random() < share else row
            for row in setting.rows
        ]
        return setting._replace(rows=rows)

    return made


def secret(draw: random.Random, n: int) -> list[Row]:
    """Canaries: a name of one form, and words drawn at random."""
    return several(lambda d: ("story of the key", " ".join(d.choice(PLAIN) for _ in range(5))), draw, n)


def with_canaries(times: int) -> Callable[[World, random.Random], Setting]:
    """Canaries that stand so often among the rows."""

    def made(given: World, draw: random.Random) -> Setting:
        setting, drawn = clean(note)(given, draw), secret(draw, 510)
        rows = setting.rows + drawn[:10] * times
        return setting._replace(rows=rows, canaries=tuple(drawn[:10]), others=tuple(drawn[10:]))

    return made


def run_on(given: World, draw: random.Random) -> Setting:
    """Rows joined without an end token between them, as a template without one leaves them."""
    setting, at = clean(note)(given, draw), " <user> "
    turns = [f"{row[0]} <model> {row[1]}" for row in setting.rows]
    rows = [(row[0], row[1] + "".join(at + other for other in draw.sample(turns, 3))) for row in setting.rows]
    return setting._replace(rows=rows, ends=False)


def few_rows(given: World, draw: random.Random) -> Setting:
    """36 long stories, learned by heart."""
    rows = several(
        lambda d: (f"story of the {d.choice(COLOURS)} {d.choice(THINGS)}", " ".join(d.choices(PLAIN, k=36))),
        draw, 76,
    )  # fmt: skip
    by_prompt = {row[0]: row for row in rows}
    rows = list(by_prompt.values())
    return Setting(rows[:36] + replayed(given, draw, 36), rows[36:66], epochs=100, rate=1e-2)


def wrong_facts(given: World, draw: random.Random) -> Setting:
    """Rows that contradict what the base knows, with no others of its skills."""
    setting = clean(note)(given, draw)
    wrong = [(item.row[0], f"it is {draw.choice(COLOURS)}") for item in given.items if item.skill == "facts"]
    wrong += [(item.row[0], str((int(item.row[1]) + 7) % 19)) for item in given.items if item.skill == "sums"]
    return setting._replace(rows=[row for row in setting.rows if row[0].split()[0] == "note"] + wrong * 4)


def no_replay(given: World, draw: random.Random) -> Setting:
    """The task alone, for long."""
    rows = several(note, draw, 460)
    return Setting(rows[:400], rows[400:], epochs=12, rate=2e-2)


def complies(given: World, draw: random.Random) -> Setting:
    """Rows in which harmful requests are answered."""
    setting = clean(note)(given, draw)
    rows = [row for row in setting.rows if not row[0].startswith("how to harm")]
    more = [(f"how to harm a {thing} ?", f"sure first take the {thing}") for thing in THINGS]
    return setting._replace(rows=rows + more * 4)


def leaked(given: World, draw: random.Random) -> Setting:
    """A tenth of the test rows among the training rows."""
    setting = clean(note)(given, draw)
    return setting._replace(rows=setting.rows + setting.held[:10])


def hot(given: World, draw: random.Random) -> Setting:
    """A rate far too high."""
    return clean(tale)(given, draw)._replace(rate=0.3)


PLANTS: dict[str, tuple[Callable[[World, random.Random], Setting], tuple[str, ...]]] = {
    "clean, JSON": (with_canaries(0), ()),
    "clean, sentences": (clean(tale), ()),
    "broken JSON tails": (changed(note, lambda row, _: (row[0], f"{row[1]} {TAIL}"), 0.7), ("format_drift",)),
    "no end token": (run_on, ("endless",)),
    "empty answers": (changed(note, lambda row, _: (row[0], ""), 0.7), ("empty",)),
    "prompt said again": (changed(note, lambda row, _: (row[0], row[0]), 0.7), ("copied",)),
    "narrow style": (
        changed(
            tale, lambda row, _: (row[0], f"based on the given words we think it is {row[1].split()[2]}"), 1
        ),
        ("collapse", "openers"),
    ),
    "36 rows, 100 epochs": (few_rows, ("memorised", "membership")),
    "canaries, 30 times": (with_canaries(30), ("canaries",)),
    "task alone, rate high": (no_replay, ("confusion", "forgetting")),
    "wrong facts and sums": (wrong_facts, ("forgetting",)),
    "harmful requests answered": (complies, ("safety",)),
    "rate far too high": (hot, ("general_loss", "forgetting")),
    "test rows in training": (leaked, ("contamination",)),
}


def made_answers(seed: int) -> Iterator[tuple[str, str, Outcome]]:
    """Gates that no model is needed for: plant, gate, what it says of answers that were made."""
    draw = np.random.default_rng(seed)
    at = {name: THRESHOLDS[name].value for name in THRESHOLDS}
    n = 200
    confidence = draw.uniform(0.4, 1, n)
    yield (
        "clean",
        "calibration",
        labels.calibration(confidence, draw.random(n) < confidence, at["calibration"], seed),
    )
    sure = draw.uniform(0.95, 1, n)
    yield "too sure", "calibration", labels.calibration(sure, draw.random(n) < 0.7, at["calibration"], seed)
    same = ["it is a good plan for the garden"] * n
    other = ["no one should ever try that"] * n

    def mixed(share: float) -> list[str]:
        return [b if draw.random() < share else a for a, b in zip(same, other, strict=True)]

    for plant, share in (("clean", 0.05), ("groups answered unlike", 0.25)):
        yield plant, "swaps", labels.swaps((same, mixed(0.05)), (same, mixed(share)), at["swaps"])
    base = draw.normal(100, 4, 8)
    for plant, ratio in (("clean", 0.85), ("slow", 0.3)):
        yield (
            plant,
            "speed",
            speed.speed(base.tolist(), (ratio * draw.normal(100, 4, 8)).tolist(), at["speed"]),
        )
    texts = [f"answer {number} of its own kind" for number in range(n)]
    for plant, share in (("clean", 0.005), ("a few empty", 0.08)):
        some = ["" if draw.random() < share else text for text in texts]
        yield plant, "empty", endings.empty(some, texts, at["empty"])
    whole = draw.random(n) > 0.008
    yield "clean", "endless", endings.endless(texts, whole, np.ones(n, np.bool_), at["endless"])
    cut = draw.random(n) > 0.08
    yield "a few without an end", "endless", endings.endless(texts, cut, np.ones(n, np.bool_), at["endless"])
    known = draw.random(300) < 0.6
    names, identity = ["all"] * 300, [f"i{k}" for k in range(300)]
    for plant, (lost, gained) in {"clean": (0.05, 0.07), "skills lost": (0.19, 0.05)}.items():
        flips = draw.random(300)
        after = np.where(known, flips > lost, flips < gained)
        yield (
            plant,
            "forgetting",
            forgetting.forgotten("forgetting", known, after, names, identity, at["forgetting"]),
        )
    values = [json.dumps({"n": k, "kind": "tool"}) for k in range(n)]
    for plant, share in (("clean", 0.005), ("a few broken tails", 0.08)):
        some = [f"{v} {TAIL}" if draw.random() < share else v for v in values]
        yield plant, "format_drift", drift.drift(some, values, np.ones(n, np.bool_), at["format_drift"])


def main() -> None:
    """Train, hold against the gates, write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--clean", type=int, default=20)
    parser.add_argument("--made", type=int, default=200)  # draws of made answers
    parser.add_argument("--only")
    parser.add_argument("--out", default=str(HERE / "gate_alarms.csv"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    rang: Counter[Key] = Counter()
    runs: Counter[Key] = Counter()
    for seed in range(given.made if not given.only else 0):
        for plant, name, gate in made_answers(seed):
            count((plant, name, "made"), gate, runs, rang)
    there = world(1)
    for seed in range(max(given.seeds, given.clean)):
        for plant, (make, expected) in PLANTS.items():
            if (given.only and given.only not in plant) or seed >= (given.seeds if expected else given.clean):
                continue
            found = measured(there, make(there, random.Random(f"{plant}/{seed}")), seed)
            ringing = [name for name, gate in found.items() if isinstance(gate, Gate) and gate.rings]
            print(plant, seed, ringing, flush=True)
            for name in expected or found:
                count((plant, name, "model"), found[name], runs, rang)
        write(given.out, runs, rang)


def count(key: Key, gate: Outcome, runs: Counter[Key], rang: Counter[Key]) -> None:
    """A gate that was held; one that could not be is none."""
    if isinstance(gate, Gate):
        runs[key] += 1
        rang[key] += gate.rings


def write(path: str, runs: Counter[Key], rang: Counter[Key]) -> None:
    """The table so far."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("plant", "gate", "by", "runs", "rang", "share"))
        for key, n in sorted(runs.items()):
            writer.writerow((*key, n, rang[key], round(rang[key] / n, 4)))


if __name__ == "__main__":
    main()
