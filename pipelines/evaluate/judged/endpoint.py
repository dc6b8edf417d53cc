"""One question to a model behind an OpenAI-compatible endpoint, asked again where that may help.

Too many requests, a server's fault, silence and a lost connection are waited out, `WAITS` seconds between the
tries (or as long as the server says, `LONGEST` at most); a refusal is told at once. Redirects are not
followed: the key is for this host. What the server says of an error is not passed on, as it may quote what
was sent.

Source: https://platform.openai.com/docs/api-reference/chat
Cost: that of the judge.
"""

import http.client
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from headrace.cluster.errors import ModelError, RecipeError
from headrace.pipelines.evaluate.judged.config import Judge

WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds
LONGEST = 60.0
AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
MOST = 2**20  # bytes of a reply
Message = dict[str, str]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the error that it is."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def require(judge: Judge | None) -> None:
    """That the judge could be asked, before any work. Raises: RecipeError where its key is not there."""
    if judge is not None:
        key(judge)


def key(judge: Judge) -> str | None:
    """The API key, from the environment. Raises: RecipeError where the variable is not set."""
    if judge.key_env is None:
        return None
    value = os.environ.get(judge.key_env, "").strip()
    if not value:
        raise RecipeError(
            f"evaluate.judge.key_env: the environment has no {judge.key_env}; export it, or leave key_env "
            "out where the endpoint takes no key"
        )
    return value


def ask(judge: Judge, secret: str | None, messages: Sequence[Message]) -> str:
    """The reply to `messages`.

    Raises: ModelError where there is none: refused, or not there after every wait.
    """
    body: dict[str, Any] = {"model": judge.model, "messages": list(messages)}
    if judge.temperature is not None:
        body["temperature"] = judge.temperature
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret}"
    request = urllib.request.Request(  # noqa: S310 - http or https, as the recipe's section requires
        f"{judge.endpoint}/chat/completions", json.dumps(body).encode(), headers, method="POST"
    )
    opener = urllib.request.build_opener(_NoRedirect)
    for wait in (*WAITS, None):
        why, longer = "", 0.0
        try:
            with opener.open(request, timeout=judge.timeout) as reply:
                return _content(reply.read(MOST + 1))
        except urllib.error.HTTPError as error:
            with error:
                why, longer = f"it answered {_status(error.code)}", _asked_wait(error)
            if error.code not in AGAIN:
                raise ModelError(_refused(judge, error.code)) from None
        except (TimeoutError, socket.timeout):  # noqa: UP041 - urllib raises either
            why = f"no reply within {judge.timeout:g} s"
        except ValueError:
            why = "its reply is no chat completion"
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            why = (
                f"no reply within {judge.timeout:g} s"
                if isinstance(reason, TimeoutError)
                else f"it cannot be reached ({type(reason).__name__})"
            )
        if wait is None:
            break
        time.sleep(min(LONGEST, max(wait, longer)))
    raise ModelError(
        f"evaluate.judge: {judge.endpoint} gives no answers: {why}, {len(WAITS) + 1} times. The evaluation "
        "stands without it; `headrace evaluate` again asks for what is not answered yet"
    )


def _content(data: bytes) -> str:
    """The text of a chat completion. Raises: ValueError where it is none."""
    if len(data) > MOST:
        raise ValueError("too long")
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError("another form") from error
    if not isinstance(content, str):
        raise ValueError("no text")
    return content


def _asked_wait(error: urllib.error.HTTPError) -> float:
    """Seconds that the server asks for."""
    said = error.headers.get("Retry-After", "") if error.headers else ""
    return float(said) if said.isdecimal() else 0.0


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _refused(judge: Judge, code: int) -> str:
    """What is wrong, and what to do."""
    what = {
        400: "does it know evaluate.judge.model, and take temperature? (temperature: null sends none)",
        401: f"set another key in {judge.key_env or 'the variable that evaluate.judge.key_env names'}",
        403: "the key may not use this model",
        404: "is evaluate.judge.endpoint the part before /chat/completions, and the model's name right?",
    }.get(code, "see evaluate.judge in the recipe")
    return (
        f"evaluate.judge: {judge.endpoint} refuses: {_status(code)}; {what}. The evaluation stands without it"
    )
