"""How a chat template takes calls and tools: found out once, by calls that are made up.

Data sets hold the arguments of a call as an object or as its JSON text, and templates take one of these, or
both. Where both come out the same, a call goes in as it came; else in the form that the template writes out.
"""

import json
from functools import cached_property
from typing import Any

from headrace.pipelines import structure
from headrace.pipelines.stages.tokenise.template import Refusal, Template

NAME, TOOL, KEY, VALUE = "headrace_called", "headrace_offered", "headrace_key", "headrace value"
NUMBER = "headrace1"  # nine letters and digits, as Mistral asks for
ASK = {"role": "user", "content": "headrace asked"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "headrace describes",
            "parameters": {"type": "object", "properties": {"of": {"type": "string"}}, "required": ["of"]},
        },
    }
]


class Speech:
    """What `template` does with calls and tools."""

    def __init__(self, template: Template) -> None:
        self.template = template

    @cached_property
    def tools(self) -> bool:
        """Whether tools are in what it renders."""
        return TOOL in self._rendered([ASK, {"role": "assistant", "content": "headrace answered"}], TOOLS)

    @cached_property
    def _forms(self) -> tuple[bool, str, str]:
        """Whether the content of a call may be null; a call with arguments as an object, and as text."""
        as_object, as_text = (
            self._call({KEY: VALUE}, null=True),
            self._call(f'{{"{KEY}": "{VALUE}"}}', null=True),
        )
        null = bool(as_object or as_text)
        if not null:
            as_object = self._call({KEY: VALUE}, null=False)
            as_text = self._call(f'{{"{KEY}": "{VALUE}"}}', null=False)
        return null, as_object, as_text if not as_object or as_text == as_object else ""

    @property
    def null(self) -> bool:
        """Whether the content of a call may be null, which is then not there."""
        return self._forms[0]

    @property
    def calls(self) -> bool:
        """Whether calls are in what it renders."""
        return any(self._forms[1:])

    @property
    def anchor(self) -> str:
        """What of a call tells where it stands: its name, or its id where the template writes no name."""
        return "id" if NAME not in (self._forms[1] or self._forms[2]) else "name"

    def call(self, given: dict[str, Any]) -> dict[str, Any]:
        """A call as the template takes it; `given` as rows hold it."""
        _, as_object, as_text = self._forms
        call = {key: value for key, value in given.items() if key != "written"}
        function, form = dict(call["function"]), given.get("written")
        arguments = function.get("arguments")
        if isinstance(arguments, (dict, list)) and as_text and (form or not as_object):
            function["arguments"] = json.dumps(arguments, **structure.ARGUMENTS[form or "text"])
        return {**call, "function": function}

    def _call(self, arguments: Any, null: bool) -> str:
        function = {"name": NAME, "arguments": arguments}
        call = {"id": NUMBER, "type": "function", "function": function}
        turn = {"role": "assistant", "tool_calls": [call], **({} if null else {"content": ""})}
        text = self._rendered([ASK, turn], TOOLS) or self._rendered([ASK, turn], None)
        return text if NAME in text or VALUE in text else ""

    def _rendered(self, messages: list[dict[str, Any]], tools: Any) -> str:
        try:
            return self.template.render(messages, tools=tools)
        except Refusal:
            return ""
