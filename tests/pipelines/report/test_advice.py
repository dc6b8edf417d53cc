"""The advice on the first page of a report: the verdict, its strongest reasons, where to read on."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.pipelines import flow
from headrace.pipelines.report import page


def reason(level: str, code: str, source: str = "what was counted") -> dict[str, Any]:
    return {
        "code": code,
        "level": level,
        "words": f"{code} <b>in words</b>: `drop: {{{code}}}`",
        "number": 1,
        "source": source,
        "rows": [7],
        "show": f"headrace explain RUN {code}",
    }


def built(folder: Path, verdict: str, reasons: list[dict[str, Any]], **more: Any) -> str:
    rows = {"in": 10, "kept": 10, "dropped": {}, "quarantined": {}}
    advice = {
        "verdict": verdict,
        "reasons": reasons,
        "effective_prompts": 8.4,
        "rows": 10,
        "not_looked_at": [],
        **more,
    }
    (folder / "run.json").write_text(json.dumps({"rows": rows, "digest": "d", "advice": advice}))
    return Path(page.build(str(folder), flow.STAGES)).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("verdict", "mood", "words"),
    [
        ("go", "good", "The data are fit to train on."),
        ("mend first", "warn", "Mend the data first."),
        ("do not tune", "bad", "Don&#39;t tune on these data."),
    ],
)
def test_before_a_model_the_advice_is_what_is_decided(
    tmp_path: Path, verdict: str, mood: str, words: str
) -> None:
    text = built(tmp_path, verdict, [reason("note", "size")], not_looked_at=["label_noise", "leaks"])
    first = text.partition("<main>")[0]
    assert f'class="box {mood}" id="decision"' in first
    assert f"<p>{words}</p>" in first
    assert "Leaks of public evaluation sets were not looked for" in first
    assert f'class="box {mood}" id="advice"' in text
    assert "about 8 different things in 10 rows" in text
    assert "Not looked at: label noise, leaks." in text


def test_the_strongest_reasons_come_first_and_the_others_are_counted(tmp_path: Path) -> None:
    url = "https://arxiv.org/abs/2305.11206"
    weak = [reason("fine", "facts"), reason("note", "formats")]
    text = built(
        tmp_path, "do not tune", [*weak, reason("mend", "test"), reason("stop", "size", f"{url}; a rule")]
    )
    first, _, rest = text.partition("<main>")
    told = [first.index(f"{code} &lt;b&gt;in words&lt;/b&gt;") for code in ("Size", "Test", "Formats")]
    assert told == sorted(told)
    assert "Facts" not in first
    assert "1 more reason:" in first
    assert "Stop: <code>size</code>: size &lt;b&gt;in words&lt;/b&gt;: <code>drop: {size}</code>." in rest
    assert "<code>headrace explain RUN size</code>" in rest
    assert f'<a href="{url}" rel="noreferrer">{url}</a>; a rule' in rest


def test_a_run_without_advice_has_no_block(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"rows": {"in": 1, "kept": 1}}))
    assert 'id="advice"' not in Path(page.build(str(tmp_path), flow.STAGES)).read_text(encoding="utf-8")


def test_a_check_without_anything_to_look_at_says_so(tmp_path: Path) -> None:
    looked = {"rows": 9, "suspects": 0, "words": []}
    found = {"label_noise": {**looked, "sources": []}, "contradictions": looked}
    (tmp_path / "run.json").write_text(json.dumps({"rows": {"in": 1, "kept": 1}, "examine": found}))
    text = Path(page.build(str(tmp_path), flow.STAGES)).read_text(encoding="utf-8")
    assert (
        "no source has labels to look at." in text.lower().partition("label_noise")[2].partition("</tr>")[0]
    )
    assert "nothing" in text.partition("<code>contradictions")[2].partition("</tr>")[0]
