"""A function that a recipe names: looked at before any work, and never quoted."""

from pathlib import Path

import pytest

from headrace.cluster.errors import RecipeError
from headrace.pipelines.evaluate.config import Config
from headrace.pipelines.evaluate.judged import function


def named(file: Path, name: str = "f", takes: int = 1) -> function.Named:
    return function.Named("evaluate.score", f"python:{file}:{name}", takes)


def test_it_is_made_from_the_text_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("FACTOR = 3\ndef f(x):\n    return FACTOR * x\n")
    of = named(file)
    text = function.text(of)
    file.unlink()
    assert function.made(of, text)(4) == 12


@pytest.mark.parametrize(
    ("text", "takes", "words"),
    [
        (None, 1, "is no file of Python that can be read"),
        ("def f(:", 1, r"cannot be run \(SyntaxError\)"),
        (
            "import no_such_module_anywhere",
            1,
            r"cannot be run \(ModuleNotFoundError no_such_module_anywhere\)",
        ),
        ("raise SystemExit(3)", 1, r"cannot be run \(SystemExit\)"),
        ("f = 4", 1, "has no function 'f'"),
        ("def f(a): ...", 3, "must take 3 arguments"),
        ("def f(a, b): ...", 1, "must take 1 arguments"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, text: str | None, takes: int, words: str) -> None:
    file = tmp_path / "own.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(RecipeError, match=f"evaluate.score: .*{words}"):
        function.text(named(file, takes=takes))


def test_a_section_names_what_it_runs() -> None:
    config = Config(answer="python:a.py:f", score="python:s3://bucket/b.py:g")
    assert config.functions == (
        ("evaluate.answer", "python:a.py:f", 1),
        ("evaluate.score", "python:s3://bucket/b.py:g", 3),
    )
    assert Config().functions == ()
    with pytest.raises(ValueError, match="is no python:FILE"):
        Config(score="a.py:f")
