"""Cuts the power under order-service and its SQLite file again and again: no acknowledged order may be lost."""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "testing"))
from service_process import Service, send, soon

VOLATILE = Path(__file__).with_name("volatile.py")
WRITERS = 4
# The longest time between a start and the next power cut.
MAX_SECONDS = 1.0


class Disk:
    """A mounted disk that loses at a power cut what was not synced."""

    def __init__(self, directory):
        self.path = Path(directory)
        self.process = subprocess.Popen([sys.executable, VOLATILE, directory])
        if not soon(lambda: os.path.ismount(directory)):
            raise RuntimeError("the file system cannot be mounted")

    def cut(self, seed):
        (self.path / ".cut").write_text(str(seed))

    def unmount(self):
        subprocess.run(["umount", self.path], check=True)
        self.process.wait()


def check(disk):
    """Makes sure that a cut loses what was not synced, and nothing else."""
    synced, unsynced = disk.path / "synced", disk.path / "unsynced"
    with synced.open("wb") as file:
        file.write(bytes(100_000))
        os.fsync(file.fileno())
    unsynced.write_bytes(b"x" * 100_000)
    disk.cut(1)
    assert synced.read_bytes() == bytes(100_000)
    assert unsynced.read_bytes().count(b"x") < 100_000
    synced.unlink()
    unsynced.unlink()


class Writers:
    """Clients that place orders until their service dies, and remember what was acknowledged."""

    def __init__(self, url, user_id, numbers):
        self.acknowledged = {}
        self.threads = [threading.Thread(target=self.write, args=[url, user_id, numbers]) for _ in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def write(self, url, user_id, numbers):
        while True:
            product_id = next(numbers)
            status, text = send(url, {"user_id": user_id, "product_id": product_id, "quantity": 1})
            if status == 201:
                self.acknowledged[json.loads(text)["order_id"]] = product_id
            elif status == 0:
                return

    def join(self):
        for thread in self.threads:
            thread.join()


def stored(url):
    """Returns the product of each stored order."""
    orders, token = {}, ""
    while token is not None:
        status, text = send(f"{url}?limit=1000{token and f'&page_token={token}'}")
        assert status == 200, text
        page = json.loads(text)
        orders |= {order["id"]: order["product_id"] for order in page["items"]}
        token = page.get("next_page")
    return orders


def run(cuts, seed, stack):
    chance = random.Random(seed)
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    disk = Disk(stack.enter_context(tempfile.TemporaryDirectory()))
    stack.callback(disk.unmount)
    check(disk)
    users = Service("user-service", f"sqlite:{disk.path}/users.db", directory)
    stack.callback(users.stop)
    orders = Service("order-service", f"sqlite:{disk.path}/orders.db", directory, {"user-service": users.url})
    stack.callback(orders.stop)
    status, text = send(users.url + "/api/v1/users", {"email": "user@example.com", "name": "John Doe"})
    assert status == 201, text
    url, user_id = orders.url + "/api/v1/orders", json.loads(text)["id"]
    acknowledged, numbers = {}, iter(range(1, 1 << 30))
    for cut in range(1, cuts + 1):
        writers = Writers(url, user_id, numbers)
        time.sleep(chance.uniform(0, MAX_SECONDS))
        for service in (orders, users):
            service.stop(signal.SIGKILL)
        writers.join()
        disk.cut(chance.randrange(1 << 30))
        users.start()
        orders.start()
        acknowledged |= writers.acknowledged
        found = stored(url)
        lost = [order for order, product in acknowledged.items() if found.get(order) != product]
        print(f"cut {cut}: {len(acknowledged)} orders acknowledged, {len(found)} stored, {len(lost)} lost", flush=True)
        if lost:
            return 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/power-cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=100, help="how often the power is cut [default: 100]")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30), help="repeats the choices of a run")
    arguments = parser.parse_args()
    print(f"--seed {arguments.seed}")
    with ExitStack() as stack:
        sys.exit(run(arguments.cuts, arguments.seed, stack))
