"""What a chat template may use up: it is a program that somebody else wrote, run on every conversation.

What: a template is compiled so that it counts what it does. Every turn of a loop, every call of a macro, and
every character that an expression puts out or makes costs one of `BUDGET`; what would make something larger
than that in one go (`'x' * 10**12`, a format with a width of nine digits, a list in a list in a list) is
refused before it is made. A rendering that is out of budget ends as if the template had refused the
conversation.

Counted and not timed, as what a row becomes must not hang on how busy a machine is.

Cost: about a microsecond for each turn of a loop and each expression.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

BUDGET = 20_000_000  # of one rendering: a character that is made or put out costs one
THING = 10  # a value that is put out, beside its characters: counting one takes as long
TURN = 80  # a turn of a loop, or a call of a macro: 250,000 of them, about a second
SOURCE = 1 << 20  # characters of a template
WIDTH = re.compile(r"\d{7,}")  # in a format: a width of a million and more
BRACED = re.compile(r"\{[^{}]*\{")  # a width that is one of the values, of whatever kind
STARRED = re.compile(r"%[^a-zA-Z%]*\*")  # or a number among them
WIDE = {"center", "ljust", "rjust", "zfill", "expandtabs", "indent", "wordwrap", "truncate", "batch", "slice"}
WRITTEN_WHOLE = {"tojson", "string", "pprint", "urlencode", "xmlattr", "join", "format", "forceescape", "e"}


class OutOfBudget(jinja2.TemplateRuntimeError):
    """The template does more than any template needs."""

    def __init__(self) -> None:
        super().__init__("it loops, or builds texts, without end")


class _Counting(ImmutableSandboxedEnvironment):
    """A sandbox that counts. `left` is what remains to the rendering that is under way."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    left = BUDGET

    def spend(self, amount: int) -> None:
        """Raises: OutOfBudget."""
        self.left -= amount
        if self.left < 0:
            raise OutOfBudget

    def tick(self, characters: int) -> None:
        """One turn of a loop, or one call of a macro, in which `characters` of the template's own stand."""
        self.spend(TURN + characters)

    def counted(self, values: Any) -> Any:
        """What a loop goes through, also what it passes over."""
        if hasattr(values, "__len__"):
            self.spend(8 * len(values))
            return values
        return self._counting(values) if hasattr(values, "__next__") else values

    def _counting(self, values: Iterator[Any]) -> Iterator[Any]:
        for value in values:
            self.spend(8)
            yield value

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """No bytes: nothing that a template writes is made of them, and none of this counts them."""
        return attr != "encode" and super().is_safe_attribute(obj, attr, value)

    def joined(self, *values: Any) -> str:
        """The values as text, one after the other, as Jinja's `~` and its output make it."""
        texts = []
        for value in values:
            self._require_light(value)
            texts.append(value if isinstance(value, str) else str(value))
            self.spend(1 + len(texts[-1]))
        return "".join(texts)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`, where the result is no larger than what is left."""
        if operator == "*":
            self.spend(max(_times(left, right), _times(right, left)))
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            self.spend(left.bit_length() * abs(right) // 8)
        elif operator == "%" and isinstance(left, str):
            self._require_narrow(left, right if isinstance(right, tuple) else (right,))
            self._require_light(right)
        value = super().call_binop(context, operator, left, right)
        self.spend(_size(value))
        return value

    def call(self, context: Any, function: Any, *arguments: Any, **named: Any) -> Any:
        """A call from the template, where neither what goes in nor what comes out is too large."""
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            self._before(getattr(function, "__name__", ""), owner, [*arguments, *named.values()])
        value = super().call(context, function, *arguments, **named)
        self.spend(_size(value))
        return value

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format`, of which Jinja makes a function of its own."""
        made = super().wrap_str_format(value)
        if made is None:
            return None
        text: str = value.__self__

        def formatted(*arguments: Any, **named: Any) -> str:
            self._before("format", text, [*arguments, *named.values()])
            return str(made(*arguments, **named))

        return formatted

    def filtering(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter under the same rules; Jinja's marks on it (what it is passed first) stay."""

        def filtered(*arguments: Any, **named: Any) -> Any:
            if name == "join":  # what is joined is measured before
                arguments = tuple(
                    list(self.counted(a)) if hasattr(a, "__next__") or isinstance(a, range) else a
                    for a in arguments
                )
            values = [*arguments, *named.values()]
            self.spend(sum(8 * len(v) for v in values if hasattr(v, "__len__") and not isinstance(v, str)))
            value = next((v for v in values if isinstance(v, str)), "")
            self._before(name, value, values)
            made = function(*arguments, **named)
            self.spend(_size(made))
            return made

        filtered.__dict__.update(getattr(function, "__dict__", {}))
        return filtered

    def _before(self, name: str, text: str, values: Iterable[Any]) -> None:
        """Refuse what would be too large once made. Raises: OutOfBudget."""
        values = list(values)
        self.spend(1 + len(text) // 64)
        if name in WIDE:
            lines = 1 + text.count("\n") + text.count("\t")
            widths = [abs(v) for v in values if isinstance(v, int)]
            widths += [len(v) for v in values if isinstance(v, str) and v is not text]
            self.spend(lines * max(widths, default=0))
        if name == "translate":
            longest = (_size(v) for table in values if isinstance(table, dict) for v in table.values())
            self.spend(len(text) * max(longest, default=0))
        if name == "format":
            self._require_narrow(text, values)
        if name in WRITTEN_WHOLE:
            for value in values:
                self._require_light(value)
        if name == "replace":
            parts = [v for v in values if isinstance(v, str) and v is not text]
            if len(parts) > 1:
                self.spend((text.count(parts[0]) if parts[0] else len(text) + 1) * len(parts[1]))
        if name == "join":
            between = len(text)
            for value in values:
                if isinstance(value, (list, tuple)):
                    self.spend(sum(_size(one) + between for one in value))

    def _require_narrow(self, form: str, values: Iterable[Any]) -> None:
        """That no width in a format is large. Raises: OutOfBudget."""
        if WIDTH.search(form):
            raise OutOfBudget
        if BRACED.search(form):
            raise OutOfBudget
        if STARRED.search(form):
            self.spend(max((abs(v) for v in values if isinstance(v, int)), default=0))

    def _require_light(self, value: Any) -> None:
        """That `value`, written out, fits what is left. Raises: OutOfBudget."""
        if isinstance(value, (list, tuple, dict)):
            self.spend(_weight(value, self.left))


def compiled(environment: Any, source: str) -> tuple[jinja2.Template, nodes.Template]:
    """`source` compiled to count, and its tree as it was written; `environment`: Hugging Face's own.

    Raises: jinja2.TemplateSyntaxError (too long or too deep, too).
    """
    if len(source) > SOURCE:
        raise jinja2.TemplateSyntaxError(f"it has more than {SOURCE:,} characters", 1)
    counting = environment.overlay()
    counting.__class__ = _Counting
    counting.filters = {name: counting.filtering(name, f) for name, f in environment.filters.items()}
    counting.globals = {name: value for name, value in environment.globals.items() if name != "lipsum"}
    try:
        tree = environment.parse(source)
        return counting.from_string(_counted(environment.parse(source))), tree
    except (RecursionError, MemoryError) as error:
        raise jinja2.TemplateSyntaxError("it is nested too deep", 1) from error


def render(template: jinja2.Template, **variables: Any) -> str:
    """The text of one rendering. Raises: what the template does, OutOfBudget."""
    template.environment.left = BUDGET  # type: ignore[attr-defined]
    return template.render(**variables)


def _counted(tree: nodes.Template) -> nodes.Template:
    """The tree with a tick in each loop and macro, and with what it puts out or joins measured."""
    for kind in (nodes.For, nodes.Macro, nodes.CallBlock):
        for found in tree.find_all(kind):
            assert isinstance(found, (nodes.For, nodes.Macro, nodes.CallBlock))
            if isinstance(found, nodes.For):
                found.iter = _call("counted", [cast("nodes.Expr", found.iter)])
            own = sum(len(data.data) for data in found.find_all(nodes.TemplateData))
            found.body.insert(0, nodes.ExprStmt(_call("tick", [nodes.Const(own)])))
    for output in tree.find_all(nodes.Output):
        output.nodes = [
            n if isinstance(n, nodes.TemplateData) else _call("joined", [n]) for n in output.nodes
        ]
    _replace_concats(tree)
    assert tree.environment is not None
    tree.set_environment(tree.environment)
    return tree


def _replace_concats(tree: nodes.Node) -> None:
    for parent in chain([tree], tree.find_all(nodes.Node)):
        for field, value in parent.iter_fields():
            if isinstance(value, nodes.Concat):
                setattr(parent, field, _call("joined", value.nodes))
            elif isinstance(value, list):
                value[:] = [_call("joined", v.nodes) if isinstance(v, nodes.Concat) else v for v in value]


def _call(name: str, arguments: list[nodes.Expr]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None)


def _times(sequence: Any, count: Any) -> int:
    """Size of ``sequence * count`` in characters, elements or bytes of a number."""
    if not isinstance(count, int):
        return 0
    if isinstance(sequence, int):
        return (sequence.bit_length() + count.bit_length()) // 8
    return len(sequence) * max(count, 0) if hasattr(sequence, "__len__") else 0


def _size(value: Any) -> int:
    if isinstance(value, (str, bytes, list, tuple)):
        return len(value)
    return value.bit_length() // 8 if isinstance(value, int) else 0


def _weight(value: Any, most: int) -> int:
    """What things and characters in `value` cost, as often as they are in it; counting ends beyond `most`."""
    total, waiting = 0, [value]
    while waiting and total <= most:
        one = waiting.pop()
        total += THING + (len(one) if isinstance(one, str) else 0)
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple)):
            waiting += one
    return total
