"""What others say of the same rows: cleanlab of labels; Soup of leaks, personal data, ends and traces.

Soup (https://github.com/MakazhanAlpamys/Soup, Apache-2.0) runs in an environment of its own, a process a
question: its own functions behind `soup data decontaminate`, `soup data pii`, `soup data doctor` and `soup
advise`, with their defaults. It decontaminates against the planted items alone, as it compares every row with
every item in plain Python. A row counts where Soup flags it, whatever it says of it: of the product more is
asked (see `alarms`). It has no check for contradictions, wrong labels, few questions in many words, prose
behind a structured answer, or broken encodings.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.pipelines.stages.tokenise.pretrained import SHIPPED
from tests.benchmarks.gauntlet import alarms
from tests.benchmarks.gauntlet.alarms import Alarm, Flags, Truth
from tests.benchmarks.gauntlet.sets import Row, answer, prompt

SOUP = """
import json, sys
given = json.load(sys.stdin)
rows, what, model, limit = given["rows"], given["what"], given["model"], given["limit"]
if what == "leaks":
    from soup_cli.utils.data_score import decontaminate_rows
    flags = decontaminate_rows(rows, given["items"])[1]
elif what == "pii":
    from soup_cli.utils.data_score import detect_pii, extract_row_text
    flags = [n for n, row in enumerate(rows) if detect_pii(extract_row_text(row))]
elif what == "traces":
    from soup_cli.utils.advise import compute_dataset_profile
    flags = [] if compute_dataset_profile(rows).has_reasoning_traces else list(range(len(rows)))
else:
    from transformers import AutoTokenizer
    from soup_cli.utils.data_doctor import check_eos_in_labels, check_truncation_risk
    tokenizer = AutoTokenizer.from_pretrained(model)
    check = check_truncation_risk if what == "length" else check_eos_in_labels
    flags = [n for n, row in enumerate(rows) if check(tokenizer, [row], max_length=limit).verdict != "OK"]
print(json.dumps(flags))
"""


def of(name: str, soup: str | None, data: Path) -> dict[str, tuple[Alarm, Alarm]]:
    """Who else looks for a plant: by name its alarm for planted rows, and for clean ones."""
    if name == "wrong labels":
        return {"cleanlab": (confident, confident)}
    own = _soup(name, soup, data) if soup else None
    return {"soup": own} if own else {}


def confident(rows: list[Row], truth: Truth | None = None) -> Flags:
    """cleanlab's label issues, by its defaults, from logistic regression over the product's own features."""
    from cleanlab.filter import find_label_issues
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    from headrace.pipelines.examine import vectors

    texts = pa.array([prompt(row) for row in rows], pa.large_string())
    codes = np.unique([answer(row) for row in rows], return_inverse=True)[1]
    known = np.flatnonzero(np.bincount(codes)[codes] >= 5)  # rows of a label that every fold can have
    matrix = vectors.weighted(vectors.terms(texts, pairs=True), alone=False)[known]
    own = np.unique(codes[known], return_inverse=True)[1]
    model = LogisticRegression(C=10, solver="saga", max_iter=20, tol=1e-2, random_state=0)
    chances = cross_val_predict(model, matrix, own, cv=5, method="predict_proba")
    flags = np.zeros(len(rows), np.bool_)
    flags[known] = find_label_issues(own, chances, n_jobs=1)
    return flags


def _soup(name: str, python: str, data: Path) -> tuple[Alarm, Alarm] | None:
    """Soup's check that is nearest to a plant, for planted rows and for clean ones."""

    def asking(what: str, **more: object) -> Alarm:
        return lambda rows, truth=None: _asked(python, rows, what, **more)

    def leaks(rows: list[Row], truth: Truth | None = None) -> Flags:
        items = alarms.evaluation(data)[0]
        # On clean rows: as many items as are planted, from all sets.
        wanted = [*truth.values()] if truth else [*range(0, items.num_rows, items.num_rows // 300)]
        texts = items["prompt"].take(pa.array(wanted)).to_pylist()
        return _asked(python, rows, "leaks", items=[text for text in texts if text.strip()])

    kind, _, template = name.partition(", template of ")
    if name.startswith("leaks"):
        return leaks, leaks
    if template:
        return asking("ends", model=alarms.model(template)), asking("ends")
    one = {
        "PII, numbers and addresses": asking("pii"),
        "missing traces": asking("traces"),
        "lost ends, length limit": asking("length", limit=alarms.LIMIT),
    }
    return (one[kind], one[kind]) if kind in one else None


def _asked(
    python: str,
    rows: list[Row],
    what: str,
    *,
    limit: int = 8192,
    model: str | None = None,
    items: object = (),
) -> Flags:
    """Flags of one of Soup's checks."""
    told = [{"messages": [{"role": role, "content": text} for role, text in row]} for row in rows]
    given = {
        "rows": told,
        "what": what,
        "items": items,
        "limit": limit,
        "model": model or str(SHIPPED),
    }
    done = subprocess.run(
        [python, "-c", SOUP], input=json.dumps(given), capture_output=True, text=True, check=True
    )
    return alarms.flagged(rows, json.loads(done.stdout.splitlines()[-1]))
