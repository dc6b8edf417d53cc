"""What a chat template can see of a content, told from its source.

Most templates put a content out as it is, trim it, or look for constant strings in it (`</think>`): then all
contents with the same strings in the same order, and the same kind of edges, are treated alike. Of a template
that does anything else with a content (upper case, its length, its tenth character, JSON) nothing is assumed:
its renderings are looked at row by row.

Source: https://jinja.palletsprojects.com/en/stable/templates/ (filters, tests and methods)
"""

from collections.abc import Iterator
from typing import NamedTuple

from jinja2 import nodes

EDGES = {"strip", "lstrip", "rstrip", "trim"}  # see the ends of a text and nothing between them
CUTS = {"split", "rsplit", "partition", "rpartition"}  # at a constant; without one, at any white space
LOOKS = {
    *("startswith", "endswith", "find", "rfind", "index", "rindex", "count"),
    *("removeprefix", "removesuffix"),
}
WRITES = {"string", "safe", "default", "d", "join"}  # what they are given besides is put out, or not at all
PARTS = {"selectattr", "map"}  # of a content that is a list of parts: of a text they find none
# What changes every text that has letters of both cases, quotes, spaces and marks in it: contents that are
# made up for the purpose show it (`Tokenizer._holds`).
SHOWS = {
    *("tojson", "upper", "lower", "capitalize", "title", "swapcase", "escape", "e", "forceescape"),
    *("urlencode", "striptags", "reverse", "xmlattr", "pprint"),
}
TESTS = {
    *("defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "true", "false"),
    *("boolean", "number"),
}
WHOLE = {
    "tojson",
    "items",
    "values",
    "dictsort",
    "pprint",
    "string",
}  # of a message: its content with the rest
CONTAINERS = {"messages", "loop_messages"}


class Sight(NamedTuple):
    """strings: that it looks for in contents, or may; edges: whether it sees white space at their ends;
    anything: whether it may see more than that.
    """

    strings: frozenset[str]
    edges: bool
    anything: bool


def sight(tree: nodes.Template) -> Sight:
    """What the template with this tree sees of contents."""
    seen = _Seen(tree)
    for node in tree.find_all((nodes.Filter, nodes.Test, nodes.Call, nodes.Compare, nodes.Getitem)):
        seen.look(node)
    return Sight(frozenset(seen.strings - {""}), seen.edges, seen.anything)


class _Seen:
    """What has been seen so far, and the names that stand for contents and for messages."""

    def __init__(self, tree: nodes.Template) -> None:
        self.strings: set[str] = set()
        self.edges = self.anything = False
        self.texts, self.messages = _names(tree)
        self._harmless = set(_harmless(tree))
        self._altered = _altered(tree, self.texts)
        self._letters = self._looped(tree)

    def look(self, node: nodes.Node) -> None:
        """Note what one operation sees, where it may be of a content."""
        if isinstance(node, nodes.Compare):
            self._compared(node)
            self._spelt(node)
        elif id(node) in self._harmless:
            return
        elif isinstance(node, nodes.Getitem):
            key = isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
            cut = isinstance(node.node, nodes.Call) and _method(node.node) in CUTS
            self.anything |= self._is_text(node.node) and not (key or cut)
        elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            self._called(node.node.attr, node.node.node, node.args)
        elif isinstance(node, nodes.Filter) and node.node is not None:
            self._called(node.name, node.node, node.args)
        elif isinstance(node, nodes.Test) and self._is_text(node.node):
            self.anything |= node.name not in TESTS and not self._constant(node.args)

    def _called(self, name: str, of: nodes.Node, arguments: list[nodes.Expr]) -> None:
        """A method or filter `name` of what may be a content."""
        if name in WHOLE and self._is_message(of):
            self.anything = True
        if isinstance(of, nodes.Name) and of.name in self._letters:
            self.anything |= name not in WRITES | SHOWS
        if not self._is_text(of):
            return
        if name in CUTS | LOOKS | EDGES | {"replace"} and self._is_altered(of):
            self.anything = True
        if name in EDGES:
            self.edges = True
            self.anything |= not self._only_spaces(arguments)
        elif name in CUTS or name in LOOKS:
            self.anything |= not self._constant(arguments[:1]) and bool(arguments)
            if not arguments:  # at white space, wherever it is
                self.anything = True
        elif name == "replace":
            self.anything |= not self._constant(arguments[:1])
        elif name not in WRITES | SHOWS | PARTS:
            self.anything = True

    def _compared(self, node: nodes.Compare) -> None:
        """``'x' in content`` and ``content == 'x'``: the strings; anything else but emptiness is too much."""
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        if any(self._is_text(side) for side in sides):
            others = [side for side in sides if not self._is_text(side)]
            altered = any(self._is_altered(side) for side in sides)
            self.anything |= altered or not self._constant(others) or not self._looks(node)

    def _looks(self, node: nodes.Compare) -> bool:
        """Whether a comparison is one of equality, of emptiness, or looks for something in a content."""
        for operand in node.ops:
            if operand.op in ("in", "notin"):
                if self._is_text(node.expr):  # whether the content is in something else
                    return False
            elif operand.op not in ("eq", "ne") and id(node.expr) not in self._harmless:
                return False
        return True

    def _spelt(self, node: nodes.Compare) -> None:
        """A letter of a content, beside one letter: templates ask such turns for keys, which are longer."""
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        if any(isinstance(side, nodes.Name) and side.name in self._letters for side in sides):
            others = [side for side in sides if not isinstance(side, nodes.Name)]
            longer = [isinstance(o, nodes.Const) and len(str(o.value)) > 1 for o in others]
            self.anything |= not others or not all(longer)

    def _is_altered(self, node: nodes.Node) -> bool:
        """Whether a text is not as it was: its letters' case, say."""
        below = list(_self_and_below(node))
        return any(_name(n) in SHOWS or _full_name(n) in self._altered for n in below)

    def _looped(self, tree: nodes.Template) -> set[str]:
        """Turns of loops over a content itself. Over anything made of one: then nothing is known."""
        letters: set[str] = set()
        for targets, source, loops in _settings(tree):
            if loops and _names_content(source, self.texts):
                letters |= targets
            elif loops and self._is_text(source):
                picked = isinstance(source, nodes.Filter) and source.name in PARTS
                inner = source.node if isinstance(source, nodes.Filter) and picked else None
                self.anything |= inner is None or not _names_content(inner, self.texts)
        return letters

    def _constant(self, values: list[nodes.Expr]) -> bool:
        """Note strings; False where a value is not known before a row is."""
        for value in values:
            if not isinstance(value, nodes.Const):
                return False
            if isinstance(value.value, str):
                self.strings.add(value.value)
        return True

    def _only_spaces(self, values: list[nodes.Expr]) -> bool:
        return all(
            isinstance(v, nodes.Const) and (v.value is None or not str(v.value).strip()) for v in values
        )

    def _is_text(self, node: nodes.Node) -> bool:
        if _names_content(node, self.texts):
            return True
        if isinstance(node, (nodes.Getitem, nodes.Getattr)) and id(node.node) in self._harmless:
            return False
        return any(self._is_text(one) for one in node.iter_child_nodes())

    def _is_message(self, node: nodes.Node) -> bool:
        return _is_message(node, self.messages)


def _names(tree: nodes.Template) -> tuple[set[str], set[str]]:
    """Names that may stand for a content, and for a message or a list of messages.

    Not the turns of a loop over a content (`_Seen._looped`): templates take contents that are lists of parts
    apart so, which ours never are.
    """
    texts: set[str] = set()
    messages = set(CONTAINERS)
    before = -1
    while before < len(texts) + len(messages):  # a name that is set from a name that is set from a content
        before = len(texts) + len(messages)
        for targets, source, loops in _settings(tree):
            if any(_names_content(n, texts) for n in _self_and_below(source)):
                texts |= set() if loops else targets
            elif _is_message(source, messages):
                messages |= targets
        texts |= _given_to_macros(tree, texts)
    return texts, messages


def _altered(tree: nodes.Template, texts: set[str]) -> set[str]:
    """Names that are set from a content that is changed on the way, and names that are set from those."""
    altered: set[str] = set()
    before = -1
    while before < len(altered):
        before = len(altered)
        for targets, source, _ in _settings(tree):
            below = list(_self_and_below(source))
            of_text = any(_names_content(n, texts) for n in below)
            if of_text and any(_name(n) in SHOWS or _full_name(n) in altered for n in below):
                altered |= targets
    return altered


def _settings(tree: nodes.Template) -> Iterator[tuple[set[str], nodes.Node, bool]]:
    """Names that are set, what they are set from, and whether by a loop."""
    for node in tree.find_all((nodes.Assign, nodes.For, nodes.AssignBlock)):
        assert isinstance(node, (nodes.Assign, nodes.For, nodes.AssignBlock))
        loops = isinstance(node, nodes.For)
        source: nodes.Node = node
        if not isinstance(node, nodes.AssignBlock):
            source = node.iter if isinstance(node, nodes.For) else node.node
        parts = _self_and_below(node.target)
        yield {_full_name(n) for n in parts if isinstance(n, (nodes.Name, nodes.NSRef))}, source, loops


def _given_to_macros(tree: nodes.Template, texts: set[str]) -> set[str]:
    """Parameters of macros that are called with a content."""
    macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
    given = set()
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in macros:
            arguments = [*call.args, *(k.value for k in call.kwargs)]
            if any(_names_content(n, texts) for a in arguments for n in _self_and_below(a)):
                given |= {parameter.name for parameter in macros[call.node.name].args}
    return given


def _harmless(tree: nodes.Template) -> Iterator[int]:
    """Ids of operations that tell nothing: a text's first character has no key, and its length beside 0 says
    only whether there is one.
    """
    for node in tree.find_all((nodes.Getitem, nodes.Getattr)):
        assert isinstance(node, (nodes.Getitem, nodes.Getattr))
        inner = node.node
        key = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", 0)
        if isinstance(inner, nodes.Getitem) and isinstance(key, str) and not hasattr(str, key):
            number = isinstance(inner.arg, nodes.Const) and isinstance(inner.arg.value, int)
            if number and not isinstance(inner.node, nodes.Call):
                yield id(inner)
    for compare in tree.find_all(nodes.Compare):
        beside = [operand.expr for operand in compare.ops]
        if all(isinstance(one, nodes.Const) and one.value == 0 for one in beside):
            yield id(compare.expr)


def _self_and_below(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    yield from node.find_all(nodes.Node)


def _full_name(node: nodes.Node) -> str:
    """A name; ``ns.text`` for a field of a namespace, wherever it stands."""
    if isinstance(node, nodes.NSRef):
        return f"{node.name}.{node.attr}"
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return f"{node.node.name}.{node.attr}"
    return node.name if isinstance(node, nodes.Name) else ""


def _name(node: nodes.Node) -> str:
    """The filter's or method's name, where it is one."""
    return (
        node.name if isinstance(node, nodes.Filter) else _method(node) if isinstance(node, nodes.Call) else ""
    )


def _names_content(node: nodes.Node, texts: set[str]) -> bool:
    """Whether `node` itself is ``message.content``, ``message['content']`` or a name that stands for one."""
    if isinstance(node, nodes.Getattr):
        field = f"{node.node.name}.{node.attr}" if isinstance(node.node, nodes.Name) else ""
        return node.attr == "content" or field in texts
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and node.arg.value == "content"
    if isinstance(node, (nodes.Call, nodes.Filter)) and _name(node) in ("get", "attr", "map"):
        given = [*node.args, *(keyword.value for keyword in node.kwargs)]
        return any(isinstance(one, nodes.Const) and one.value == "content" for one in given)
    return isinstance(node, nodes.Name) and node.name in texts


def _is_message(node: nodes.Node, messages: set[str]) -> bool:
    """Whether `node` is the messages, some of them, or one of them."""
    while isinstance(node, (nodes.Getitem, nodes.Filter)):
        key = getattr(node.arg, "value", None) if isinstance(node, nodes.Getitem) else None
        if node.node is None or isinstance(key, str):
            return False
        node = node.node
    return isinstance(node, nodes.Name) and node.name in messages


def _method(call: nodes.Call) -> str:
    return call.node.attr if isinstance(call.node, nodes.Getattr) else ""
