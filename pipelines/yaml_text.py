"""YAML that somebody else wrote: bounded in size, depth and aliases, and every mistake told with its line."""

from typing import Any

import yaml

from headrace.cluster.errors import RecipeError

MOST_BYTES = 2**20
MOST_VALUES = 100_000  # each alias counted as what it stands for
MOST_LEVELS = 40


def value(text: str, where: str) -> Any:
    """What a YAML text holds; `where` names it.

    Raises: RecipeError for what cannot be read, or says a key twice.
    """
    if len(text) > MOST_BYTES:
        raise RecipeError(f"{where}: {len(text):,} characters, more than any recipe; is it data?")
    loader = yaml.SafeLoader("")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _weigh(node, where, {}, ())
        return _constructed(loader, node, where)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RecipeError(
            f"{where}{place}: not valid YAML: {getattr(error, 'problem', None) or error}"
        ) from error
    except RecursionError:
        raise RecipeError(f"{where}: nested deeper than {MOST_LEVELS} levels") from None
    finally:
        loader.dispose()


def _weigh(node: yaml.Node, where: str, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Values in a node, aliases counted as what they stand for.

    Raises: RecipeError for too many, for too many levels, and for a key that stands twice.
    """
    line = node.start_mark.line + 1
    if len(above) > MOST_LEVELS:
        raise RecipeError(f"{where}, line {line}: nested deeper than {MOST_LEVELS} levels")
    if id(node) in above:
        raise RecipeError(f"{where}, line {line}: an alias that stands for itself")
    if id(node) in known:
        return known[id(node)]
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [n for pair in node.value for n in pair]
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            at = key.start_mark.line + 1
            if key.value in lines:
                raise RecipeError(
                    f"{where}: the key {key.value[:60]!r} stands twice, in line {lines[key.value]} and in "
                    f"line {at}; remove one of them"
                )
            lines[key.value] = at
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    total = 1 + sum(_weigh(n, where, known, (*above, id(node))) for n in inner)
    if total > MOST_VALUES:
        raise RecipeError(f"{where}, line {line}: more than {MOST_VALUES:,} values, aliases written out")
    known[id(node)] = total
    return total


def _constructed(loader: yaml.SafeLoader, node: yaml.Node, where: str) -> Any:
    """The value of a node. Raises: RecipeError for a scalar that Python cannot hold."""
    try:
        return loader.construct_document(node)
    except (ValueError, OverflowError, TypeError):
        waiting, line = [node], node.start_mark.line + 1
        while waiting:
            one = waiting.pop()
            if isinstance(one, yaml.ScalarNode):
                try:
                    yaml.SafeLoader("").construct_object(one)
                except (ValueError, OverflowError, TypeError):
                    line = one.start_mark.line + 1
            elif isinstance(one, yaml.MappingNode):
                waiting += [n for pair in one.value for n in pair]
            else:
                waiting += one.value
        raise RecipeError(
            f"{where}, line {line}: a number that is too long, or a date that does not exist; put quotes "
            "around what is meant as text"
        ) from None
