"""The config of `clean`, apart from its code; a user's table of words is read from here."""

import csv
import io
import re
from collections.abc import Mapping
from typing import Literal, Self

import pyarrow as pa
import xxhash
from pydantic import Field, PrivateAttr, field_validator

from headrace.cluster import storage
from headrace.cluster.errors import RecipeError
from headrace.pipelines.section import Path, Section

LARGEST = 4 * 2**20  # bytes of a table of words: it travels with every task


Order = Literal["dmy", "mdy"]


class Dates(Section):
    """How dates are read."""

    order: Literal["auto", "dmy", "mdy"] = "auto"
    """Which comes first in 03/04/2024: the day (dmy) or the month (mdy). `auto`: as the other dates of the
    same row say, those that can be read one way alone, where they agree; in a row without any, as those of
    its source say (`sources[].dates`); else the date stays. Years have four digits; year first is always
    understood."""
    languages: tuple[str, ...] = Field(default=("en",), min_length=1)
    """Languages whose months are known by name, as dateparser names them: en, de, fr, ..."""

    @field_validator("languages")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from dateparser.data.languages_info import language_locale_dict  # takes a moment

        for one in value:
            if one not in language_locale_dict:
                raise ValueError(f"{one!r} is no language that dateparser knows, such as en, de or pt")
        return value


class Config(Section):
    """What is repaired and what is enforced."""

    ftfy: bool = True
    """Repair mojibake and what the next four switches name."""
    entities: bool = True
    """Decode HTML entities in a text that is escaped throughout. One in which `&`, `<` or what an entity of
    it stands for is bare as well is HTML itself, or about HTML, and stays."""
    ligatures: bool = True
    """Take Latin ligatures apart, as PDFs leave them."""
    widths: bool = False
    """Turn full-width and half-width forms into the usual ones. Changes Chinese and Japanese punctuation."""
    quotes: bool = False
    """Turn curly quotation marks into straight ones."""
    controls: bool = True
    """Remove control characters and terminal escapes, make every line break `\\n`."""
    invisible: bool = True
    """Remove what nobody sees: zero-width characters and soft hyphens between letters that have no use for
    them, marks of direction in texts without a letter that is written from right to left, hidden tags and
    rows of variation selectors. Joiners in emoji and in Arabic, Persian or Indic words stay."""
    html: Literal["rows", "messages"] | None = "rows"
    """Turn HTML into its text, code in fences. `rows`: of rows whose every message is HTML, as pages of a
    forum are: not an answer that is HTML because it was asked for. `messages`: every message that begins and
    ends as HTML and has no other tags. null: none."""
    inline_tags: bool = False
    """Remove tags such as `<b>` within texts that are no HTML as a whole; `<br>` becomes a line break. Those
    in code stay, and all of a text in which one is not closed."""
    escapes: bool = False
    """Decode `\\n` for a line break and `\\u00e9` for a letter in texts that have no line break of their own,
    as where a text was written as JSON and read as it stood. JSON stays."""
    dates: Dates | None = None
    """Write dates as YYYY-MM-DD, outside of code; left out: they stay as they are."""
    indentation: Literal["spaces", "tabs"] | None = None
    """Indent code within fences by one kind of white space. Makefiles keep their tabs, YAML its spaces."""
    tab_width: int = Field(4, ge=1, le=16)
    """Columns of a tab, for `indentation`."""
    abbreviations: dict[str, str] | Path | None = None
    """What to write for abbreviations and misspelt words: a mapping, or the path of a .csv or .tsv file of
    two columns, without a head. Whole words outside of code and addresses; `pls` stands for `Pls` and `PLS`
    as well, what has a capital in it for itself alone."""
    normalise: Literal["NFC", "NFD", "NFKC", "NFKD"] | None = "NFC"
    """Unicode normalisation form; null leaves texts as they are composed."""
    strip: Literal["keep_indent", "all", "none"] = "keep_indent"
    """White space at the ends. `keep_indent`: blank lines before the text, a single space before it and
    everything blank after it go; the indentation of a first line stays, as code needs it. `all`: everything
    blank goes. `none`: it stays."""
    drop_empty: bool = True
    """Remove messages without content."""
    merge: bool = True
    """Merge consecutive turns of one role."""
    separator: str = "\n"
    """What stands between merged turns."""
    alternation: Literal["enforce", "keep"] = "enforce"
    """Mend or drop conversations whose turns do not alternate, or keep them as they are."""
    opening: Literal["remove", "keep"] = "remove"
    """What stands before the first user turn (an agent's greeting answers nothing): remove it, or keep it
    (then a conversation without a user turn is kept as well). Ignored with `alternation: keep`."""
    _words: dict[str, str] | None = PrivateAttr(None)
    _orders: dict[str, Order] = PrivateAttr({})

    @property
    def words(self) -> dict[str, str]:
        """`abbreviations` as a mapping: as `loaded` has read it, or as it is now.

        Raises: RecipeError where the file is not there, or is no such table; StorageError.
        """
        if self._words is not None:
            return self._words
        given = self.abbreviations
        words = _table(given) if isinstance(given, str) else dict(given or {})
        _require_words(words)
        return words

    def loaded(self) -> Self:
        """With the table of words in it, so that a worker need not find its file. Raises: as `words`."""
        copy = self.model_copy()
        copy._words = self.words
        return copy

    @property
    def by_source(self) -> bool:
        """Whether the order of dates is each source's own."""
        return self.dates is not None and self.dates.order == "auto"

    def ordered(self, orders: Mapping[str, Order]) -> Self:
        """With the order of dates that each source has, by its name; sources that tell none are left out."""
        copy = self.model_copy()
        copy._orders = dict(orders)
        return copy

    def orders(self, sources: pa.ChunkedArray) -> list[Order | None]:
        """The order of dates of each row's source, None where it tells none."""
        return [self._orders.get(name) for name in sources.to_pylist()] if self._orders else []

    def digests(self) -> list[str]:
        """Hash of what is read from a file; empty where nothing is."""
        if not isinstance(self.abbreviations, str):
            return []
        return [xxhash.xxh3_128_hexdigest(repr(sorted(self.words.items())).encode())]


