"""Ratings as they come back: CSV files of the sheet or of a spreadsheet, JSON exports of Label Studio."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from headrace.cluster import storage
from headrace.cluster.errors import UserError
from headrace.pipelines.examine.spot_check.ratings import CRITERIA, SCORES, VERDICTS, Rating

MARK = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class Taken:
    """One person's rating of one row; mark: of the text that was rated."""

    row_id: int
    mark: str
    rater: str
    verdict: str | None
    file: str
    scores: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    @property
    def rating(self) -> Rating:
        """What counts of it."""
        return Rating(self.row_id, self.rater, self.verdict, self.scores)

    @property
    def same(self) -> tuple[str | None, Mapping[str, int]]:
        """What two ratings that are one have alike."""
        return self.verdict, self.scores

    def by(self, rater: str) -> "Taken":
        """The same, as that of `rater`."""
        return replace(self, rater=rater)


def read(path: str, verdicts: Sequence[str] = VERDICTS) -> list[Taken]:
    """All ratings in a file; rows that nobody rated are none. verdicts: those that the sheet knows.

    Raises: UserError where it holds something else, SourceError, StorageError.
    """
    try:
        text = storage.read_bytes(path).decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"there is no file {path!r} with ratings") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: save it as CSV UTF-8") from error
    of = _label_studio if text.lstrip().startswith(("[", "{")) else _csv
    rated = of(text, path, verdicts)
    return [one for one in rated if one.verdict is not None or one.scores]


def _csv(text: str, path: str, verdicts: Sequence[str]) -> Iterator[Taken]:
    """Ratings of a CSV file; spreadsheets of some countries write semicolons."""
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    records = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [str(name).strip().lower() for name in records.fieldnames or ()]
        if missing := [name for name in ("row_id", "mark", "verdict") if name not in names]:
            raise UserError(
                f"{path} has no column {', '.join(missing)}: take what the sheet has exported, or sheet.csv "
                "with the columns of ratings filled in"
            )
        records.fieldnames = names
        for record in records:
            given = {name: _bare(value) for name, value in record.items() if isinstance(value, str)}
            rater = given.get("rater") or PurePosixPath(path).stem
            yield _taken(given, rater, path, f"line {records.line_num}", verdicts)
    except csv.Error as error:
        raise UserError(f"{path}, line {records.line_num}: this is no CSV; export the sheet again") from error


def _bare(value: str) -> str:
    """A cell without what keeps a spreadsheet from running it."""
    return value.strip().removeprefix("'")


def _taken(given: Mapping[str, str], rater: str, path: str, place: str, verdicts: Sequence[str]) -> Taken:
    """Raises: UserError for a value that is no rating; it is not quoted, as it may be a row's text."""
    row_id, mark = given.get("row_id", ""), given.get("mark", "")
    if not row_id.isdecimal() or not MARK.fullmatch(mark):
        raise UserError(
            f"{path}, {place}: row_id and mark are not as they were written (a spreadsheet may have made a "
            "number of one): keep both columns as text"
        )
    said = given.get("verdict", "").lower()
    verdict = next((known for known in verdicts if known.lower() == said), None)
    if said and verdict is None:
        raise UserError(
            f"{path}, {place}: verdict is none of {', '.join(verdicts)}; leave it empty if unsure"
        )
    scores = {}
    for name in CRITERIA:
        score = given.get(name, "")
        if score and (not score.isdecimal() or int(score) not in SCORES):
            raise UserError(
                f"{path}, {place}: {name} is no whole number from 1 to 5; leave it empty if unsure"
            )
        if score:
            scores[name] = int(score)
    return Taken(int(row_id), mark, rater, verdict, path, scores, given.get("note", ""))


def _label_studio(text: str, path: str, verdicts: Sequence[str]) -> Iterator[Taken]:
    """Ratings of a JSON export: a list of tasks, each with the `data` that was imported and `annotations`."""
    wrong = f"{path} is no JSON export of Label Studio of tasks that `headrace sample --label-studio` wrote"
    try:
        tasks = json.loads(text)
        for number, task in enumerate([tasks] if isinstance(tasks, dict) else tasks, 1):
            data = {name: str(task["data"][name]) for name in ("row_id", "mark")}
            for annotation in task.get("annotations") or ():
                if annotation.get("was_cancelled"):
                    continue
                given = {**data, **_results(annotation)}
                yield _taken(given, _rater(annotation), path, f"task {number}", verdicts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(wrong) from error


def _rater(annotation: Mapping[str, Any]) -> str:
    who = annotation.get("completed_by")
    return str(who.get("id", who.get("email")) if isinstance(who, dict) else who)


def _results(annotation: Mapping[str, Any]) -> dict[str, str]:
    """Values by the names that the labelling config gives them."""
    found = {}
    for result in annotation.get("result") or ():
        value = result["value"]
        given = value.get("choices") or value.get("text") or value.get("rating")
        if given:  # a field that was emptied again says nothing
            found[str(result["from_name"])] = str(given[0] if isinstance(given, list) else given)
    return found
