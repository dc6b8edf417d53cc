"""Speakers that stand for no role by themselves, and what a message may say of them.

A message names the usual ones alone: any other name may be somebody's.
"""

import json
from typing import Any

# By name of a speaker the role that it may stand for.
KNOWN: dict[str, str] = {
    **dict.fromkeys(("function_call", "tool_call", "tool_calls", "bot_response", "response"), "assistant"),
    **dict.fromkeys(
        ("admin", "operator", "support", "staff", "representative", "rep", "expert"), "assistant"
    ),
    **dict.fromkeys(("doctor", "therapist", "counselor", "tutor", "teacher", "wizard"), "assistant"),
    **dict.fromkeys(("tool_output", "tool_response", "tool_result", "tools", "environment"), "tool"),
    **dict.fromkeys(("client", "caller", "usr", "visitor", "patient", "student", "seeker", "asker"), "user"),
    **dict.fromkeys(("prompt", "question", "instruction", "input", "apprentice", "true"), "user"),
    **dict.fromkeys(("context", "narrator", "sys", "instructions"), "system"),
    **dict.fromkeys(("answer", "output", "thought", "moderator", "answerer", "false"), "assistant"),
}


def words(value: Any) -> str:
    """What is said of a speaker without a role: the name only where it is a usual one."""
    name = json.dumps(value).strip('" ').lower() if isinstance(value, str | bool) else ""
    if name not in KNOWN:
        return "a speaker that columns.roles does not name"
    key = f'"{name}"' if name in ("true", "false") else name
    return (
        f"a speaker {name!r} that columns.roles does not name: `columns: {{roles: {{{key}: {KNOWN[name]}}}}}`"
    )
