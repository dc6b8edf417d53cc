"""One answer, parsed by the format that it begins in: whole, or up to where it breaks.

What: `parse` returns (format, valid head, valid, place of the break in characters) of an answer that begins
in a format, else None. The head is valid where a complete value stands before the break, or as much of one
as is no accident (`HEAD` characters). Masked values (``<EMAIL_ADDRESS_1>``) count as digits.

JSON by Python's own decoder, XML by expat (no entities are declared or fetched), YAML by its events (no
object is built), calls and Python by Python's parser, SQL by sqlglot. Nothing is executed and nothing
raises.

Cost: 5 to 500 us a structured answer; SQL is the dearest.
"""

import ast
import csv
import json
import logging
import re
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple
from xml.parsers import expat

HEAD = 12  # characters that are no accident
SHORT = 1000  # characters of SQL that is remembered
GOES_ON = (".", "{", ";", "=", "->")  # behind a call: it is a line of a program
CLUES = (
    r"^\s*(?:```|[{\[<]|---\s|[A-Za-z_][\w.]*\(|[\w-]+:\s"
    r"|(?i:select|with|insert|update|delete|create|alter|drop)\s"
    r"|[^,\t;|\n]*[,\t;|][^,\t;|\n]*[,\t;|][^\n]*\n)"
)
"""What an answer begins with that may be in a format, for Arrow and Python alike."""
_MASKED = re.compile(r"<[A-Z][A-Z_]+(?:_\d+)?>")
_TRACE = re.compile(r"\s*<(think(?:ing)?|thought|reasoning)>.*?</\1>\s*", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[ \t]*([\w+#-]*)[^\n]*\n")
_JSON = re.compile(r"""\{\s*(?:["'}]|$|[A-Za-z_]\w*\s*:)|\[\s*(?:[\[{"\]\d-]|true\b|false\b|null\b)""")
_CALL = re.compile(r"""\[?[A-Za-z_][\w.]*\((?:\)|\s*[A-Za-z_]\w*\s*=[^=]|\s*["'\d\[{])""")
# Elements of HTML, which need no end and no quotation marks.
_HTML = re.compile(
    r"<(?:!doctype|html|head|body|div|span|p|br|hr|em|strong|a\s+href|img|ul|ol|li|table|thead|tbody|tr|td|th|h[1-6]"
    r"|input|button|script|style|pre|blockquote|nav)\b",
    re.IGNORECASE,
)
_TAG = re.compile(r"<\?xml\b|<[a-z_][\w.:-]*(?:\s+[\w:.-]+\s*=\s*[\"'][^<>]*)?/?>|<[A-Z][a-z][\w.:-]*/?>")
_BRACKETS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[()\[\]{}]""", re.DOTALL)
_KEY = re.compile(
    r"---[ \t]*\n\s*[\w-]+:"
    r"|[A-Za-z_][\w.-]*:(?:[ \t][^\n]*)?\n(?:[A-Za-z_][\w.-]*:(?:[ \t\n]|$)|[ ]+[\w-]|- )"
)
_SQL = re.compile(
    r"SELECT\s+[\w(*'`\"]|WITH\s+\w+\s+AS\s*\(|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s"
    r"|(?:CREATE|ALTER|DROP)\s+(?:TABLE|VIEW|INDEX|DATABASE)\s",
    re.DOTALL,
)
_LOWER_SQL = re.compile(  # a full stop is one of a name, such as t1.year
    r"select\s(?:[^.?!]|(?<=\w)\.(?=[\w*]))*?\sfrom\s+\w+|insert\s+into\s+\w+|delete\s+from\s+\w+", re.DOTALL
)


class Parsed(NamedTuple):
    """What one answer is; `breaks_at` is None where it is valid."""

    format: str
    valid_head: bool
    valid: bool
    breaks_at: int | None


Ends = tuple[int | None, int]  # where it breaks, if it does, and where the last whole value before that ends


def parse(answer: str, pattern: re.Pattern[str] | None = None) -> Parsed | None:
    """`answer` by the format that it begins in; None where it begins in none. pattern: the recipe's own."""
    text = _MASKED.sub(lambda m: "1" * len(m[0]), answer)
    trace = _TRACE.match(text)
    start = trace.end() if trace else len(text) - len(text.lstrip())
    if pattern is not None and (own := _by_pattern(text, start, pattern)):
        return own
    body = text[start:].rstrip()
    name, of = _format(body)
    if of is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            at, whole = of(body)
    except (RecursionError, MemoryError):  # nested deeper than any reader goes
        at, whole = 0, 0
    if at is None:
        return Parsed(name, True, True, None)
    if name == "call" and body[at:].lstrip().startswith(GOES_ON):
        return None
    return Parsed(name, whole > 0 or at >= HEAD, False, start + min(at, len(body)))


def _format(body: str) -> tuple[str, Callable[[str], Ends] | None]:
    """Name of the format that `body` begins in, and what parses it."""
    if body.startswith("```"):
        return "fence", fence
    if _CALL.match(body):
        return "call", call
    if _JSON.match(body):
        return "json", json_text
    if body.startswith("<") and not _HTML.match(body) and _TAG.match(body):
        return "xml", xml
    if _SQL.match(body) or _LOWER_SQL.match(body):
        return "sql", sql
    if _KEY.match(body):
        return "yaml", yaml_text
    if _is_csv(body):
        return "csv", separated
    return "", None


def _by_pattern(text: str, start: int, pattern: re.Pattern[str]) -> Parsed | None:
    body = text[start:].rstrip()
    if pattern.fullmatch(body):
        return Parsed("pattern", True, True, None)
    head = pattern.match(body)
    return Parsed("pattern", True, False, start + head.end()) if head and head.end() else None


def json_text(body: str) -> Ends:
    """One JSON value, or a value a line."""
    # Numbers stay text: Python refuses to make one of thousands of digits, JSON allows it.
    decoder, at, lines = json.JSONDecoder(parse_int=str), 0, 0
    while at < len(body):
        try:
            _, end = decoder.raw_decode(body, at)
        except json.JSONDecodeError as error:
            return error.pos if error.pos > at or not lines else at, at if lines else 0
        rest = body[end:]
        lead = len(rest) - len(rest.lstrip())
        if rest.strip() and not (rest.lstrip(" \t\r").startswith("\n") and _JSON.match(rest.lstrip())):
            return end + lead, end
        at, lines = end + lead, lines + 1
    return None, at


def xml(body: str) -> Ends:
    """One element, with what may stand before it."""
    parser, depth, whole = expat.ParserCreate(), 0, 0

    def opened(*_: object) -> None:
        nonlocal depth
        depth += 1

    def closed(_: str) -> None:
        nonlocal depth, whole
        depth -= 1
        whole = whole if depth else 1

    def declared(*_: object) -> None:
        raise ValueError("an entity")

    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    parser.EntityDeclHandler = declared
    encoded = body.encode("utf-8", "replace")
    try:
        parser.Parse(encoded, True)
    except (expat.ExpatError, ValueError):
        at = len(encoded[: max(parser.ErrorByteIndex, 0)].decode("utf-8", "ignore"))
        return at, whole
    return None, len(body)


def yaml_text(body: str) -> Ends:
    """YAML documents, by their events alone."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for _ in yaml.parse(body, Loader=loader):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = _line_column(body, mark.line, mark.column) if mark else 0
        return at, body.rfind("\n", 0, at) + 1
    except (yaml.YAMLError, ValueError):
        return 0, 0
    return None, len(body)


def call(body: str) -> Ends:
    """A call, or a list of calls, as Python writes them; several one a line."""
    at, _ = _python(body, "exec")
    if at is None:
        return None, len(body)
    end = _closed(body)
    if end is None or _python(body[:end], "eval")[0] is not None:
        return at, 0
    rest = body[end:]
    return (
        max(at, end) if rest.lstrip(" \t").startswith("\n") else end + len(rest) - len(rest.lstrip())
    ), end


def _closed(body: str) -> int | None:
    """The end of the first brackets of `body`, by their kinds; None where they stay open."""
    depth = 0
    for token in _BRACKETS.finditer(body):
        depth += 1 if token[0] in "([{" else -1 if token[0] in ")]}" else 0
        if depth == 0 and token[0] in ")]}":
            return token.end()
    return None


def python(body: str) -> Ends:
    """A Python program."""
    return _python(body, "exec")


def _python(body: str, mode: str) -> Ends:
    try:
        ast.parse(body, mode=mode)
    except SyntaxError as error:
        return _line_column(body, (error.lineno or 1) - 1, max((error.offset or 1) - 1, 0)), 0
    except UnicodeEncodeError as error:  # half a character
        return error.start, 0
    except ValueError:  # a null byte
        return body.find("\0"), 0
    return None, len(body)


def sql(body: str) -> Ends:
    """SQL statements, in the dialect that allows most. Many questions have the same one."""
    return _sql(body) if len(body) <= SHORT else _sql.__wrapped__(body)


@lru_cache(maxsize=2**12)
def _sql(body: str) -> Ends:
    import sqlglot
    from sqlglot.errors import ParseError, SqlglotError

    logging.getLogger("sqlglot").disabled = True  # its warnings quote the text
    try:
        sqlglot.parse(body)
    except ParseError as error:
        place = error.errors[0] if error.errors else {}
        line, column = (place.get("line") or 1) - 1, place.get("col") or 0
        shown = len(str(place.get("highlight") or ""))
        at = max(_line_column(body, line, column) - shown, 0)
        return at, at
    except (SqlglotError, ValueError, TypeError, AttributeError, IndexError):
        return 0, 0
    return None, len(body)


def fence(body: str) -> Ends:
    """A fence and what stands in it; words may follow it."""
    begun = _FENCE.match(body)
    if begun is None:
        return (len(body), 0) if body.count("```") < 2 else (None, len(body))
    end = re.compile(r"^[ \t]*```", re.MULTILINE).search(body, begun.end())
    if end is None:
        return len(body), 0
    inner, of = body[begun.end() : end.start()], FENCED.get(begun[1].lower())
    stripped = inner.rstrip()
    if of is None or not stripped:
        return None, len(body)
    at, whole = of(stripped)
    return (None, len(body)) if at is None else (begun.end() + at, whole)


FENCED: dict[str, Callable[[str], Ends]] = {
    **dict.fromkeys(("json", "jsonl"), json_text),
    **dict.fromkeys(("python", "py", "python3"), python),
    **dict.fromkeys(("yaml", "yml"), yaml_text),
    **dict.fromkeys(("sql", "mysql", "postgresql", "sqlite"), sql),
    "xml": xml,
}


def _is_csv(body: str) -> bool:
    lines = body.split("\n", 3)
    if len(lines) < 3:
        return False
    for delimiter in ",\t;|":
        try:
            fields, second = csv.reader(lines[:2], delimiter=delimiter, strict=True)
        except (csv.Error, ValueError):  # no two lines of it
            continue
        if len(fields) == len(second) >= 3 and all(
            f and len(f) <= 40 and ". " not in f for f in fields[1:-1]
        ):
            return not set(lines[1]) <= set("-: |")  # no table of Markdown
    return False


def separated(body: str) -> Ends:
    """Lines of as many fields as the first."""
    delimiter = max(",\t;|", key=body.split("\n", 1)[0].count)
    at, width = 0, 0
    lines = body.splitlines(keepends=True)
    try:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        read = 0
        for row in rows:
            width = width or len(row)
            if row and len(row) != width:
                return at, at
            at += sum(map(len, lines[read : rows.line_num]))
            read = rows.line_num
    except csv.Error:
        return at, at
    return None, len(body)


def _line_column(body: str, line: int, column: int) -> int:
    """The character at a line and a column, both from 0."""
    lines = body.split("\n")
    return min(sum(len(text) + 1 for text in lines[:line]) + column, len(body))