def _table(path: str) -> dict[str, str]:
    if not path.endswith((".csv", ".tsv")):
        raise RecipeError(f"clean.abbreviations: {path!r} is neither .csv nor .tsv")
    try:
        data = storage.read_bytes(path)
        text = data.decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecipeError(f"clean.abbreviations: there is no file {path!r}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"clean.abbreviations: {path!r} is not UTF-8 text") from error
    if len(data) > LARGEST:
        raise RecipeError(f"clean.abbreviations: {path!r} has {len(data):,} bytes; {LARGEST:,} are the most")
    words: dict[str, str] = {}
    reader = csv.reader(io.StringIO(text), delimiter="\t" if path.endswith(".tsv") else ",")
    for row in reader:
        if not row:
            continue
        where = f"clean.abbreviations: {path!r}, line {reader.line_num}"
        if len(row) != 2:
            raise RecipeError(f"{where} has {len(row)} columns; a word and what to write for it are two")
        if words.setdefault(row[0].strip(), row[1].strip()) != row[1].strip():
            raise RecipeError(f"{where} says something else for a word that stands above it as well")
    return words


def _require_words(words: dict[str, str]) -> None:
    """Raises: RecipeError where a table of words could not be followed."""
    for number, (word, meant) in enumerate(words.items(), 1):
        if not re.match(r"\w", word) or word != word.strip():
            raise RecipeError(f"clean.abbreviations: entry {number} must begin with a letter or a digit")
        if not meant.strip():
            raise RecipeError(f"clean.abbreviations: entry {number} has nothing to write for its word")
