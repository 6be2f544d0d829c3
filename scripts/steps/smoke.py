"""scripts/smoke: tries running services.

Checks that every service of services/platform.toml is alive, ready and strict about its contract, and runs the scenario
that SCENARIOS has for it. A scenario may use what those of earlier services created.
"""

import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

USAGE = "Usage: scripts/smoke [SERVICE=URL]…, each URL http://HOST:PORT; default ports: services/platform.toml"
# The name and the port of every service. Read without tomllib: this also runs where Python is older than 3.11.
PORTS = re.findall(r'(?m)^name = "(.+)"\nport = (\d+)$',
                   (Path(__file__).resolve().parents[2] / "services/platform.toml").read_text())
# An id that is not in use.
UNKNOWN = 999999999999
JSON = "application/json"


class Unreachable(Exception):
    pass


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.text = body.decode(errors="replace")
        try:
            self.json = json.loads(self.text)
        except ValueError:
            self.json = None

    def __getitem__(self, path):
        """The field at `path`, such as info.title or items.0.id; None if there is none."""
        value = self.json
        for name in path.split("."):
            try:
                value = value[int(name)] if isinstance(value, list) else value[name]
            except (IndexError, KeyError, TypeError, ValueError):
                return None
        return value


class Smoke:
    """Sends requests to the services at `urls`, and prints and counts what passed."""

    def __init__(self, urls, colours=False):
        self.urls = urls
        self.passed = self.failed = 0
        # Different for every run, so that runs on the same data do not collide.
        self.run = f"{int(time.time())}-{os.getpid()}"
        self.green, self.red, self.dim, self.bold, self.plain = (
            ("\033[32m", "\033[31m", "\033[2m", "\033[1m", "\033[0m") if colours else [""] * 5
        )
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirects)

    def send(self, service, method, path, body=None, content_type=JSON, **headers):
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        data = None if body is None else body.encode()
        request = urllib.request.Request(self.urls[service] + path, data, method=method)
        if data is not None:
            request.add_header("Content-Type", content_type)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with self.opener.open(request, timeout=15) as response:
                return Response(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, error.headers, error.read())
        except OSError as error:
            raise Unreachable(f"{service} does not answer at {self.urls[service]}: {error}") from None

    def check(self, name, response, expected, headers=None, /, **fields):
        """Passes if the response has this status, these headers and these fields."""
        problem = None if response.status == expected else f"expected {expected}"
        for header, value in (headers or {}).items():
            if problem is None and response.headers.get(header) != value:
                problem = f"expected {header}: {value}, not {response.headers.get(header)}"
        for field, value in fields.items():
            if problem is None and response[field] != value:
                problem = f'expected "{field}" to be {value!r}, not {response[field]!r}'
        if problem is None:
            self.passed += 1
            print(f"  {self.green}✓{self.plain} {name}")
        else:
            self.failed += 1
            print(f"  {self.red}✗ {name}{self.plain}")
            print(f"      {self.dim}{problem}; got {response.status} {response.text[:300]}{self.plain}")
        return response

    def every_service(self, service):
        self.check("is alive", self.send(service, "GET", "/health"), 200, status="ok")
        self.check("is ready", self.send(service, "GET", "/ready"), 200, status="ready")
        document = self.check("serves its contract", self.send(service, "GET", "/openapi.json"), 200,
                              **{"openapi": "3.0.3", "info.title": service.replace("-", " ").title()})
        self.check("serves its docs", self.send(service, "GET", "/docs"), 200)
        path = collection(document.json)
        if path is None:
            return
        refused = self.send(service, "POST", path, {"surplus": True})
        self.check("refuses a field that the contract does not have", refused, 400,
                   {"X-Request-Id": refused["request_id"] or "an id"}, error_code="invalid_request")
        self.check("refuses a body that is not JSON", self.send(service, "POST", path, "not JSON"), 400,
                   error_code="invalid_request")
        self.check("refuses another content type", self.send(service, "POST", path, "{}", "text/plain"), 415,
                   error_code="unsupported_media_type")

    def everything(self):
        for service in self.urls:
            self.send(service, "GET", "/health")
        known = {}
        for service, url in self.urls.items():
            print(f"\n{self.bold}{service}{self.plain} {self.dim}{url}{self.plain}")
            self.every_service(service)
            if service in SCENARIOS:
                SCENARIOS[service](self, known)
        if self.failed:
            print(f"\n{self.red}{self.bold}{self.failed} failed{self.plain}, {self.passed} passed")
        else:
            print(f"\n{self.green}{self.bold}All {self.passed} passed{self.plain}")
        return 1 if self.failed else 0


def collection(document):
    """The first path of the document that creates something; None if none does."""
    paths = (document or {}).get("paths", {})
    return next((path for path, operations in paths.items() if "post" in operations and "{" not in path), None)


