"""Runs the scenario with plain HTTP requests, for tools that look at requests and responses on their way."""

import os

import requests

import scenario


def url(service):
    """The URL of a service, from its variable."""
    return os.environ[f"{service.replace('-', '_').upper()}_URL"]


class Plain:
    """A client without generated code. Calls `inspect` with each service's name and response."""

    def __init__(self, inspect):
        self.inspect = inspect
        self.session = requests.Session()
        # Without a proxy that the environment may name: everything is on this machine.
        self.session.trust_env = False

    def send(self, service, method, path, body=None, key=None, **query):
        headers = {} if key is None else {"Idempotency-Key": key}
        response = self.session.request(
            method, f"{url(service)}{path}", params=query, json=body, headers=headers, timeout=60
        )
        self.inspect(service, response)
        if not response.ok:
            raise scenario.Refused(response.status_code, response.json()["error_code"])
        return response.json() if response.content else None

    def users_path(self, user=None):
        return "/api/v1/users" if user is None else f"/api/v1/users/{user}"

    def create_user(self, email, name, key=None):
        body = {"email": email, "name": name}
        return self.send("user-service", "POST", self.users_path(), body, key)["id"]

    def user(self, user):
        found = self.send("user-service", "GET", self.users_path(user))
        return found["email"], found["name"]

    def replace_user(self, user, email, name):
        found = self.send("user-service", "PUT", self.users_path(user), {"email": email, "name": name})
        return found["email"], found["name"]

    def delete_user(self, user):
        self.send("user-service", "DELETE", self.users_path(user))

    def users(self, **query):
        page = self.send("user-service", "GET", self.users_path(), **query)
        return [user["id"] for user in page["items"]], page.get("next_page")

    def create_order(self, user, product, quantity, key=None):
        body = {"user_id": user, "product_id": product, "quantity": quantity}
        return self.send("order-service", "POST", "/api/v1/orders", body, key)["order_id"]

    def order_status(self, order):
        return self.send("order-service", "GET", f"/api/v1/orders/{order}")["status"]

    def set_status(self, order, status):
        return self.send("order-service", "PUT", f"/api/v1/orders/{order}/status", {"status": status})["status"]

    def cancel(self, order):
        return self.send("order-service", "POST", f"/api/v1/orders/{order}/cancel")["status"]

    def orders(self, **query):
        page = self.send("order-service", "GET", "/api/v1/orders", **query)
        return [order["id"] for order in page["items"]], page.get("next_page")
