"""The lists of words beside the code: `words/*.txt`, one word a line.

Lines that begin with "# " say what a list is, where it comes from and what it is used for.
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "words"


def words(name: str) -> tuple[str, ...]:
    """The words of the list `name`, in the order of the file.

    Raises: ValueError for a list that is empty or holds a word twice.
    """
    lines = (FOLDER / f"{name}.txt").read_text("utf-8").splitlines()
    listed = tuple(line for line in lines if line and not line.startswith("# "))
    twice = sorted({word for word in listed if listed.count(word) > 1})
    if twice or not listed:
        wrong = f"holds {', '.join(map(repr, twice))} more than once" if twice else "holds no word"
        raise ValueError(f"the list {FOLDER / name}.txt {wrong}: correct the file")
    return listed


def either(name: str) -> str:
    """A regular expression of the words of a list as alternatives, in the order of the file."""
    return "|".join(word.replace(".", r"\.") for word in words(name))
