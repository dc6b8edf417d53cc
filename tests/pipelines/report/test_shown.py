"""`headrace report RUN --open`: which page is shown, and what is said where no browser is there."""

import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from headrace.pipelines.report import browser
from tests.builders import run_command
from tests.pipelines.report.runs import prepared_run, write_run


@pytest.fixture(params=[True, False])
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], bool]:
    """Addresses that a browser was asked to open, and whether there is one."""
    asked: list[str] = []

    def show(address: str) -> bool:
        asked.append(address)
        return bool(request.param)

    monkeypatch.setattr(webbrowser, "open", show)
    return asked, bool(request.param)


def test_a_page_on_disk_is_shown_where_it_lies(tmp_path: Path, opened: tuple[list[str], bool]) -> None:
    asked, there = opened
    page = tmp_path / "a run" / "report.html"
    page.parent.mkdir()
    page.write_text("<p>")
    assert browser.show(str(page)) == (str(page), there)
    assert [Path(unquote(urlparse(address).path)) for address in asked] == [page]


def test_the_command_writes_the_page_and_shows_it(tmp_path: Path, opened: tuple[list[str], bool]) -> None:
    asked, there = opened
    run = write_run(str(tmp_path / "run"), prepared_run(), rows=False)
    recipe = f"output: {run}\nsources:\n- path: {tmp_path}/in.jsonl\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    code, out, err = run_command(["report", str(tmp_path / "recipe.yaml"), "--open"])
    assert code == 0, err
    assert [address.endswith("/run/report.html") for address in asked] == [True]
    assert "No model yet" in (tmp_path / "run/report.html").read_text()
    assert (tmp_path / "run/report.md").read_text().startswith("## No model yet")
    words = "shown in the browser: " if there else "no browser could be started; open "
    assert f"{words}{run}/report.html" in (out if there else err)


def test_before_anything_is_written_the_command_says_so(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(f"output: {tmp_path}/run\nsources:\n- path: {tmp_path}/in.jsonl\n")
    code, _, err = run_command(["report", str(tmp_path / "recipe.yaml")])
    assert code == 2
    assert "nothing is prepared in" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.s3
def test_a_page_on_object_storage_is_copied_first(s3: str, opened: tuple[list[str], bool]) -> None:
    from headrace.cluster import storage

    storage.put(f"{s3}/runs/one/report.html", b"<p>")
    path, there = browser.show(f"{s3}/runs/one/report.html")
    assert there == opened[1]
    assert Path(path).read_bytes() == b"<p>"
    assert opened[0] == [Path(path).as_uri()]