def users(smoke, known):
    def send(method, path="", body=None, **headers):
        return smoke.send("user-service", method, f"/api/v1/users{path}", body, **headers)

    email = f"smoke-{smoke.run}@example.com"
    created = smoke.check("creates a user", send("POST", "", {"email": email, "name": "John Doe"}), 201, email=email,
                          name="John Doe")
    user = known["user"] = created["id"]
    smoke.check("says where the user is", created, 201, {"Location": f"/api/v1/users/{user}"})
    second = {"email": f"second-{email}", "name": "Second"}
    key = {"Idempotency_Key": f"user-{smoke.run}"}
    deleted = smoke.check("creates a second user, with an idempotency key", send("POST", "", second, **key), 201)["id"]
    known["deleted user"] = deleted
    smoke.check("replays the response to a retry with that key", send("POST", "", second, **key), 201, id=deleted)
    smoke.check("reads the user", send("GET", f"/{user}"), 200, id=user, email=email)
    smoke.check("refuses an e-mail address that is taken", send("POST", "", {"email": email, "name": "Jane Doe"}), 409,
                error_code="email_taken")
    smoke.check("refuses an invalid e-mail address", send("POST", "", {"email": "nobody", "name": "John Doe"}), 400,
                error_code="invalid_request")
    smoke.check("does not find an unknown user", send("GET", f"/{UNKNOWN}"), 404, error_code="user_not_found")
    smoke.check("replaces a user", send("PUT", f"/{user}", {"email": email, "name": "Jane Doe"}), 200, id=user,
                name="Jane Doe")
    page = smoke.check("lists users a page at a time", send("GET", "?limit=1"), 200)
    smoke.check("gives the next page", send("GET", f"?limit=1&page_token={page['next_page']}"), 200)
    smoke.check("deletes a user", send("DELETE", f"/{deleted}"), 204)
    smoke.check("does not find a deleted user", send("GET", f"/{deleted}"), 404, error_code="user_not_found")


def products(smoke, known):
    def send(method, path="", body=None, **headers):
        return smoke.send("product-service", method, f"/api/v1/products{path}", body, **headers)

    new = {"sku": f"SMOKE-{smoke.run}".upper(), "name": "Blue mug", "category": "kitchen",
           "price": {"amount": 1998, "currency": "EUR"}, "stock": 10}
    created = smoke.check("creates a product", send("POST", "", new), 201, name="Blue mug", stock=10)
    product = known["product"] = created["id"]
    smoke.check("reads the product", send("GET", f"/{product}"), 200, id=product)
    smoke.check("refuses a code that is taken", send("POST", "", new), 409, error_code="sku_taken")
    smoke.check("does not find an unknown product", send("GET", f"/{UNKNOWN}"), 404, error_code="product_not_found")


def orders(smoke, known):
    def send(method, path="", body=None, **headers):
        return smoke.send("order-service", method, f"/api/v1/orders{path}", body, **headers)

    user = known["user"]
    new = {"user_id": user, "product_id": known["product"], "quantity": 2}
    created = smoke.check("places an order of a user", send("POST", "", new), 201, status="created")
    order = created["order_id"]
    smoke.check("says where the order is", created, 201, {"Location": f"/api/v1/orders/{order}"})
    # It may be paid by now.
    smoke.check("reads the order", send("GET", f"/{order}"), 200, id=order, **new)
    for which, unknown in (("an unknown", UNKNOWN), ("a deleted", known["deleted user"])):
        smoke.check(f"refuses an order of {which} user", send("POST", "", {**new, "user_id": unknown}), 404,
                    error_code="user_not_found")
    smoke.check("refuses a quantity of zero", send("POST", "", {**new, "quantity": 0}), 400,
                error_code="invalid_request")
    smoke.check("does not find an unknown order", send("GET", f"/{UNKNOWN}"), 404, error_code="order_not_found")
    smoke.check("confirms an order", send("PUT", f"/{order}/status", {"status": "confirmed"}), 200, status="confirmed")
    smoke.check("cancels an order", send("POST", f"/{order}/cancel"), 200, status="cancelled")
    smoke.check("accepts that it is cancelled again", send("POST", f"/{order}/cancel"), 200, status="cancelled")
    smoke.check("does not complete a cancelled order", send("PUT", f"/{order}/status", {"status": "completed"}), 409,
                error_code="invalid_transition")
    smoke.check("refuses more than there is in stock", send("POST", "", {**new, "quantity": 1000}), 409,
                error_code="insufficient_stock")
    another = {"user_id": user, "items": [{"product_id": known["product"], "quantity": 1}]}
    key = {"Idempotency_Key": f"order-{smoke.run}"}
    second = smoke.check("places another order, with an idempotency key", send("POST", "", another, **key),
                         201)["order_id"]
    replayed = smoke.check("places it once, although retried with that key", send("POST", "", another, **key), 201,
                           order_id=second)
    smoke.check("says that the response is replayed", replayed, 201, {"Idempotency-Replayed": "true"})
    smoke.check("refuses another order with that key", send("POST", "", {**another, "payment_method": "tok_ok"}, **key), 422,
                error_code="idempotency_key_reused")
    page = smoke.check("lists the orders of a user, newest first", send("GET", f"?user_id={user}&limit=1"), 200,
                       **{"items.0.id": second, "items.0.user_id": user})
    smoke.check("gives the order before it", send("GET", f"?page_token={page['next_page']}"), 200,
                **{"items.0.id": order})


SCENARIOS = {"user-service": users, "product-service": products, "order-service": orders}


def urls(arguments):
    """The URL of each service, by name."""
    found = {name: f"http://127.0.0.1:{port}" for name, port in PORTS}
    for argument in arguments:
        name, _, url = argument.partition("=")
        if name not in found or not url.startswith(("http://", "https://")):
            raise ValueError(argument)
        found[name] = url.rstrip("/")
    return found


def main(arguments):
    try:
        found = urls(arguments)
    except ValueError:
        print(USAGE, file=sys.stderr)
        return 2
    forced, forbidden = os.environ.get("FORCE_COLOR"), os.environ.get("NO_COLOR")
    try:
        return Smoke(found, bool(forced or (sys.stdout.isatty() and not forbidden))).everything()
    except Unreachable as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
