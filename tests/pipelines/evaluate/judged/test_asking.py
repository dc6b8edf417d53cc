"""A model as the judge: both orders, nothing asked twice, no key written, and every way an endpoint fails."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from headrace.cluster.errors import ModelError, RecipeError
from headrace.pipelines import recipe
from headrace.pipelines.evaluate.judged import asking, endpoint, outcomes
from headrace.pipelines.evaluate.judged.config import Judge
from headrace.pipelines.tuning import judging
from tests.pipelines.evaluations import evaluate, outcome

SECRET = "sk-nobody-writes-this"
N = 12
Answer = Callable[[str], Any]  # of what was asked: words, (status, headers), or bytes


class Endpoint:
    """A real server: answers by `answer`, one call after another, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = lambda text: "verdict: tie"
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.open, self.most = 0, 0
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.bodies.append({"path": self.path, **body})
                    outer.keys.append(self.headers.get("Authorization"))
                    outer.open += 1
                    outer.most = max(outer.most, outer.open)
                    said = outer.answer(body["messages"][1]["content"])
                if callable(said):
                    said = said()
                status, headers = said if isinstance(said, tuple) else (200, {})
                reply = {"choices": [{"message": {"role": "assistant", "content": said}}]}
                data = said if isinstance(said, bytes) else json.dumps(reply).encode()
                with lock:
                    outer.open -= 1
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign] # who waits no longer
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(endpoint, "WAITS", (0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run whose tuned model says "good" and the base "poor", but for one answer that is alike."""
    made = outcome(["poor"] * N + ["x"], ["good"] * N + ["x"], ["good"] * (N + 1))
    return evaluate(tmp_path / "run", made)


def ask(run: str, server: Endpoint, **more: Any) -> dict[str, Any]:
    judge = Judge(endpoint=server.url, model="a-judge", **more)
    return asking.run(run, judge, seed=0)


def first(text: str) -> str:
    """Which answer stands first."""
    return "good" if text.index("good", text.index("ANSWER A")) < text.index("poor") else "poor"


def prefers_good(text: str) -> str:
    return f"It is right.\n**Verdict:** {'A' if first(text) == 'good' else 'B'}"


def test_what_it_says_both_ways_counts(run: str, server: Endpoint) -> None:
    server.answer = prefers_good
    said = ask(run, server)
    assert (said["wins"], said["losses"], said["ties"], said["same"], said["unread"]) == (N, 0, 0, 1, 0)
    assert (said["win_rate"], said["verdict"]) == (1.0, "better")
    assert said["position"] == {"first": 0, "second": 0}
    assert len(server.bodies) == 2 * N
    body = server.bodies[0]
    assert (body["path"], body["model"], body["temperature"]) == ("/v1/chat/completions", "a-judge", 0.0)
    assert "prompt " in body["messages"][1]["content"]
    assert outcomes.of_judge(run, {"evaluation": "evaluation", "against": "base"}) == dict.fromkeys(
        range(N), "win"
    )


def test_where_the_order_decides_it_is_a_tie(run: str, server: Endpoint) -> None:
    server.answer = lambda text: "verdict: A"
    said = ask(run, server)
    assert (said["wins"], said["losses"], said["ties"]) == (0, 0, N)
    assert said["position"] == {"first": N, "second": 0}
    assert f"in {N} pairs the order decided ({N} times the first answer)" in said["words"]


def test_the_worse_model_loses(run: str, server: Endpoint) -> None:
    server.answer = lambda text: f"verdict: {'b' if first(text) == 'good' else 'a'}"
    assert ask(run, server)["verdict"] == "worse"


def test_what_names_no_winner_is_left_out_and_told(run: str, server: Endpoint) -> None:
    server.answer = lambda text: "I would rather not say." if "prompt 3" in text else prefers_good(text)
    said = ask(run, server)
    assert (said["judged"], said["unread"]) == (N - 1, 1)
    assert "1 pairs without a readable verdict are left out" in said["words"]


def test_nothing_is_asked_twice(run: str, server: Endpoint) -> None:
    server.answer = prefers_good
    said = ask(run, server)
    assert ask(run, server) == said
    assert len(server.bodies) == 2 * N
    ask(run, server, criteria="the shorter one is better")
    assert len(server.bodies) == 4 * N, "another question"


def test_so_many_samples_and_requests_as_are_asked_for(run: str, server: Endpoint) -> None:
    def slowly() -> str:
        time.sleep(0.02)
        return "verdict: tie"

    server.answer = lambda text: slowly
    assert ask(run, server, samples=5, most_at_once=2)["judged"] == 5
    assert len(server.bodies) == 10
    assert server.most == 2


def test_people_are_held_beside_it(run: str, server: Endpoint) -> None:
    outcomes.keep_review(
        run, {"evaluation": "evaluation", "against": "base"}, {0: "win", 1: "loss", 2: "tie", 99: "win"}
    )
    server.answer = prefers_good
    review = ask(run, server)["review"]
    assert (review["samples"], review["decided_by_both"], review["alike"]) == (3, 2, 1)


def test_the_key_is_sent_and_written_nowhere(
    run: str, server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    ask(run, server, key_env="JUDGE_KEY")
    assert set(server.keys) == {f"Bearer {SECRET}"}
    assert not [path for path in Path(run).rglob("*") if path.is_file() and SECRET in path.read_text()]
    ask(run, server, criteria="anything")
    assert server.keys[-1] is None
    monkeypatch.delenv("JUDGE_KEY")
    with pytest.raises(RecipeError, match="the environment has no JUDGE_KEY"):
        endpoint.require(Judge(endpoint=server.url, model="m", key_env="JUDGE_KEY"))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(run: str, server: Endpoint, status: int) -> None:
    calls = iter(range(10_000))
    server.answer = lambda text: (status, {"Retry-After": "0"}) if next(calls) % 3 else prefers_good(text)
    assert ask(run, server, most_at_once=1)["wins"] == N
    assert len(server.bodies) > 2 * N


def test_one_that_stays_broken_is_told_and_what_it_said_is_kept(run: str, server: Endpoint) -> None:
    calls = iter(range(10_000))
    server.answer = lambda text: prefers_good(text) if next(calls) < 10 else (500, {})
    with pytest.raises(ModelError, match="gives no answers: it answered 500 Internal Server Error, 3 times"):
        ask(run, server, most_at_once=1)
    assert len(list(Path(run, "evaluation/judged").glob("*.json"))) == 10
    before = len(server.bodies)
    server.answer = prefers_good
    assert ask(run, server)["wins"] == N
    assert len(server.bodies) - before == 2 * N - 10


@pytest.mark.parametrize(
    ("status", "words"), [(401, "set another key"), (404, "the part before"), (400, "temperature: null")]
)
def test_a_refusal_is_told_at_once(run: str, server: Endpoint, status: int, words: str) -> None:
    server.answer = lambda text: (status, {})
    with pytest.raises(ModelError, match=f"refuses: {status} .*{words}") as raised:
        ask(run, server, most_at_once=1)
    assert "prompt" not in str(raised.value)
    assert len(server.bodies) == 1, "nobody waits, and what was not yet sent is not"


def test_a_redirect_is_not_followed(run: str, server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    server.answer = lambda text: (302, {"Location": f"{server.url}/elsewhere"})
    with pytest.raises(ModelError, match="refuses: 302"):
        ask(run, server, key_env="JUDGE_KEY", most_at_once=1)
    assert {body["path"] for body in server.bodies} == {"/v1/chat/completions"}


def test_silence_has_an_end(run: str, server: Endpoint) -> None:
    def late() -> str:
        time.sleep(0.3)
        return "verdict: A"

    server.answer = lambda text: late
    with pytest.raises(ModelError, match=r"no reply within 0\.05 s"):
        ask(run, server, timeout=0.05, samples=1, most_at_once=1)


@pytest.mark.parametrize(
    "data",
    [b"<html>busy</html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}'],
)
def test_another_form_is_no_answer(run: str, server: Endpoint, data: bytes) -> None:
    server.answer = lambda text: data
    with pytest.raises(ModelError, match="its reply is no chat completion"):
        ask(run, server, samples=1, most_at_once=1)


def test_nobody_there_is_told(run: str, server: Endpoint) -> None:
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(ModelError, match="cannot be reached"):
        ask(run, server, samples=1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("endpoint", "localhost:8000"),
        ("endpoint", "ftp://host/v1"),
        ("endpoint", "http://me:secret@host/v1"),
        ("endpoint", "http://host/v1?key=x"),
        ("key_env", "sk-a-key"),
    ],
)
def test_what_cannot_be_is_refused(key: str, value: str) -> None:
    with pytest.raises(ValidationError):
        Judge.model_validate({"endpoint": "http://host/v1", "model": "m", key: value})


def test_the_rest_of_the_evaluation_stands_where_nobody_answers(run: str, server: Endpoint) -> None:
    judge = {"endpoint": server.url, "model": "a-judge"}
    data = {"output": run, "sources": [{"path": "unread.jsonl"}], "evaluate": {"judge": judge}}
    asked = recipe.validate(data, "recipe")
    scores = Path(run, "evaluation/scores.json")
    before = json.loads(scores.read_text())
    server.answer = prefers_good
    assert judging.judged(asked, "quiet") is None
    told = json.loads(Path(run, "run.json").read_text())["judge"]
    assert told["wins"] == N
    assert json.loads(scores.read_text()) == {**before, "judge": told}
    server.answer = lambda text: (403, {})
    other = recipe.validate({**data, "evaluate": {"judge": {**judge, "model": "another"}}}, "recipe")
    error = judging.judged(other, "quiet")
    assert isinstance(error, ModelError)
    assert error.exit_code == 2
    assert json.loads(scores.read_text()) == before, "what another judge said is not this one's word"
    assert json.loads(Path(run, "run.json").read_text())["judge"] is None


@pytest.mark.parametrize(
    ("endpoint", "taken"),
    [
        ("http://judge.example.com/v1", False),
        ("http://8.8.8.8/v1", False),
        ("https://judge.example.com/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://10.1.2.3:8000/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://vllm:8000/v1", True),
        ("http://vllm.models.svc:8000/v1", True),
    ],
)
def test_a_key_goes_over_no_open_line(endpoint: str, taken: bool) -> None:
    assert Judge(endpoint=endpoint, model="m").key_env is None
    if taken:
        assert Judge(endpoint=endpoint, model="m", key_env="KEY").endpoint == endpoint
        return
    with pytest.raises(ValueError, match="could be read on the way; write https"):
        Judge(endpoint=endpoint, model="m", key_env="KEY")
