"""The whole flow over data with planted values, every stage failing on some row, then every pass failing.

    python -m tests.pipelines.canary DIRECTORY

writes data, model and runs below DIRECTORY and what a user would see to standard output. `test_canary` looks
for the planted values in everything that was written. It runs in a process of its own, so that all of Ray's
logs are this flow's.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.cluster import errors, stream
from headrace.cluster.errors import Fault
from headrace.pipelines import flow, recipe
from headrace.pipelines.stages.tokenise.pretrained import SHIPPED
from headrace.pipelines.train.running import ranks
from tests.pipelines.breaking import clean, fingerprint, pii, quality, traits

VALUES = {
    "EMAIL_ADDRESS": "zq.kestrel@canarymail.com",
    "PHONE_NUMBER": "(425) 882-8097",
    "CREDIT_CARD": "4012888888881881",
    "IBAN_CODE": "GB29NWBK60161331926819",
    "US_SSN": "536-22-8714",
}
STAGES = ("clean", "quality", "traits", "pii", "fingerprint")
ROW_STAGES = (clean, quality, traits, pii, fingerprint)


def write(folder: Path) -> None:
    """JSONL: plain rows, rows with values, rows that break a stage, a line that is no JSON, a null."""
    said = (
        "My ssn is {US_SSN}, write {EMAIL_ADDRESS} or call {PHONE_NUMBER}; card {CREDIT_CARD}, {IBAN_CODE}."
    )
    full = said.format(**VALUES)
    rows: list[dict[str, Any]] = [
        {"question": f"What is {n} plus {n}, and why?", "answer": f"It is {2 * n}, by counting."}
        for n in range(90)
    ]
    rows += [
        {"question": f"Ticket {n}: {full}", "answer": f"Noted, {full}", "agent": full} for n in range(12)
    ]
    rows += [{"question": f"BREAK-{stage} {full}", "answer": f"{full} {stage}"} for stage in STAGES]
    rows += [
        {"question": full, "answer": None},
        {"question": "", "answer": full},
        {"question": [full], "answer": 3},
    ]
    lines = [json.dumps(row) for row in rows] + ['{"question": "' + full, json.dumps(full)]
    (folder / "in").mkdir(parents=True)
    (folder / "in/tickets.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "all").mkdir()
    for stage in STAGES:
        every = [
            json.dumps({"question": f"BREAK-{stage} {n} {full}", "answer": full, "agent": ""})
            for n in range(120)
        ]
        (folder / f"all/{stage}.jsonl").write_text("\n".join(every) + "\n", encoding="utf-8")


def model(folder: Path) -> str:
    """A tiny causal model with the shipped tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(SHIPPED)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **heads)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def config(folder: Path, name: str, path: str, **more: Any) -> recipe.Recipe:
    """The recipe of one run."""
    data = {
        "output": str(folder / "runs" / name),
        "sources": [{"name": "s", "path": path, "shape": "question_answer", "meta": ["agent"]}],
        "quarantine": {"limit": 1.0},
        "workers": 2,
        "fragment_size": "4KiB",
        "tokenise": {"max_length": 256},
        "split": {"validation": 0.2, "test": 0.2},
        "pii": {"kinds": {"CREDIT_CARD": "surrogate", "EMAIL_ADDRESS": "hash"}},
        **more,
    }
    return recipe.validate(data, "canary.yaml")


def failing(name: str, work: Callable[[], object]) -> None:
    """Run what must end with a fault, and show what a user, a handler and a debugger would see of it."""
    try:
        work()
    except Fault as error:
        logging.getLogger("canary").error("%s failed", name, exc_info=error)
        sys.stdout.write(f"{name}: {error}\n" + "".join(traceback.format_exception(error)))
        return
    raise AssertionError(f"{name} did not fail")


def quoting(item: object) -> object:
    """A task that quotes a planted value in its error."""
    raise ValueError(VALUES["PHONE_NUMBER"] + VALUES["EMAIL_ADDRESS"])


def quoting_worker(config: dict[str, Any]) -> None:
    """A training function that does so."""
    with errors.discreet():
        quoting(config)


def broken_passes(folder: Path) -> None:
    """Every pass fails once, by a task that quotes a value; the next start goes on to the next pass."""
    whole = stream.each
    one = config(folder, "broken", str(folder / "in"))
    for name in ("dedup stage", "dedup gather", "split assign", "pack", "gate"):

        def each(function: Any, items: Any, *, name: str, broken: str = name, **how: Any) -> Any:
            return whole(quoting if name == broken else function, items, name=name, **how)

        stream.each = each  # type: ignore[assignment]
        failing(name, lambda: flow.prepare(one, "json"))
    stream.each = whole


def main(folder: Path) -> None:
    """Everything."""
    write(folder)
    flow.ROW_STAGES = tuple(stage.__name__ for stage in ROW_STAGES)
    small = {"max_steps": 2, "batch_size": 1, "workers": 1, "rank": 2}
    judged = {"samples": 4, "max_new_tokens": 4}
    built = model(folder / "model")
    told = flow.run(
        config(folder, "whole", str(folder / "in"), model=built, train=small, evaluate=judged), "plain"
    )
    sys.stdout.write(json.dumps(told["rows"]) + "\n")
    for stage in STAGES:
        one = config(folder, f"all-{stage}", str(folder / f"all/{stage}.jsonl"), fragment_size="1MiB")
        failing(stage, lambda one=one: flow.prepare(one, "plain"))  # type: ignore[misc]
    broken_passes(folder)
    ranks.on_worker = quoting_worker
    again = config(folder, "whole", str(folder / "in"), model=built, train={**small, "rank": 4})
    failing("train", lambda: flow.train(again, "plain"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
