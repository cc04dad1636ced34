"""Rules, dashboard and compose file as text, and every name in them against a running Triton."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import onnx
import promql_parser
import pytest
import yaml

from dockerfiles import DOCKER, stages
from monitoring import FILES, MONITORING, RULES, all_queries, metric_names, panels, rules
from served_by_command import ServedByCommand
from tiny_models import TinyModel, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import TritonInstallation

COMPOSE = DOCKER / "compose.monitoring.yaml"
OF_PROMETHEUS = {"up"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


@pytest.fixture(scope="module")
def scraped(compose: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all samples of a server with the options that compose gives it."""
    folder = tmp_path_factory.mktemp("scraped")
    onnx.save(TinyModel().model(), folder / "tiny.onnx")
    build_model(tiny_spec(), folder / "tiny.onnx", folder / "models", layout="single")
    command = compose["services"]["server-cpu"]["command"]
    options = command[command.index("--") :]
    text = ""
    with ServedByCommand(folder / "models", folder / "log", *options) as served:
        for what in ("metrics", "canaries"):
            with urllib.request.urlopen(served.addresses[what], timeout=10) as answer:
                text += answer.read().decode()
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[:1] != "#"}


def test_every_name_that_a_query_reads_is_one_that_triton_or_a_rule_gives(
    scraped: set[str], installation: TritonInstallation
) -> None:
    recorded = {rule["record"] for path in RULES for rule in rules(path) if "record" in rule}
    read = {name for query in all_queries() for name in metric_names(query)}
    assert len(read) > 25
    of_gpus = {name for name in read if name.startswith("nv_gpu_")}
    assert read - recorded - scraped - OF_PROMETHEUS == of_gpus


def test_names_are_read_off_queries_completely() -> None:
    """By their look, which is independent of the parser."""
    for query in all_queries():
        bare = re.sub(r'"[^"]*"', "", query)
        seen = set(re.findall(r"\b(?:[a-z_]+:)?(?:nv|tritonseg)_[a-z_]+(?::\w+)?", bare))
        assert metric_names(query) - {"up"} == seen, query


@pytest.mark.parametrize("query", ["sum by (a) rate(b[2m])", "rate(b)", "sum(", "b{c=d}"])
def test_a_wrong_query_does_not_parse(query: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        promql_parser.parse(query)


def test_every_recorded_figure_is_shown_or_alerted_on_or_used() -> None:
    read = {name for query in all_queries() for name in metric_names(query)}
    assert {rule["record"] for rule in rules(RULES[0])} <= read


def test_every_alert_says_what_is_the_matter_and_what_to_do() -> None:
    alerts = rules(RULES[1])
    assert len({alert["alert"] for alert in alerts}) == len(alerts) > 5
    for alert in alerts:
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert alert["annotations"].keys() == {"summary", "action"}, alert["alert"]
        labels = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
        aggregated = re.search(r"sum by \(([^)]*)\)", alert["expr"])
        if aggregated is not None and "served_model:" not in alert["expr"]:
            assert labels <= set(aggregated.group(1).split(", ")), alert["alert"]


def test_panels_do_not_overlap_and_take_their_source_from_the_dashboard() -> None:
    cells = set()
    for panel in panels():
        at = panel["gridPos"]
        for cell in (
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ):
            assert cell not in cells, panel["title"]
            cells.add(cell)
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    assert {one["name"] for one in dashboard["templating"]["list"]} == {
        "datasource",
        "served_model",
    }
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_what_compose_mounts_is_there_and_where_it_is_looked_for(compose: dict[str, Any]) -> None:
    places = {}
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source, target, *_ = volume.split(":")
            if source.startswith("."):
                assert (DOCKER / source).exists(), source
                places[target] = DOCKER / source
    prometheus = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    for file in prometheus["rule_files"]:
        folder = places["/etc/prometheus/rules"]
        assert (folder / Path(file).name).is_file()
    provider = MONITORING / "grafana/provisioning/dashboards/tritonseg.yaml"
    (one,) = yaml.safe_load(provider.read_text())["providers"]
    assert f"{one['options']['path']}/dashboard.json" in places
    words = stages("Dockerfile.cpu")[-1].command("ENTRYPOINT")
    served = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    ports = {"tritonseg": "--metrics-port", "tritonseg-canaries": "--verify-metrics-port"}
    assert {scrape["job_name"] for scrape in prometheus["scrape_configs"]} == ports.keys()
    for scrape in prometheus["scrape_configs"]:
        (names,) = scrape["dns_sd_configs"]
        assert set(names["names"]) == {name for name in served if name.startswith("server-")}
        assert f"{ports[scrape['job_name']]}={names['port']}" in words


@pytest.mark.parametrize("name", ["monitoring", "tracing"])
def test_nothing_of_compose_listens_beyond_this_machine(name: str) -> None:
    compose = yaml.safe_load((DOCKER / f"compose.{name}.yaml").read_text())
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        if "image" in service:
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]


def first_cells(page: str, pattern: str) -> set[str]:
    """Names in the first column of a page's tables."""
    rows = re.findall(r"^\| ([^|]+) \|", (DOCKER.parent / "docs" / page).read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(pattern, row)}


def test_the_pages_name_what_there_is() -> None:
    alerts = {alert["alert"] for alert in rules(RULES[1])}
    assert first_cells("monitoring.md", r"`(Tritonseg\w+)`") == alerts
    recorded = {rule["record"] for rule in rules(RULES[0])}
    assert first_cells("monitoring.md", r"`(\w+:[\w:]+)`") == recorded
    examples = {path.name for path in (DOCKER / "helm" / "examples").glob("*.yaml")}
    assert first_cells("kubernetes.md", r"`([\w-]+\.yaml)`") == examples
