"""A real Prometheus reads both services by deploy/observability, and what the dashboard asks is answered."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "deploy/observability"
DASHBOARD = json.loads((FILES / "grafana/dashboards/platform.json").read_text())
PROGRAMS = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
# How long anything may take before the test gives up: nothing is measured by it.
PATIENCE_S = 90

# What Prometheus makes itself.
ITS_OWN = {"up", "ALERTS"}
# Words of its language, and what stands in braces, brackets or after `by`, are no metrics.
NO_METRIC = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on) ?\([^)]*\)')
FUNCTIONS = {
    "sum", "rate", "increase", "max", "count", "vector", "time", "or", "histogram_quantile", "and", "unless",
}


def queries():
    """Every query of the dashboard, with the title of its panel."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def metrics_in(query):
    return set(re.findall(r"\b[a-zA-Z_]\w*", NO_METRIC.sub(" ", query))) - FUNCTIONS


class Service:
    def __init__(self, program, directory, **settings):
        settings = os.environ | settings | {
            "LISTEN_ADDRESS": "127.0.0.1:0",
            "DATABASE_URL": f"sqlite:{directory}/{program}.db",
            "LOG_LEVEL": "info",
        }
        self.process = subprocess.Popen(
            PROGRAMS / program, env=settings, cwd=directory, stdout=subprocess.PIPE, text=True
        )
        for line in self.process.stdout:
            if (record := json.loads(line))["message"] == "serving":
                self.url = record["url"]
                break
        else:
            raise RuntimeError(f"{program} did not start")
        # Somebody must read on: a service stops at a full pipe.
        self.reader = threading.Thread(target=self.process.stdout.read, daemon=True)
        self.reader.start()

    @property
    def address(self):
        return self.url.removeprefix("http://")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_S)
            self.reader.join()
            self.process.stdout.close()

    def send(self, path, body=None):
        """The status of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code

    def metrics(self):
        with urllib.request.urlopen(self.url + "/metrics", timeout=PATIENCE_S) as answer:
            return answer.read().decode()


class Prometheus:
    """With the configuration as it is, but for where the services are, and in a hurry."""

    def __init__(self, directory, users, orders):
        configuration = (FILES / "prometheus.yml").read_text()
        for old, new in [
            ("user-service:8000", users.address),
            ("order-service:8000", orders.address),
            ("scrape_interval: 5s", "scrape_interval: 500ms"),
            ("evaluation_interval: 5s", "evaluation_interval: 500ms"),
            ("alerts.yml", str(FILES / "alerts.yml")),
        ]:
            assert configuration.count(old) == 1, old
            configuration = configuration.replace(old, new)
        file = Path(directory) / "prometheus.yml"
        file.write_text(configuration)
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        self.log = open(Path(directory) / "prometheus.log", "w")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory}/prometheus"]
            + [f"--web.listen-address={address}"],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def ask(self, query):
        """The samples that answer a query; none while Prometheus is starting."""
        url = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as refusal:
            with refusal:
                if refusal.code == 503:
                    return []
                raise AssertionError(f"{query}: {refusal.read().decode()}") from None
        except (urllib.error.URLError, ConnectionError):
            return []


class Observability(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.users = Service("user-service", directory)
        cls.addClassCleanup(cls.users.stop)
        cls.orders = Service("order-service", directory, USER_SERVICE_URL=cls.users.url)
        cls.addClassCleanup(cls.orders.stop)
        cls.prometheus = Prometheus(directory, cls.users, cls.orders)
        cls.addClassCleanup(cls.prometheus.stop)

    def order(self):
        return self.orders.send("/api/v1/orders", {"user_id": 1, "product_id": 456, "quantity": 2})

    def until(self, query, holds, meanwhile=lambda: None):
        """Waits until the samples that answer a query are as they should be."""
        end = time.monotonic() + PATIENCE_S
        while not holds(samples := self.prometheus.ask(query)):
            self.assertLess(time.monotonic(), end, f"{query} gives {samples}")
            meanwhile()
            time.sleep(0.1)

    def test_1_every_metric_that_is_asked_for_exists(self):
        self.users.send("/api/v1/users", {"email": "user@example.com", "name": "John Doe"})
        self.assertEqual(self.order(), 201)
        texts = self.users.metrics() + self.orders.metrics()
        existing = {re.match(r"\w+", line)[0] for line in texts.splitlines() if not line.startswith("#")}
        rules = re.findall(r"expr: (?:\|\n)?((?:.|\n)*?)\n +(?:for|labels):", (FILES / "alerts.yml").read_text())
        self.assertEqual(len(rules), 9)
        for query in [query for _, query in queries()] + rules:
            self.assertTrue(metrics_in(query), query)
            self.assertLessEqual(metrics_in(query), existing | ITS_OWN, query)

    def test_2_every_alert_has_its_place_in_the_runbook(self):
        headings = re.findall(r"^### (\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
        anchors = {f"docs/operations.md#{heading.lower()}" for heading in headings}
        alerts = (FILES / "alerts.yml").read_text()
        runbooks = re.findall(r"runbook: (.*)", alerts)
        self.assertEqual(len(runbooks), alerts.count("- alert:"))
        self.assertLessEqual(set(runbooks), anchors)
        # The panels that the runbook names.
        for panel in re.findall(r'panel "([^"]+)"', (ROOT / "docs/operations.md").read_text()):
            self.assertIn(panel, {title for title, _ in queries()})

    def test_3_a_fault_of_user_service_is_seen_and_every_query_is_answered(self):
        services = 'up{job=~"user-service|order-service"}'
        self.until(f"sum({services})", lambda samples: samples and samples[0]["value"][1] == "2", self.order)
        self.users.stop()

        errors = dict(queries())["Errors by code"]
        seen = lambda samples: any(s["metric"]["error_code"] == "user_service_unavailable" for s in samples)
        self.until(errors, seen, self.order)
        self.until("dependency_circuit_open", lambda samples: samples and samples[0]["value"][1] == "1", self.order)
        self.until('up{job="user-service"}', lambda samples: samples and samples[0]["value"][1] == "0")
        for title, query in queries():
            with self.subTest(title):
                self.until(query, bool, lambda: (self.order(), self.orders.send("/api/v1/orders/999999")))
        pending = lambda samples: {"ServiceDown", "DependencyFails"} <= {s["metric"]["alertname"] for s in samples}
        self.until("ALERTS", pending)


if __name__ == "__main__":
    unittest.main(verbosity=2)
