"""Runs localstripe, and asks it what it has."""

import json
import subprocess
import sys
import urllib.parse
import urllib.request

from service_process import OPENER, TIMEOUT_S

# Serves on a free port, which it prints. localstripe's own command writes its objects into a file that all share.
SERVE = """
import socket
from aiohttp import web
from localstripe.resources import store
from localstripe.server import app
store.dump_to_disk = lambda: None
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(app, sock=listener, print=None)
"""


class LocalStripe:
    """A Stripe without money, on a free port of 127.0.0.1. It knows no `Idempotency-Key`."""

    def __init__(self):
        command = [sys.executable, "-c", SERVE]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def stop(self):
        self.process.kill()
        self.process.wait(TIMEOUT_S)
        self.process.stdout.close()

    def ask(self, path, form=None):
        """Sends a GET, or a POST with a form, and returns what is answered."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": "Bearer sk_test_of_the_tests"})
        with OPENER.open(request, timeout=TIMEOUT_S) as response:
            text = response.read()
        return json.loads(text) if text else None

    def all(self, objects, **query):
        """All objects of a kind that match."""
        query = urllib.parse.urlencode({"limit": 100} | query)
        page = self.ask(f"/v1/{objects}?{query}")
        assert not page["has_more"], page
        return page["data"]

    def intents(self, order):
        """The PaymentIntents of an order, those that succeeded first."""
        found = [intent for intent in self.all("payment_intents") if intent["metadata"]["order_id"] == str(order)]
        return sorted(found, key=lambda intent: intent["status"] != "succeeded")

    def card(self, number):
        """The id of a payment method with a card of this number."""
        form = {"type": "card", "card[number]": number, "card[exp_month]": 12, "card[exp_year]": 2030, "card[cvc]": 123}
        return self.ask("/v1/payment_methods", form)["id"]

    def report_to(self, url, secret):
        """Has what happens reported to a URL a second later, signed with the secret."""
        self.ask("/_config/webhooks/test", {"url": url, "secret": secret})
