"""The lists of words say where they come from, hold what they should, and are used."""

from pathlib import Path

import pytest

from headrace.pipelines.stages import pii
from headrace.pipelines.stages.pii import overlaps
from headrace.pipelines.stages.pii.recognizers import addresses, lists, names

FILES = sorted(lists.FOLDER.glob("*.txt"))
LISTS = [file.stem for file in FILES]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_words_and_none_twice(name: str) -> None:
    found = lists.words(name)
    assert found
    assert len(set(found)) == len(found)
    assert not [word for word in found if word != word.strip() or word.startswith("#")]


@pytest.mark.parametrize("file", FILES, ids=LISTS)
def test_a_list_says_what_it_is_and_where_it_comes_from(file: Path) -> None:
    first, *others = file.read_text("utf-8").splitlines()
    head = [line for line in others[:5] if line.startswith("# ")]
    assert first.startswith("# ")
    assert [line for line in head if line.startswith("# Origin: ")]
    assert [line for line in head if line.startswith("# Used by ")]


def test_every_list_is_read_and_the_folder_holds_nothing_else() -> None:
    code = "".join(file.read_text("utf-8") for file in sorted(Path(pii.__file__).parent.rglob("*.py")))
    assert LISTS
    assert not [name for name in LISTS if f'words("{name}")' not in code and f'either("{name}")' not in code]
    assert sorted(lists.FOLDER.iterdir()) == FILES


def test_the_order_of_a_list_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "FOLDER", tmp_path)
    (tmp_path / "some.txt").write_text("# Streets.\nvia dei\nstr.\n\nallée\n", "utf-8")
    assert lists.words("some") == ("via dei", "str.", "allée")
    assert lists.either("some") == r"via dei|str\.|allée"


@pytest.mark.parametrize(
    ("text", "said"), [("# Only a head.\n", "holds no word"), ("a\nb\na\n", "holds 'a' more than once")]
)
def test_a_faulty_list_is_refused(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "FOLDER", tmp_path)
    (tmp_path / "some.txt").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=rf"some\.txt {said}"):
        lists.words("some")


def test_the_sets_of_streets_and_names_are_what_the_lists_hold() -> None:
    assert set(lists.words("streets_glued_sure")) <= set(lists.words("streets_glued"))
    assert set(lists.words("streets_english")) == addresses.CERTAIN
    assert not names.GIVEN & names.LABELS


def test_the_sets_of_sites_and_numbers_are_what_the_lists_hold() -> None:
    assert set(lists.words("site_endings")) == overlaps.SURE
    assert set(lists.words("number_entities")) == overlaps.NUMBERS
    assert "DATE_TIME" in overlaps.NUMBERS < overlaps.DOUBTED
