"""Runs the scenario with the Python clients of openapi-generator."""

import json
import os

import order_service
import scenario
import user_service

USERS = user_service.UsersApi(user_service.ApiClient(user_service.Configuration(host=os.environ["USER_SERVICE_URL"])))
ORDERS = order_service.OrdersApi(
    order_service.ApiClient(order_service.Configuration(host=os.environ["ORDER_SERVICE_URL"]))
)


def call(operation, *arguments, key=None, **named):
    """Calls an operation, and raises Refused for an error of the service."""
    if key is not None:
        named["idempotency_key"] = key
    try:
        return operation(*arguments, **named)
    except (user_service.ApiException, order_service.ApiException) as error:
        raise scenario.Refused(error.status, json.loads(error.body)["error_code"]) from error


class Client:
    def create_user(self, email, name, key=None):
        return call(USERS.user_create, user_service.UserCreate(email=email, name=name), key=key).id

    def user(self, user):
        found = call(USERS.user_view, user)
        return found.email, found.name

    def replace_user(self, user, email, name):
        found = call(USERS.user_replace, user, user_service.UserReplace(email=email, name=name))
        return found.email, found.name

    def delete_user(self, user):
        call(USERS.user_delete, user)

    def users(self, **query):
        return page(call(USERS.user_list, **query))

    def create_order(self, user, product, quantity, key=None):
        body = order_service.OrderCreate(user_id=user, product_id=product, quantity=quantity)
        return call(ORDERS.order_create, body, key=key).order_id

    def order_status(self, order):
        return call(ORDERS.order_view, order).status.value

    def set_status(self, order, status):
        body = order_service.OrderStatusUpdate(status=order_service.OrderStatus(status))
        return call(ORDERS.order_set_status, order, body).status.value

    def cancel(self, order):
        return call(ORDERS.order_cancel, order).status.value

    def orders(self, **query):
        return page(call(ORDERS.order_list, **query))


def page(found):
    return [item.id for item in found.items], found.next_page


scenario.run(Client())
