"""Metrics reach Ray's endpoint under the names that the dashboard asks for."""

import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.cluster import metrics

INFRA = Path(__file__).resolve().parents[2] / "infra"
SECONDS = 90  # a worker reports its metrics every few seconds; generous for a busy machine


def expressions() -> list[str]:
    dashboard = json.loads((INFRA / "grafana" / "headrace.json").read_text())
    queries = [v["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    return queries + [t["expr"] for p in dashboard["panels"] for t in p["targets"]]


def test_dashboard_shows_every_metric_and_no_other() -> None:
    asked = {name for e in expressions() for name in re.findall(r"ray_headrace_\w+", e)}
    assert asked == set(metrics.exported())


def test_dashboard_groups_by_labels_that_its_metrics_have() -> None:
    checked = 0
    for expression in expressions():
        for labels, name in re.findall(r"by \(([^)]*)\) \((?:rate\()?(ray_\w+)", expression):
            checked += 1
            assert {x.strip() for x in labels.split(",")} <= set(metrics.exported()[name]), expression
    assert checked >= len(metrics.METRICS)


def test_panels_have_their_own_numbers_and_do_not_overlap() -> None:
    panels = json.loads((INFRA / "grafana" / "headrace.json").read_text())["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    cells = [
        (x, y)
        for p in panels
        for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
        for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_prometheus_reads_the_file_that_ray_writes() -> None:
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    config = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())
    files = [f for job in config["scrape_configs"] for sd in job["file_sd_configs"] for f in sd["files"]]
    assert [Path(f).name for f in files] == [PROMETHEUS_SERVICE_DISCOVERY_FILE]


def test_labels_hold_neither_rows_nor_paths() -> None:
    assert {label for labels in metrics.exported().values() for label in labels} == {
        "pass",
        "outcome",
        "stage",
    }


def test_without_ray_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **given: Any) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr(metrics, "Counter", refuse)
    monkeypatch.setattr(metrics, "Gauge", refuse)
    recorder = metrics.Recorder()
    recorder.commit("prepare", kept=3, bytes=10, stages={"clean": {"seconds": 1.0, "bytes": 10}})
    recorder.units("prepare", 1, 2)


@pytest.mark.ray
def test_ray_exports_what_was_recorded(ray_local: None) -> None:
    import ray

    recorder = metrics.Recorder()
    recorder.units("probe", 1, 4)
    recorder.commit(
        "probe",
        kept=7,
        dropped=2,
        quarantined=1,
        bytes=1000,
        stages={"probe": {"seconds": 0.5, "bytes": 900}},
    )
    recorder.commit("probe", kept=3, bytes=500, stages={"probe": {"seconds": 0.25, "bytes": 400}})
    node = ray.nodes()[0]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    samples = scraped(url, set(metrics.exported()))
    assert samples["ray_headrace_records_total", "kept"] == 10
    assert samples["ray_headrace_records_total", "dropped"] == 2
    assert samples["ray_headrace_records_total", "quarantined"] == 1
    assert samples["ray_headrace_bytes_total", ""] == 1500
    assert samples["ray_headrace_commits_total", ""] == 2
    assert samples["ray_headrace_stage_cpu_seconds_total", "probe"] == 0.75
    assert samples["ray_headrace_stage_bytes_total", "probe"] == 1300
    assert samples["ray_headrace_units_done", ""] == 1
    assert samples["ray_headrace_units", ""] == 4


def scraped(url: str, wanted: set[str]) -> dict[tuple[str, str], float]:
    """Values by (metric, outcome or stage), of the pass "probe" and its stages, once all are there."""
    found: dict[tuple[str, str], float] = {}
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as page:
                text = page.read().decode()
        except OSError:  # the agent that serves the page is still starting
            text = ""
        found = {}
        for name, labels, value in re.findall(r"^(ray_headrace_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
            tags = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if tags.get("pass", "probe") == "probe":
                found[name, tags.get("outcome") or tags.get("stage") or ""] = float(value)
        if wanted <= {name for name, _ in found}:
            return found
        time.sleep(1)
    raise AssertionError(f"not exported within {SECONDS} s: {sorted(wanted - {n for n, _ in found})}")
