"""Runs the whole platform in one process, and acts as its clients."""

import base64
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "testing"))
from service_process import PROGRAMS, SERVICES, TIMEOUT_S, send, variable

# More than all tests order.
STOCK = 1_000_000
# What the address, the name or the phone number of every user contains, and nothing else in the platform does.
MARKS = (b"kanarie", b"canary", b"serinus", b"4915550909")


@dataclass(frozen=True)
class User:
    id: int
    email: str
    name: str
    phone: str


class AllInOne:
    """A running all-in-one with its files in a directory."""

    numbers = itertools.count(1)

    def __init__(self, directory, **settings):
        """Starts it; the settings are environment variables in lower case."""
        self.directory = Path(directory)
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.users = []
        self.settings = {}
        self.start(**settings)
        product = {"sku": "SEED-01", "name": "Sunflower seed", "category": "garden", "stock": STOCK}
        product["price"] = {"amount": 250, "currency": "EUR"}
        self.product = self.ask("product-service", "products", product, expected=201)["id"]

    def start(self, **settings):
        """Starts it, with the settings that it had before, but for these."""
        self.settings |= {name.upper(): value for name, value in settings.items()}
        environment = os.environ | self.settings | {"DATA_DIRECTORY": str(self.data), "DEMO": "false"}
        environment |= {variable(name, "LISTEN_ADDRESS"): "127.0.0.1:0" for name in SERVICES}
        log = open(self.log, "a")
        self.process = subprocess.Popen(
            PROGRAMS / "all-in-one", env=environment, cwd=self.directory, stdout=subprocess.PIPE, stderr=log, text=True
        )
        urls = {}
        for line in self.process.stdout:
            log.write(line)
            if (record := json.loads(line))["message"] == "serving":
                urls[record["service_name"]] = record["url"]
            if len(urls) == len(SERVICES):
                break
        else:
            raise RuntimeError(f"all-in-one did not start:\n{self.log.read_text()}")
        # At once: clients may be trying.
        self.urls = urls
        # A full pipe would block it.
        self.reader = threading.Thread(target=self.copy_output, args=[log], daemon=True)
        self.reader.start()

    def copy_output(self, log):
        with log, self.process.stdout:
            for line in self.process.stdout:
                log.write(line)
                log.flush()

    def stop(self, how=signal.SIGINT):
        """Stops it, unless it has stopped."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(TIMEOUT_S)
        self.reader.join()
        return code

    def restart(self, **settings):
        self.stop()
        self.start(**settings)

    def records(self, message):
        """The records of the log with a message."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [record for record in map(json.loads, lines) if record["message"] == message]

    def ask(self, service, path, body=None, method=None, expected=200):
        """Sends a request to a service, and returns the JSON of the response with the expected status."""
        status, text = send(f"{self.urls[service]}/api/v1/{path}", body, method)
        assert status == expected, (path, status, text)
        return json.loads(text) if text else None

    def create_user(self, name=None, email=None):
        """Creates a user whose address, name and phone number appear nowhere else."""
        number = next(self.numbers)
        email = email or f"kanarie{number}@canary{number}.example"
        name = name or f"Serinus Canaria {number}"
        user = self.ask("user-service", "users", {"email": email, "name": name}, expected=201)
        self.users.append(User(user["id"], email, name, f"+4915550909{number:04}"))
        return self.users[-1]

    def set_contact(self, user, channels=("email",), language="en"):
        contact = {"phone": user.phone, "language": language, "channels": list(channels)}
        self.ask("user-service", f"users/{user.id}/contact", contact, "PUT")

    def delete_user(self, user):
        self.ask("user-service", f"users/{user.id}", method="DELETE", expected=204)

    def place_order(self, user, payment_method="tok_hang"):
        """Places an order. Without another payment method it is never paid, so that there is no message but those about what
        is done to it."""
        order = {"user_id": user.id, "items": [{"product_id": self.product, "quantity": 2}]}
        order["payment_method"] = payment_method
        return self.ask("order-service", "orders", order, expected=201)["order_id"]

    def set_status(self, order, status):
        self.ask("order-service", f"orders/{order}/status", {"status": status}, "PUT")

    def confirmed_order(self, user):
        order = self.place_order(user)
        self.set_status(order, "confirmed")
        return order

    def notifications(self, **query):
        """All notifications that match, from the oldest to the newest."""
        items = []
        while True:
            page = self.ask("notification-service", f"notifications?{urllib.parse.urlencode(query)}")
            items += page["items"]
            if "next_page" not in page:
                return items[::-1]
            query = {"page_token": page["next_page"]}

    def notification(self, user, event_type="user.registered", channel="email"):
        """The only notification of a user of an event type on a channel; `None` before there is one."""
        found = [
            row
            for row in self.notifications(user_id=user.id)
            if (row["event_type"], row["channel"]) == (event_type, channel)
        ]
        assert len(found) < 2, found
        return found[0] if found else None

    def metrics(self):
        return {name: send(f"{url}/metrics")[1] for name, url in self.urls.items()}

    def files(self):
        """All files that it has written, by name, with their bytes."""
        return {path.name: path.read_bytes() for path in self.directory.rglob("*") if path.is_file()}


def marked(texts):
    """The names of those texts that have a mark of a user."""
    return {name for name, text in texts.items() if any(mark in text.lower() for mark in MARKS)}


def forms_of(secret):
    """The secret as it may appear in a text: as it is, in a URL, in a form, in JSON, and in base64 at any offset."""
    forms = {secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret), json.dumps(secret)[1:-1]}
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret.encode()).decode()
        # Without the characters that depend on what is before and after.
        forms.add(encoded[4 if offset else 0 : -4])
    return [form.encode() for form in forms if len(form) > 6]
