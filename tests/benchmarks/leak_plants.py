"""Leaks to plant: an evaluation item as it may come into training data, by seeded rules of our own.

Every function takes a text and a random generator and returns the text in another dress. Nothing here is
anybody's text but ours.
"""

import random
import re
from collections.abc import Callable

WORD = re.compile(r"[^\W\d_]+(?:'[a-z]+)?")
TOKEN = re.compile(r"\w+(?:'\w+)?|[^\w\s]|\s+")
NUMBER = re.compile(r"\d+")

# Words that say about the same, each line for each other.
SYNONYMS = """
buy purchase acquire|sell vend|begin start commence|end finish conclude|big large huge|small little tiny
make create produce|show demonstrate display|find locate discover|give provide supply|get obtain receive
need require|use employ utilise|say state declare|ask inquire|tell inform|help assist aid|keep retain
many numerous|often frequently|also additionally|but however|because since|so thus therefore
about roughly|total overall|each every|more additional|fewer less|following subsequent
correct right accurate|wrong incorrect
function routine method|write compose|given provided|list sequence array|string text|number figure value
return output yield|check verify test|whether if|takes accepts|largest biggest|smallest least minimum
statement assertion claim|true accurate|false untrue|best optimal finest|likely probable|cause reason
person individual|people persons folks|man gentleman|woman lady|child kid|children kids|house home|car vehicle
money cash funds|cost price expense|pay spend|earn gain|work labour|day date|week fortnight|year annum
how in what way|what which|why for what reason|does do|can could|will shall|should ought to|is was|are were
friend companion|school academy|student pupil|teacher instructor|book volume|read peruse|eat consume
walk stroll
""".replace("\n", "|")
TABLE: dict[str, list[str]] = {}
for _line in SYNONYMS.split("|"):
    _words = _line.split()
    for _word in _words:
        TABLE.setdefault(_word, []).extend(w for w in _words if w != _word)
# Where there is no word that says the same: words that stand anywhere.
FILLERS = ("actually", "basically", "certain", "indeed", "simply", "perhaps", "given", "somewhat", "overall")
SYLLABLES = ("ka", "lo", "mi", "ter", "ven", "sul", "par", "don", "ri", "ash", "ben", "gor", "til", "mun")
PROSE = (
    "We spent the first afternoon sorting the boxes by weight and writing labels for the shelves.",
    "After the meeting the notes were copied, and somebody made coffee for those who stayed.",
    "The road along the river was closed, so the deliveries came in from the northern gate.",
    "Nobody had expected the old printer to survive another winter in the unheated hall.",
    "A short list of names hung beside the door, with a pencil on a string under it.",
    "When the rain stopped, the benches were wiped and the lamps along the path were lit again.",
    "The second draft was shorter, clearer, and left out the part that everybody had objected to.",
    "It took three phone calls to learn which of the two keys belonged to the cellar.",
)


def verbatim(text: str, draw: random.Random) -> str:
    """As it is."""
    return text


def dressed(text: str, draw: random.Random) -> str:
    """Other case, other punctuation, other spaces."""
    text = "".join(draw.choice((" ", "\n", "  ")) if c == " " and draw.random() < 0.3 else c for c in text)
    text = re.sub(r"[.,;:!?]", lambda m: draw.choice((m[0], " ", " -", ";")), text)
    return draw.choice((str.upper, str.lower, str.title))(text)


def reworded(share: float) -> Callable[[str, random.Random], str]:
    """Of its words this share replaced, or left out, or moved by one, or with another before it."""

    def reword(text: str, draw: random.Random) -> str:
        tokens = TOKEN.findall(text)
        places = [n for n, token in enumerate(tokens) if WORD.fullmatch(token)]
        chosen = draw.sample(places, round(len(places) * share))
        for place in sorted(chosen):
            word, kind = tokens[place], draw.random()
            if kind < 0.6:
                others = TABLE.get(word.lower())
                new = draw.choice(others) if others else "".join(draw.choices(SYLLABLES, k=3))
                tokens[place] = new.title() if word.istitle() else new
            elif kind < 0.75:
                tokens[place] = ""
            elif kind < 0.9:
                tokens[place] = f"{draw.choice(FILLERS)} {word}"
            else:
                after = next((p for p in places if p > place), place)
                tokens[place], tokens[after] = tokens[after], tokens[place]
        return "".join(tokens)

    return reword


def renumbered(text: str, draw: random.Random) -> str:
    """Every number another one."""
    return NUMBER.sub(lambda m: str(draw.randint(10 ** (len(m[0]) - 1), 10 ** len(m[0]) - 1)), text)


def translated(text: str, draw: random.Random) -> str:
    """Word for word into a language that there is not: numbers and names (inside a sentence) stay."""
    words: dict[str, str] = {}

    def other(found: re.Match[str]) -> str:
        word = found[0].lower()
        if found[0].istitle() and found.start() and text[found.start() - 1] == " " and len(word) > 2:
            return found[0]
        return words.setdefault(word, "".join(draw.choices(SYLLABLES, k=draw.randint(1, 3))))

    return WORD.sub(other, text)


def embedded(text: str, draw: random.Random, sentences: int = 24) -> str:
    """Within a long text about other things."""
    around = [draw.choice(PROSE) for _ in range(sentences)]
    at = draw.randint(1, sentences - 1)
    return " ".join([*around[:at], "\n" + text + "\n", *around[at:]])
