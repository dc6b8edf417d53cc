"""The config of `clean`, apart from its code."""

from typing import Literal

from headrace.pipelines.section import Section


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
