"""A conversation kept as a tree: the one path through it that is read, and how much of it is not.

Three forms. A mapping of nodes that name their `parent` and `children`, each with a `message`, as chat
services export them: the path is the one that ends at the node the export calls current, else the one that
takes the last child each time, which is the last that was written. A message with `replies` in it: of these
the one of the best `rank`, else the first. Records that stand apart, each with the name of the one that it
answers (`columns.parent`): the last of several each time.

Cost: one look at every node.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.pipelines.stages.read.records import ReadError
from headrace.pipelines.stages.read.turns.paths import MISSING, at

CURRENT = "current_node"  # beside the tree: where the conversation stood when it was exported
REPLIES = ("replies", "children")
WORDLESS = ("user_editable_context", "model_editable_context")  # settings of the service, nobody's words


def is_nodes(value: Any) -> bool:
    """Whether a mapping is one of nodes."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(n, Mapping) and ("parent" in n or "children" in n) for n in value.values())
    )


def is_replies(value: Any) -> bool:
    """Whether a mapping is a message with replies in it."""
    return isinstance(value, Mapping) and any(
        isinstance(value.get(key), list) and all(isinstance(r, Mapping) for r in value[key])
        for key in REPLIES
    )


def of_nodes(nodes: Mapping[str, Any], current: Any, left: dict[str, int]) -> list[Any]:
    """Messages on the path through a mapping of nodes; `left` counts those on other branches."""
    path = _upwards(nodes, current) if isinstance(current, str) and current in nodes else _downwards(nodes)
    spoken = sum(isinstance(n.get("message"), Mapping) for n in nodes.values())
    messages = [n["message"] for n in path if isinstance(n.get("message"), Mapping)]
    if spoken > len(messages):
        left["branch_turns"] = left.get("branch_turns", 0) + spoken - len(messages)
    return [m for m in map(_plain, messages) if m is not None]


def _upwards(nodes: Mapping[str, Any], name: Any) -> list[Mapping[str, Any]]:
    path: list[Mapping[str, Any]] = []
    seen = set()
    while isinstance(name, str) and name in nodes:
        if name in seen:
            raise ReadError("read.wrong_type", "a tree of messages that goes in a circle")
        seen.add(name)
        path.append(nodes[name])
        name = nodes[name].get("parent")
    return path[::-1]


def _downwards(nodes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    roots = [
        n for n, node in nodes.items() if not (isinstance(up := node.get("parent"), str) and up in nodes)
    ]
    if len(roots) != 1:
        raise ReadError("read.wrong_type", f"a tree of messages with {len(roots)} beginnings")
    path: list[Mapping[str, Any]] = []
    name: Any = roots[0]
    while isinstance(name, str) and name in nodes and len(path) < len(nodes):
        path.append(nodes[name])
        children = nodes[name].get("children")
        if not isinstance(children, list):
            children = [n for n, node in nodes.items() if node.get("parent") == name]
        name = children[-1] if children else None
    return path


def _plain(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """A node's message as a turn; None for one that holds settings."""
    role, content = at(message, "author.role"), message.get("content")
    if role is MISSING:
        return dict(message)
    if not isinstance(content, Mapping):
        return {"role": role, "content": content}
    if content.get("content_type") in WORDLESS:
        return None
    parts = content.get("parts")
    if isinstance(parts, list):
        typed = [
            {"type": "text", "text": p} if isinstance(p, str) else {"type": "other", "part": p} for p in parts
        ]
        return {"role": role, "content": typed or ""}
    found = content.get("text", content.get("result"))
    return {"role": role, "content": found if isinstance(found, str) else [{"type": "other"}]}


def of_replies(message: Mapping[str, Any], left: dict[str, int]) -> list[Any]:
    """The message and the replies on the path; `left` counts those on other branches."""
    path: list[Any] = []
    node: Mapping[str, Any] | None = message
    beside = 0
    while node is not None:
        key = next((k for k in REPLIES if isinstance(node.get(k), list)), None)
        replies = list(node[key]) if key else []
        if not all(isinstance(reply, Mapping) for reply in replies):
            raise ReadError("read.wrong_type", f"{key!r} holds a reply that is not a mapping")
        path.append({k: v for k, v in node.items() if k != key})
        ranked = [r for r in replies if isinstance(r.get("rank"), int)]
        chosen = min(ranked, key=lambda r: r["rank"]) if ranked else replies[0] if replies else None
        beside += sum(_size(r) for r in replies if r is not chosen)
        node = chosen
    if beside:
        left["branch_turns"] = left.get("branch_turns", 0) + beside
    return path


def path_of(names: Sequence[str | None], parents: Sequence[str | None]) -> list[int]:
    """The records on the path through those of one conversation, by their own names and the parents' names.

    Raises: ReadError where they have no beginning, or several.
    """
    known = {name for name in names if name is not None}
    answers: dict[str, list[int]] = defaultdict(list)
    roots = []
    for i, parent in enumerate(parents):
        if parent in known:
            answers[str(parent)].append(i)
        else:
            roots.append(i)
    if len(roots) != 1:
        raise ReadError("read.wrong_type", f"a tree of messages with {len(roots)} beginnings")
    path = roots
    while (name := names[path[-1]]) is not None and answers.get(name) and len(path) < len(names):
        path.append(answers[name][-1])
    return path


def _size(node: Mapping[str, Any]) -> int:
    """Messages of a tree."""
    count, waiting = 0, [node]
    while waiting:
        one = waiting.pop()
        count += 1
        for key in REPLIES:
            if isinstance(one.get(key), list):
                waiting += [r for r in one[key] if isinstance(r, Mapping)]
    return count
