"""Dashboard and alerts ask for metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENTED = set(
    re.findall(r"^\| `(closecast_\w+)", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
)
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "closecast.json").read_text())

EXPRESSIONS = [
    *(rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]),
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_what_is_exposed(expression: str) -> None:
    named = set(re.findall(r"\bclosecast_\w+", expression))
    of_histograms = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named - DOCUMENTED}
    assert of_histograms <= DOCUMENTED
    assert named or expression.startswith("up{")
    assert all(expression.count(a) == expression.count(b) for a, b in ("()", "[]", "{}"))


def test_panels_do_not_lie_on_each_other() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_the_scrape_configuration_names_the_alerts() -> None:
    path = ROOT / "deploy" / "prometheus" / "prometheus.yml"
    configuration = yaml.safe_load(path.read_text())
    assert all((path.parent / name).is_file() for name in configuration["rule_files"])
    [job] = configuration["scrape_configs"]
    assert job["job_name"] == "closecast"  # as the alerts name it
