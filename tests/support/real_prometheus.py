"""Debian's Prometheus with our files, what it answers, and our panels of that as a picture."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from monitoring import FILES, MONITORING, panels

SCRAPE_S = 2
SHOWN = {"served_model", "model", "outcome", "reason", "quantile"}
Series = list[dict[str, Any]]


class Prometheus:
    """One that runs.

    Args:
        url: Of its API.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: object) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def rules(self) -> list[Any]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def alerts(self) -> dict[str, list[dict[str, Any]]]:
        """Those that are true, pending or firing, by name."""
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in self.ask("alerts")["alerts"]:
            found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found

    def await_alert(self, name: str, within_s: float = 30) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while name not in (alerts := self.alerts()):
            assert time.monotonic() < deadline, alerts
            time.sleep(0.5)
        return alerts[name][0]

    def panels(self, queries: Mapping[str, list[str]], last_s: float) -> dict[str, list[Series]]:
        """Ask what a dashboard would, for the time until now; a list of series by query."""
        end_s = time.time()
        times = {"start": end_s - last_s, "end": end_s, "step": SCRAPE_S}
        return {
            title: [self.ask("query_range", query=query, **times)["result"] for query in of_panel]
            for title, of_panel in queries.items()
        }


@contextmanager
def prometheus(tools: Path, folder: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """Run it with our file; only where the servers are, and how often, are others.

    Args:
        tools: Where `scripts/deploy_tools.sh` put it.
        folder: For its files.
        targets: URL of the metrics by the name of the job.
    """
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    often = f"{SCRAPE_S}s"
    config["global"] = {"scrape_interval": often, "evaluation_interval": often}
    config["rule_files"] = [str(FILES / Path(path).name) for path in config["rule_files"]]
    for scrape in config["scrape_configs"]:
        del scrape["dns_sd_configs"]
        address = urllib.parse.urlsplit(targets[scrape["job_name"]]).netloc
        scrape["static_configs"] = [{"targets": [address]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        address = f"127.0.0.1:{one.getsockname()[1]}"
    command = [
        tools / "prometheus/usr/bin/prometheus", f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}",
    ]  # fmt: skip
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            _await_ready(f"http://{address}/-/ready", folder / "log")
            yield Prometheus(f"http://{address}")
        finally:
            process.terminate()


def _await_ready(url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def has_numbers(series: Series) -> bool:
    return any(value != "NaN" for one in series for _, value in one["values"])


def draw(found: Mapping[str, list[Series]], path: Path) -> None:
    """Draw every panel, to be looked at."""
    import matplotlib.pyplot as plt

    by_title = {panel["title"]: panel for panel in panels()}
    figure, axes = plt.subplots(-(-len(found) // 4), 4, figsize=(22, 3 * len(found) // 4 + 3))
    for (title, answers), axis in zip(found.items(), axes.flat, strict=False):
        axis.set_title(title)
        series = [one for answer in answers for one in answer]
        if by_title[title]["type"] == "stat":
            _draw_states(axis, series, by_title[title]["fieldConfig"]["defaults"])
            continue
        for one in series:
            times, values = zip(*one["values"], strict=True)
            axis.plot(times, [float(value) for value in values], label=_legend(one))
        if series:
            axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path)


def _legend(one: Mapping[str, Any]) -> str:
    return " ".join(value for key, value in sorted(one["metric"].items()) if key in SHOWN) or "-"


def _draw_states(axis: Any, series: Series, defaults: Mapping[str, Any]) -> None:
    """As Grafana's stat panels: a coloured tile for each, with a word for its number."""
    (mapping,) = defaults["mappings"]
    tiles = []
    for one in series:
        shown = mapping["options"][str(int(float(one["values"][-1][1])))]
        tiles.append((f"{shown['text']}\n{_legend(one)}", shown["color"]))
    tiles = tiles or [(defaults["noValue"], "gray")]
    axis.set_axis_off()
    for number, (text, color) in enumerate(tiles):
        axis.text(
            0.5, 1 - (number + 0.5) / len(tiles), text, ha="center", va="center", color="white",
            bbox={"facecolor": color, "boxstyle": "round"}, transform=axis.transAxes,
        )  # fmt: skip
