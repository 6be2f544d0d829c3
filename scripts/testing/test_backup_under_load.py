"""Backs up and restores every database while the services take orders, on SQLite and on PostgreSQL."""

import json
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from service_process import ROOT, TIMEOUT_S, Service, create_database, send, soon

WRITERS = 8
# How many orders are acknowledged before the backup begins.
ORDERS = 300
# In the order of the backups: an order whose user is created between the two is then never without it.
SERVICES = ("order-service", "user-service")


class Platform:
    """A user-service and an order-service."""

    def __init__(self, databases, directory):
        users = Service("user-service", databases["user-service"], directory)
        orders = Service("order-service", databases["order-service"], directory, {"user-service": users.url})
        # Callers stop before the services that they call.
        self.services = {"order-service": orders, "user-service": users}

    def stop(self):
        for service in self.services.values():
            service.stop()

    def create_user(self, name):
        return self.create("user-service", "users", {"email": f"{name}@example.com", "name": name})["id"]

    def place_order(self, user, product):
        order = {"user_id": user, "product_id": product, "quantity": 2}
        return self.create("order-service", "orders", order)["order_id"]

    def create(self, service, collection, body):
        status, text = send(f"{self.services[service].url}/api/v1/{collection}", body)
        assert status == 201, (status, text)
        return json.loads(text)

    def read(self, service, collection):
        """Everything in a collection, by id."""
        address = f"{self.services[service].url}/api/v1/{collection}"
        items, query = {}, "?limit=100"
        while query:
            status, text = send(address + query)
            assert status == 200, (status, text)
            page = json.loads(text)
            items |= {item["id"]: item for item in page["items"]}
            query = page.get("next_page") and f"?page_token={page['next_page']}"
        return items


class Load:
    """Writers that place orders for a user until they are stopped."""

    def __init__(self, platform, user):
        self.acknowledged = {}
        self.stopped = threading.Event()
        self.failures = []
        self.threads = [threading.Thread(target=self.write, args=[platform, user, number]) for number in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def write(self, platform, user, number):
        product = number
        try:
            while not self.stopped.is_set():
                product += WRITERS
                self.acknowledged[platform.place_order(user, product)] = product
        except Exception as failure:
            self.failures.append(failure)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


class BackupUnderLoad(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_no_acknowledged_order_is_missing_on_sqlite(self):
        self.round_trip(lambda name: f"sqlite:{self.folder}/{name}.db")

    def test_no_acknowledged_order_is_missing_on_postgres(self):
        self.round_trip(create_database)

    def round_trip(self, database):
        original = {name: database(f"{name}-original") for name in SERVICES}
        platform = self.start(original)
        user = platform.create_user("ada")
        load = Load(platform, user)
        self.addCleanup(load.stop)
        self.assertTrue(soon(lambda: len(load.acknowledged) >= ORDERS or load.failures), len(load.acknowledged))
        before = dict(load.acknowledged)
        for name in SERVICES:
            self.run_script("backup", original[name], self.folder / f"{name}.backup")
        during = len(load.acknowledged) - len(before)
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertGreater(during, 0, "the backups were not made under load")

        restored = {name: database(f"{name}-restored") for name in SERVICES}
        for name in SERVICES:
            self.run_script("restore", self.folder / f"{name}.backup", restored[name])
        copy = self.start(restored)
        orders, copied = platform.read("order-service", "orders"), copy.read("order-service", "orders")
        self.assertEqual({id: orders[id]["product_id"] for id in load.acknowledged}, load.acknowledged)
        self.assertEqual(before.keys() - copied.keys(), set())
        self.assertEqual(copied, {id: orders[id] for id in copied})
        self.assertEqual(copy.read("user-service", "users"), platform.read("user-service", "users"))
        # The copy gives out new ids.
        self.assertGreater(copy.place_order(user, 1), max(copied))
        self.assertGreater(copy.create_user("grace"), user)

        # A database with data is left alone.
        for name in SERVICES:
            self.run_script("restore", self.folder / f"{name}.backup", restored[name], code=1)
        self.assertEqual(len(copy.read("order-service", "orders")), len(copied) + 1)

    def start(self, databases):
        platform = Platform(databases, self.folder)
        self.addCleanup(platform.stop)
        return platform

    def run_script(self, name, *arguments, code=0):
        ended = subprocess.run([ROOT / "scripts" / name, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S)
        self.assertEqual(ended.returncode, code, ended.stderr)


if __name__ == "__main__":
    unittest.main()
