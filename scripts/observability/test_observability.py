"""Tests the queries, alerts and runbook of deploy/observability with a real Prometheus that scrapes every service, on the
PostgreSQL server of with-postgres."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

sys.path.append(str(Path(__file__).resolve().parents[1] / "testing"))
from service_process import ROOT, SERVICES, TIMEOUT_S, Service, create_database, send

FILES = ROOT / "deploy/observability"
DASHBOARD = json.loads((FILES / "grafana/dashboards/platform.json").read_text())

# Metrics that Prometheus itself provides.
BUILT_IN = {"up", "ALERTS"}
# Those of RabbitMQ, which does not run here. scripts/test-compose asks it for them.
OF_BROKER = {"rabbitmq_detailed_queue_messages"}
# The value of the dashboard's variable `service` when all services are selected.
EVERY_SERVICE = DASHBOARD["templating"]["list"][0]["allValue"]
# More than the connections of a service to its database.
MANY = 40
# Strings, label matchers, ranges and grouping labels contain no metric names.
NO_METRIC = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on) ?\([^)]*\)')
FUNCTIONS = {
    "sum", "rate", "increase", "max", "count", "vector", "time", "or", "histogram_quantile", "and", "unless",
    "offset",
}


def queries():
    """Returns every query of the dashboard for all services, with the title of its panel."""
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    targets = [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]
    return [(title, expression.replace("$service", EVERY_SERVICE)) for title, expression in targets]


def metrics_in(query):
    """Returns the names of the metrics in a query."""
    return set(re.findall(r"\b[a-zA-Z_]\w*", NO_METRIC.sub(" ", query))) - FUNCTIONS


class Prometheus:
    """A Prometheus with the tracked configuration, but with shorter intervals and the addresses of the services."""

    def __init__(self, directory, services):
        configuration = (FILES / "prometheus.yml").read_text()
        for old, new in [
            *((f"{service.name}:8000", service.address) for service in services),
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

    def query(self, query):
        """Returns the samples of a query; none while Prometheus is starting."""
        status, text = send(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        if status in (0, 503):
            return []
        assert status == 200, f"{query}: {text}"
        return json.loads(text)["data"]["result"]


class Observability(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.services, urls = {}, {}
        for name in SERVICES:
            service = Service(name, create_database(name), directory, urls)
            cls.addClassCleanup(service.stop)
            cls.services[name], urls[name] = service, service.url
            if name == "payment-provider":
                # Optional for payment-service, because Stripe can take its place.
                cls.enterClassContext(mock.patch.dict(os.environ, {"PAYMENT_PROVIDER_URL": service.url}))
        cls.users, cls.orders = cls.services["user-service"], cls.services["order-service"]
        cls.prometheus = Prometheus(directory, cls.services.values())
        cls.addClassCleanup(cls.prometheus.stop)

    def place_order(self):
        return send(self.orders.url + "/api/v1/orders", {"user_id": 1, "product_id": 456, "quantity": 2})[0]

    def until(self, query, holds, meanwhile=lambda: None):
        """Waits until the condition holds for the samples of a query."""
        end = time.monotonic() + TIMEOUT_S
        while not holds(samples := self.prometheus.query(query)):
            self.assertLess(time.monotonic(), end, f"{query} returns {samples}")
            meanwhile()
            time.sleep(0.1)

    def list_orders(self):
        return send(self.orders.url + "/api/v1/orders")[0]

    def lock_orders(self, then):
        """Locks the table of the orders in a session of its own, and ends with the statement `then`."""
        command = ["psql", "-qAth", os.environ["TEST_POSTGRES_SOCKET_DIRECTORY"], "-U", "postgres", "order-service"]
        session = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        session.stdin.write("BEGIN; LOCK TABLE orders; SELECT 'locked';\n")
        session.stdin.flush()
        self.assertEqual(session.stdout.readline(), "locked\n")
        session.stdin.write(then)
        session.stdin.flush()
        return session

    def test_1_every_queried_metric_exists(self):
        send(self.users.url + "/api/v1/users", {"email": "user@example.com", "name": "John Doe"})
        self.assertEqual(self.place_order(), 201)
        texts = "".join(send(service.url + "/metrics")[1] for service in self.services.values())
        existing = {re.match(r"\w+", line)[0] for line in texts.splitlines() if not line.startswith("#")}
        rules = re.findall(r"expr: (?:\|\n)?((?:.|\n)*?)\n +(?:for|labels):", (FILES / "alerts.yml").read_text())
        self.assertEqual(len(rules), 22)
        for query in [query for _, query in queries()] + rules:
            self.assertTrue(metrics_in(query), query)
            self.assertLessEqual(metrics_in(query), existing | BUILT_IN | OF_BROKER, query)

    def test_2_the_runbook_has_a_section_for_every_alert(self):
        headings = re.findall(r"^### (\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
        anchors = {f"docs/operations.md#{heading.lower()}" for heading in headings}
        alerts = (FILES / "alerts.yml").read_text()
        runbooks = re.findall(r"runbook: (.*)", alerts)
        self.assertEqual(len(runbooks), alerts.count("- alert:"))
        self.assertLessEqual(set(runbooks), anchors)
        # The runbook names only panels that exist.
        for panel in re.findall(r'panel "([^"]+)"', (ROOT / "docs/operations.md").read_text()):
            self.assertIn(panel, {title for title, _ in queries()})

    def test_3_a_slow_database_is_visible(self):
        def slow():
            with self.lock_orders("SELECT pg_sleep(0.3); COMMIT;\n") as session:
                self.list_orders()
                session.communicate()

        duration = dict(queries())["Duration of database operations, 99%"]
        of_orders = lambda samples: [float(s["value"][1]) for s in samples if s["metric"]["job"] == "order-service"]
        self.until(duration, lambda samples: any(seconds > 0.25 for seconds in of_orders(samples)), slow)
        # Nobody waits for a connection.
        failed = self.prometheus.query(dict(queries())["Failed database operations"])
        self.assertNotIn("pool_timeout", [s["metric"]["outcome"] for s in failed if float(s["value"][1]) > 0])

    def test_4_a_full_pool_is_visible(self):
        used, limit = [query for title, query in queries() if title == "Connections in use"]
        failed = dict(queries())["Failed database operations"]
        full = f'({used}) == ({limit})'
        is_orders = lambda samples: any(s["metric"]["job"] == "order-service" for s in samples)
        of_pool = lambda sample: sample["metric"]["outcome"] == "pool_timeout" and float(sample["value"][1]) > 0
        timed_out = lambda samples: is_orders(filter(of_pool, samples))
        with ThreadPoolExecutor(MANY) as clients, self.lock_orders("") as session:
            many = lambda: list(clients.map(lambda _: self.list_orders(), range(MANY)))
            self.until(full, is_orders, many)
            self.until(failed, timed_out, many)
            session.communicate("COMMIT;\n")
        self.until(full, lambda samples: not is_orders(samples))

    def test_5_a_payment_without_an_outcome_is_visible(self):
        waiting, oldest = [query for title, query in queries() if title == "Payment calls that wait"]
        by_outcome = dict(queries())["Payment calls by outcome"]
        duration = dict(queries())["Duration of payment calls, 99%"]
        of_charges = lambda samples: [float(s["value"][1]) for s in samples if s["metric"]["call"] == "charge"]
        unknown = lambda sample: (sample["metric"]["call"], sample["metric"]["outcome"]) == ("charge", "unknown")
        failed = lambda sample: sample["metric"]["outcome"] == "unavailable" and float(sample["value"][1]) > 0
        provider = self.services["payment-provider"]
        provider.stop()
        amount = {"amount": 1998, "currency": "EUR"}
        payment = {"order_id": 1, "user_id": 1, "amount": amount, "payment_method": "tok_ok"}
        self.assertEqual(send(self.services["payment-service"].url + "/api/v1/payments", payment)[0], 201)
        self.until(waiting, lambda samples: of_charges(samples) == [1])
        self.until(oldest, lambda samples: any(seconds > 0 for seconds in of_charges(samples)))
        self.until(by_outcome, lambda samples: any(float(s["value"][1]) > 0 for s in samples if unknown(s)))
        self.until(duration, lambda samples: any(map(failed, samples)))
        provider.start()
        self.until(waiting, lambda samples: of_charges(samples) == [0])

    def test_6_an_outage_is_visible_and_every_query_has_samples(self):
        count = str(len(SERVICES))
        up = f'sum(up{{job=~"{EVERY_SERVICE}"}})'
        self.until(up, lambda samples: samples and samples[0]["value"][1] == count, self.place_order)
        self.users.stop()

        errors = dict(queries())["Errors by code"]
        seen = lambda samples: any(s["metric"]["error_code"] == "user_service_unavailable" for s in samples)
        self.until(errors, seen, self.place_order)
        is_open = lambda samples: samples and samples[0]["value"][1] == "1"
        self.until('dependency_circuit_open{job="order-service", dependency="user-service"}', is_open, self.place_order)
        self.until('up{job="user-service"}', lambda samples: samples and samples[0]["value"][1] == "0")
        for title, query in queries():
            if not metrics_in(query).isdisjoint(OF_BROKER):
                continue
            with self.subTest(title):
                self.until(query, bool, lambda: (self.place_order(), send(self.orders.url + "/api/v1/orders/999999")))
        pending = lambda samples: {"ServiceDown", "DependencyFails"} <= {s["metric"]["alertname"] for s in samples}
        self.until("ALERTS", pending)


if __name__ == "__main__":
    unittest.main(verbosity=2)
