"""Inputs of `real_life.py`: exports of chat services, traces of agents, files of trainers and annotators.

Each is written in our own words in the form that its service or tool writes; what is right of it was decided
before it was tried.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.real_life_inputs import (
    REFUSED,
    TALKS,
    Expected,
    Input,
    Row,
    lines,
    preferred,
    right,
    rows,
    said,
    texts,
    turns,
    whole,
)

KIND = ("system", "Be kind.")
Made = Callable[[int, str, str], Any]


def each(of: Made) -> Callable[[], list[Any]]:
    """One of these for every talk."""
    return lambda: [of(n, *talk) for n, talk in enumerate(TALKS)]


def answered(more: Callable[[int], str]) -> list[Row]:
    """Every talk with more below what is asked."""
    return [(("user", f"{a}\n\n{more(n)}"), ("assistant", b)) for n, (a, b) in enumerate(TALKS)]


def pair(n: int, asked: str, answer: str) -> dict[str, Any]:
    """A question and its answer."""
    return {"id": n, "question": asked, "answer": answer}


# ---- exports of chat services


def claude(n: int, asked: str, answer: str) -> dict[str, Any]:
    def one(sender: str, text: str) -> dict[str, Any]:
        block = {"type": "text", "text": text, "start_timestamp": "2025-01-01T00:00:00Z", "citations": []}
        return {
            "uuid": f"{sender}{n}",
            "text": text,
            "content": [block],
            "sender": sender,
            "created_at": "2025-01-01T00:00:00Z",
            "attachments": [],
            "files": [],
        }

    both = [one("human", asked), one("assistant", answer)]
    return {"uuid": str(n), "name": f"talk {n}", "account": {"uuid": "x"}, "chat_messages": both}


def takeout(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "header": "Gemini Apps",
        "title": f"Prompted {asked}",
        "time": "2025-01-01T00:00:00Z",
        "products": ["Gemini Apps"],
        "safeHtmlItem": [{"html": f"<p>{answer}</p>"}],
    }


def open_webui(n: int, asked: str, answer: str) -> dict[str, Any]:
    first = {"id": "a", "parentId": None, "childrenIds": ["b"], "role": "user", "content": asked}
    second = {"id": "b", "parentId": "a", "childrenIds": [], "role": "assistant", "content": answer}
    chat = {
        "title": f"talk {n}",
        "models": ["m"],
        "history": {"messages": {"a": first, "b": second}, "currentId": "b"},
        "messages": [first, second],
    }
    return {"id": str(n), "user_id": "u", "title": f"talk {n}", "chat": chat, "archived": False}


def lm_studio(n: int, asked: str, answer: str) -> dict[str, Any]:
    def one(role: str, text: str) -> dict[str, Any]:
        block = {"type": "text", "text": text}
        versions = [{"type": "singleStep", "role": role, "content": [block]}]
        return {"versions": versions, "currentlySelected": 0}

    return {"name": f"talk {n}", "messages": [one("user", asked), one("assistant", answer)]}


def poe(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "chat_id": n,
        "chat_messages": [{"author": "human", "text": asked}, {"author": "bot", "text": answer}],
    }


def telegram() -> dict[str, Any]:
    made = []
    for n, (asked, answer) in enumerate(TALKS):
        made.append({"id": 2 * n, "type": "message", "from": "Ann Lee", "from_id": "user1", "text": asked})
        link = [{"type": "link", "text": "https://shop.example"}, f" {answer}"]
        made.append({"id": 2 * n + 1, "type": "message", "from": "Bo Roe", "from_id": "user2", "text": link})
    return {"name": "Bo Roe", "type": "personal_chat", "id": 7, "messages": made}


def messenger() -> dict[str, Any]:
    made = []
    for n, (asked, answer) in enumerate(TALKS):
        made.append({"sender_name": "Ann Lee", "timestamp_ms": 2 * n, "content": asked, "type": "Generic"})
        made.append(
            {"sender_name": "Bo Roe", "timestamp_ms": 2 * n + 1, "content": answer, "type": "Generic"}
        )
    people = [{"name": "Ann Lee"}, {"name": "Bo Roe"}]
    return {"participants": people, "messages": made[::-1], "title": "Ann Lee", "thread_path": "inbox/ann"}


# ---- frameworks' messages, traces, logs of services


def langchain(n: int, asked: str, answer: str) -> dict[str, Any]:
    def one(kind: str, text: str) -> dict[str, Any]:
        return {"type": kind, "data": {"content": text, "additional_kwargs": {}, "type": kind}}

    return {"session": n, "messages": [one("human", asked), one("ai", answer)]}


def constructors(n: int, asked: str, answer: str) -> dict[str, Any]:
    def one(name: str, text: str) -> dict[str, Any]:
        where = ["langchain", "schema", "messages", name]
        return {"lc": 1, "type": "constructor", "id": where, "kwargs": {"content": text}}

    return {"messages": [one("HumanMessage", asked), one("AIMessage", answer)]}


def langsmith(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "id": n,
        "inputs": {"messages": [said("user", asked)]},
        "outputs": {"choices": [{"index": 0, "message": said("assistant", answer)}]},
    }


def langfuse(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {"id": n, "input": [said("user", asked)], "output": said("assistant", answer), "latency": 0.5}


def logged(n: int, asked: str, answer: str) -> dict[str, Any]:
    asking = {"model": "m", "messages": [said("system", "Be kind."), said("user", asked)]}
    return {"request": asking, "response": {"choices": [{"message": said("assistant", answer)}]}}


def responses(n: int, asked: str, answer: str) -> dict[str, Any]:
    spoken = {"type": "output_text", "text": answer, "annotations": []}
    return {
        "id": f"resp_{n}",
        "instructions": "Be kind.",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": asked}]}],
        "output": [{"type": "message", "id": "m", "role": "assistant", "content": [spoken]}],
    }


def acted(n: int, asked: str, answer: str) -> dict[str, Any]:
    """What an agent did, as items."""
    summary = [{"type": "summary_text", "text": "I look it up."}]
    items = [
        {"type": "reasoning", "id": "r", "summary": summary, "encrypted_content": "x"},
        {"type": "function_call", "call_id": "c", "name": "shop", "arguments": json.dumps({"n": n})},
        {"type": "function_call_output", "call_id": "c", "output": "open"},
        {"type": "reasoning", "id": "s", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": answer}]},
    ]
    return {"id": f"resp_{n}", "input": [said("user", asked)], "output": items}


def logprobs(n: int, asked: str, answer: str) -> dict[str, Any]:
    near = {"tokens": ["Bring"], "token_logprobs": [-0.1]}
    return {
        "id": n,
        "prompt": asked,
        "choices": [{"text": answer, "index": 0, "logprobs": near, "finish_reason": "stop"}],
    }


def bedrock(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "Be kind."}],
        "messages": [said("user", [{"text": asked}]), said("assistant", [{"text": answer}])],
    }


def vertex(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "systemInstruction": {"role": "system", "parts": [{"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": asked}]},
            {"role": "model", "parts": [{"text": answer}]},
        ],
    }


def cohere(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {"messages": [said("User", asked), said("Chatbot", answer)]}


def steps(n: int, asked: str, answer: str) -> dict[str, Any]:
    """An agent's trajectory: what it was told and said stands in `history`."""
    spoken = [said("system", "Be kind."), said("user", asked), said("assistant", answer)]
    history = [{**turn, "agent": "primary"} for turn in spoken]
    step = {"action": "ls", "observation": "a.py", "response": answer, "thought": "I look."}
    return {
        "environment": "e",
        "trajectory": [step],
        "history": history,
        "info": {"exit_status": "submitted"},
    }


