"""Runs the scenario with the clients of openapi-python-client."""

import json
import os

import scenario
from order_service import Client as OrderClient
from order_service.api.orders import order_cancel, order_create, order_list, order_set_status, order_view
from order_service.models import OrderCreate, OrderStatus, OrderStatusUpdate
from user_service import Client as UserClient
from user_service.api.users import user_create, user_delete, user_list, user_replace, user_view
from user_service.models import UserCreate, UserReplace

USERS = UserClient(base_url=os.environ["USER_SERVICE_URL"], raise_on_unexpected_status=True)
ORDERS = OrderClient(base_url=os.environ["ORDER_SERVICE_URL"], raise_on_unexpected_status=True)


def parsed(response):
    """The body of a response as the client understands it."""
    if response.status_code >= 400:
        raise scenario.Refused(int(response.status_code), json.loads(response.content)["error_code"])
    return response.parsed


def with_key(key):
    return {} if key is None else {"idempotency_key": key}


class Client:
    def create_user(self, email, name, key=None):
        body = UserCreate(email=email, name=name)
        return parsed(user_create.sync_detailed(client=USERS, body=body, **with_key(key))).id

    def user(self, user):
        found = parsed(user_view.sync_detailed(user, client=USERS))
        return found.email, found.name

    def replace_user(self, user, email, name):
        found = parsed(user_replace.sync_detailed(user, client=USERS, body=UserReplace(email=email, name=name)))
        return found.email, found.name

    def delete_user(self, user):
        parsed(user_delete.sync_detailed(user, client=USERS))

    def users(self, **query):
        return page(user_list.sync_detailed(client=USERS, **query))

    def create_order(self, user, product, quantity, key=None):
        body = OrderCreate(user_id=user, product_id=product, quantity=quantity)
        return parsed(order_create.sync_detailed(client=ORDERS, body=body, **with_key(key))).order_id

    def order_status(self, order):
        return parsed(order_view.sync_detailed(order, client=ORDERS)).status.value

    def set_status(self, order, status):
        body = OrderStatusUpdate(status=OrderStatus(status))
        return parsed(order_set_status.sync_detailed(order, client=ORDERS, body=body)).status.value

    def cancel(self, order):
        return parsed(order_cancel.sync_detailed(order, client=ORDERS)).status.value

    def orders(self, **query):
        return page(order_list.sync_detailed(client=ORDERS, **query))


def page(response):
    found = parsed(response)
    # The client has a value of its own for what is absent, and it is false.
    return [item.id for item in found.items], found.next_page or None


scenario.run(Client())