def hands(n: int, asked: str, answer: str) -> list[dict[str, Any]]:
    """An agent's events."""
    return [
        {"id": 0, "source": "user", "action": "message", "args": {"content": asked}},
        {"id": 1, "source": "agent", "action": "run", "args": {"command": "ls", "thought": ""}},
        {"id": 2, "source": "agent", "action": "message", "args": {"content": answer}},
    ]


# ---- trainers' files


def weighted(n: int, asked: str, answer: str) -> dict[str, Any]:
    """OpenAI's: an answer of weight 0 is not learned."""
    first = {**said("assistant", "What?"), "weight": 0}
    return {
        "messages": [
            said("user", "Hm."),
            first,
            said("user", asked),
            {**said("assistant", answer), "weight": 1},
        ]
    }


def masked(n: int, asked: str, answer: str) -> dict[str, Any]:
    """AgentInstruct's: `loss` says which answers are learned."""

    def one(speaker: str, text: str, loss: bool | None) -> dict[str, Any]:
        return {"from": speaker, "value": text, "loss": loss}

    return {
        "conversations": [
            one("human", "Hm.", None),
            one("gpt", "What?", False),
            one("human", asked, None),
            one("gpt", answer, True),
        ]
    }


def openai_pairs(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "input": {"messages": [said("user", asked)], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [said("assistant", answer)],
        "non_preferred_output": [said("assistant", "No.")],
    }


def factory(n: int, asked: str, answer: str) -> dict[str, Any]:
    """Instructions with what was said before."""
    return {
        "instruction": asked,
        "input": "",
        "output": answer,
        "system": "Be kind.",
        "history": [["Good day.", "Good day to you."]],
    }


def unpaired(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {"prompt": asked, "completion": answer if n % 2 == 0 else "Go away.", "label": n % 2 == 0}


def rated(n: int, asked: str, answer: str) -> dict[str, Any]:
    good = {
        "model": "m",
        "response": answer,
        "overall_score": 9.0,
        "annotations": {"helpfulness": {"Rating": "5"}},
    }
    return {
        "source": "s",
        "instruction": asked,
        "models": ["m", "k"],
        "completions": [{**good, "response": "No."}, good],
    }


def arena(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "question_id": n,
        "model_a": "m",
        "model_b": "k",
        "winner": "model_b",
        "conversation_a": turns(asked, "No."),
        "conversation_b": turns(asked, answer),
    }


def ranked(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "post_id": n,
        "history": asked,
        "human_ref_A": "No.",
        "human_ref_B": answer,
        "labels": 0,
        "score_A": 1,
    }


def exchange(n: int, asked: str, answer: str) -> dict[str, Any]:
    worse = {"answer_id": 1, "text": "No.", "pm_score": 0, "selected": False}
    return {
        "qid": n,
        "question": asked,
        "answers": [worse, {**worse, "text": answer, "pm_score": 5, "selected": True}],
    }


def glaive(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "system": "SYSTEM: Be kind.",
        "chat": f"USER: {asked}\n\n\nASSISTANT: {answer} <|endoftext|>\n\n\n",
    }


def calls(n: int, asked: str, answer: str) -> dict[str, Any]:
    """A question, the calls that answer it, and the tools."""
    made = [{"name": "shop", "arguments": {"n": n}}]
    tool = {"name": "shop", "description": "d", "parameters": {"n": {"type": "int", "description": "which"}}}
    return {"id": n, "query": asked, "answers": json.dumps(made), "tools": json.dumps([tool])}


def numbered(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {"id": n, "messages": {"0": said("user", asked), "1": said("assistant", answer)}}


def moss(n: int, asked: str, answer: str) -> dict[str, Any]:
    turn = {"Human": f"<|Human|>: {asked}<eoh>\n", "MOSS": f"<|MOSS|>: {answer}<eom>\n"}
    return {"conversation_id": n, "meta_instruction": "Be kind.", "num_turns": 1, "chat": {"turn_1": turn}}


def instances() -> dict[str, Any]:
    """Natural instructions: the task stands once, beside its instances."""
    made = [{"id": f"t-{n}", "input": a, "output": [b]} for n, (a, b) in enumerate(TALKS)]
    return {"Contributors": ["x"], "Definition": ["Answer as the shop would."], "Instances": made}


def articles() -> dict[str, Any]:
    """Questions in paragraphs in articles."""
    made = []
    for n, (a, b) in enumerate(TALKS):
        about = f"Shop {n} sells things. {b}"
        asked = {
            "id": str(n),
            "question": a,
            "answers": [{"text": b, "answer_start": 20}],
            "is_impossible": False,
        }
        made.append({"title": f"shop {n}", "paragraphs": [{"context": about, "qas": [asked]}]})
    return {"version": "v2.0", "data": made}


def story(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "id": str(n),
        "story": f"Shop {n} sells things.",
        "questions": [{"input_text": asked, "turn_id": 1}],
        "answers": [{"input_text": answer, "turn_id": 1, "span_text": answer}],
    }


def tree_records(folder: Path) -> None:
    """Messages of trees, one a record."""
    made = []
    for n, (a, b) in enumerate(TALKS):
        tree = {"message_tree_id": f"t{n}", "lang": "en", "deleted": False}
        made.append({**tree, "message_id": f"q{n}", "parent_id": None, "role": "prompter", "text": a})
        made.append({**tree, "message_id": f"a{n}", "parent_id": f"q{n}", "role": "assistant", "text": b})
    (folder / "trees.jsonl").write_text("".join(json.dumps(r) + "\n" for r in made), encoding="utf-8")


# ---- annotators' exports


def label_studio(n: int, asked: str, answer: str) -> dict[str, Any]:
    choice = {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["angry"]}}
    done = {"id": n, "completed_by": 1, "result": [choice], "was_cancelled": False}
    return {"id": n, "annotations": [done], "data": {"text": asked}, "predictions": []}


def prodigy(n: int, asked: str, answer: str) -> dict[str, Any]:
    """The annotator accepts or rejects a label."""
    return {"text": asked, "label": "angry", "answer": "accept" if n % 2 == 0 else "reject", "_task_hash": n}


def argilla(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "id": n,
        "fields": {"instruction": asked, "response": "No."},
        "responses": {"corrected": [{"value": answer, "user_id": "u", "status": "submitted"}]},
        "status": "completed",
    }


def spans(n: int, asked: str, answer: str) -> dict[str, Any]:
    return {"id": n, "text": asked, "label": [[4, 10, "THING"]], "Comments": []}


def pairs_of(answer: str) -> list[Row]:
    """Every question with this answer."""
    return [(("user", a), ("assistant", answer)) for a, _ in TALKS]


LABELS = [(("user", a), ("assistant", "angry")) for a, _ in TALKS]
HALF = [row for n, row in enumerate(LABELS) if n % 2 == 0]
UNLEARNED = Expected(len(TALKS), None, {"assistant": '"learned": false'})
WITH_CALLS = Expected(
    len(TALKS), None, {"user": "What am I to do?", "tool": "open", "assistant": "I look it up."}
)
CALLED = Expected(len(TALKS), None, {"assistant": '"tool_calls"'})

CHATS = [
    Input("Claude's export", whole("conversations.json", each(claude)), right(rows())),
    Input("Gemini's takeout", whole("MyActivity.json", each(takeout)), REFUSED, named=["do not fit"]),
    Input("Open WebUI's export", whole("chat-export.json", each(open_webui)), right(rows())),
    Input("LM Studio's conversations", lines("a.jsonl", lm_studio), REFUSED, named=["'messages'", "role"]),
    Input("messages of author and text", lines("a.jsonl", poe), right(rows())),
    Input("Telegram's export", whole("result.json", telegram), REFUSED, named=["columns.roles", "roles:"]),
    Input(
        "Messenger's export", whole("message_1.json", messenger), REFUSED, named=["columns.roles", "roles:"]
    ),
    Input("LangChain's messages", lines("a.jsonl", langchain), right(rows())),
    Input("LangChain's constructors", lines("a.jsonl", constructors), REFUSED, named=["'messages'", "role"]),
    Input("inputs and outputs of traces", lines("a.jsonl", langsmith), right(rows())),
    Input("input and output of traces", lines("a.jsonl", langfuse), right(rows())),
    Input("requests and responses", lines("a.jsonl", logged), right(rows(KIND))),
    Input("responses with output items", lines("a.jsonl", responses), right(rows(KIND))),
    Input("responses with calls and reasoning", lines("a.jsonl", acted), WITH_CALLS),
    Input("completions with logprobs", lines("a.jsonl", logprobs), right(rows())),
    Input("blocks without types", lines("a.jsonl", bedrock), right(rows(KIND))),
    Input("contents of parts", lines("a.jsonl", vertex), right(rows(KIND))),
    Input("User and Chatbot", lines("a.jsonl", cohere), right(rows())),
    Input("an agent's trajectory", lines("a.traj.jsonl", steps), right(rows(KIND))),
    Input("an agent's events", whole("a.json", each(hands)), REFUSED, named=["args.content"]),
    Input(
        "answers of weight 0",
        lines("a.jsonl", weighted),
        UNLEARNED,
        told=["carry no loss, as their rows say"],
    ),
    Input(
        "answers without loss", lines("a.jsonl", masked), UNLEARNED, told=["carry no loss, as their rows say"]
    ),
    Input("OpenAI's preferences", lines("a.jsonl", openai_pairs), right(preferred())),
    Input(
        "instructions with a history",
        whole("a.json", each(factory)),
        right(rows(KIND, ("user", "Good day."), ("assistant", "Good day to you."))),
    ),
    Input("answers wanted or not", lines("a.jsonl", unpaired), right(rows()[::2]), named=["label"]),
    Input("several answers with scores", lines("a.jsonl", rated), REFUSED, named=["completions"]),
    Input("two conversations and a winner", lines("a.jsonl", arena), REFUSED, named=["conversation_b"]),
    Input("two answers and which is better", lines("a.jsonl", ranked), REFUSED, named=["human_ref_A"]),
    Input("a question with ranked answers", lines("a.jsonl", exchange), REFUSED, named=["answers"]),
    Input("USER and ASSISTANT under chat", lines("a.jsonl", glaive), right(rows(KIND)), named=["markers"]),
    Input("calls as answers", lines("a.jsonl", calls), CALLED),
    Input("turns by their numbers", lines("a.jsonl", numbered), right(rows())),
    Input("turns by names", lines("a.jsonl", moss), REFUSED, named=["chat"]),
    Input(
        "instances beside a definition", whole("task.json", instances), right(rows()), told=["'Definition'"]
    ),
    Input("questions in paragraphs", whole("train.json", articles), REFUSED, named=["paragraphs"]),
    Input(
        "a story with questions", whole("a.json", lambda: {"data": each(story)()}), REFUSED, named=["story"]
    ),
    Input("trees, a message a record", tree_records, right(rows())),
    Input(
        "an instruction with a context",
        lines(
            "a.jsonl",
            lambda n, a, b: {
                "instruction": a,
                "context": f"Shop {n} sells.",
                "response": b,
                "category": "qa",
            },
        ),
        right(answered(lambda n: f"Shop {n} sells.")),
    ),
    Input("a list of turns a line", lines("a.jsonl", lambda n, a, b: turns(a, b)), right(rows())),
    Input("lists of lists of turns", whole("a.json", each(lambda n, a, b: turns(a, b))), right(rows())),
    Input(
        "turns under items",
        whole(
            "a.json",
            each(
                lambda n, a, b: {
                    "id": n,
                    "items": [{"from": "human", "value": a}, {"from": "gpt", "value": b}],
                }
            ),
        ),
        right(rows()),
    ),
    Input(
        "a document's _source",
        lines(
            "a.jsonl", lambda n, a, b: {"_index": "i", "_id": str(n), "_source": {"question": a, "answer": b}}
        ),
        right(rows()),
    ),
    Input(
        "values with their types",
        lines(
            "a.jsonl",
            lambda n, a, b: {"Item": {"question": {"S": a}, "answer": {"S": b}, "id": {"N": str(n)}}},
        ),
        right(rows()),
    ),
    Input(
        "edges and nodes",
        whole("a.json", lambda: {"data": {"talks": {"edges": [{"node": r} for r in each(pair)()]}}}),
        right(rows()),
    ),
    Input(
        "Label Studio's export",
        whole("project.json", each(label_studio)),
        right(LABELS),
        named=["annotations"],
    ),
    Input("accepted and rejected labels", lines("a.jsonl", prodigy), right(HALF), named=["'answer'"]),
    Input(
        "fields and responses", whole("a.json", each(argilla)), right(pairs_of("No.")), told=["'responses'"]
    ),
    Input(
        "labels in lists",
        lines("a.jsonl", lambda n, a, b: {"id": n, "text": a, "label": ["angry"], "Comments": []}),
        right(LABELS),
    ),
    Input("labels of spans", lines("a.jsonl", spans), REFUSED, named=["label"]),
    Input(
        "labels as bools",
        lines("a.jsonl", lambda n, a, b: {"sentence": a, "label": n % 2 == 0}),
        right([(("user", a), ("assistant", str(n % 2 == 0).lower())) for n, (a, _) in enumerate(TALKS)]),
    ),
    Input(
        "labels with their words",
        lines("a.jsonl", lambda n, a, b: {"text": a, "label": n % 2, "label_text": ("bad", "good")[n % 2]}),
        right([(("user", a), ("assistant", ("bad", "good")[n % 2])) for n, (a, _) in enumerate(TALKS)]),
    ),
    Input(
        "prompts with Human and Assistant",
        lines("a.jsonl", lambda n, a, b: {"prompt": f"\n\nHuman: {a}\n\nAssistant:", "completion": f" {b}"}),
        right(rows()),
    ),
    Input(
        "prompts with ### Instruction",
        lines(
            "a.jsonl",
            lambda n, a, b: {"prompt": f"### Instruction:\n{a}\n\n### Response:\n", "completion": b},
        ),
        right(rows()),
    ),
    Input(
        "prompts of ChatML",
        lines(
            "a.jsonl",
            lambda n, a, b: {
                "prompt": f"<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n{a}<|im_end|>\n"
                "<|im_start|>assistant\n",
                "completion": f"{b}<|im_end|>",
            },
        ),
        right(rows(KIND)),
    ),
    Input(
        "User and Assistant, a side each",
        lines("a.jsonl", lambda n, a, b: {"prompt": f"User: {a}", "response": f"Assistant: {b}"}),
        right(rows()),
    ),
    Input(
        "texts with a prompt's end",
        lines("a.jsonl", lambda n, a, b: {"prompt": f"{a}\n\n###\n\n", "completion": f" {b} END"}),
        Expected(len(TALKS), None, {"user": "What am I to do?", "assistant": "Bring the"}),
    ),
    Input(
        "mail threads in one text",
        lines("a.jsonl", lambda n, a, b: {"body": f"{a}\n\nOn Monday the shop wrote:\n> {b}"}),
        right(texts([f"{a}\n\nOn Monday the shop wrote:\n> {b}" for a, b in TALKS])),
    ),
]
