"""What every client must be able to do. The clients of other languages run the same steps in the same order."""

import uuid

# An id that is not in use.
UNKNOWN = 999999999999
# A list that has more pages than this does not end.
MAX_PAGES = 1000


class Refused(Exception):
    """The service answered with an error."""

    def __init__(self, status, error_code):
        super().__init__(f"{status} {error_code}")
        self.status = status
        self.error_code = error_code


def run(client):
    """Runs the scenario with a client, which raises Refused for each error of a service."""
    run_id = uuid.uuid4()
    emails = [f"{number}-{run_id}@example.com" for number in range(5)]
    users = [client.create_user(email, "Ada Lovelace", key=f"user-{email}") for email in emails]
    ada = users[0]
    repeated = client.create_user(emails[0], "Ada Lovelace", key=f"user-{emails[0]}")
    expect("a repeated key creates no user", repeated, ada)
    expect("a user is read", client.user(ada), (emails[0], "Ada Lovelace"))
    expect("a user is replaced", client.replace_user(ada, emails[0], "Ada King"), (emails[0], "Ada King"))
    expect("a taken address is refused", refusal(client.create_user, emails[1], "Grace"), (409, "email_taken"))
    expect_in_pages("the list of users", client.users, users)

    orders = [client.create_order(ada, 456, 2, key=f"order-{number}-{run_id}") for number in range(5)]
    first = orders[0]
    expect("a repeated key places no order", client.create_order(ada, 456, 2, key=f"order-0-{run_id}"), first)
    expect("an order starts as created", client.order_status(first), "created")
    expect("a status is changed", client.set_status(first, "confirmed"), "confirmed")
    expect("an order is cancelled", client.cancel(first), "cancelled")
    expect("a cancelled order stays so", refusal(client.set_status, first, "completed"), (409, "invalid_transition"))
    expect("an order is refused to an unknown user", refusal(client.create_order, UNKNOWN, 456, 2),
           (404, "user_not_found"))
    found = expect_in_pages("the orders of a user", client.orders, orders, user_id=ada)
    expect("a filter finds nothing else", sorted(found), sorted(orders))
    expect("an unknown order is not found", refusal(client.order_status, UNKNOWN), (404, "order_not_found"))

    for user in users:
        client.delete_user(user)
    expect("a deleted user is not found", refusal(client.user, ada), (404, "user_not_found"))


def expect(what, actual, expected):
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, not {actual!r}")


def refusal(call, *arguments):
    """The status and the error code with which a call is refused."""
    try:
        return f"success {call(*arguments)!r}"
    except Refused as refused:
        return refused.status, refused.error_code


def expect_in_pages(what, list_page, created, **filters):
    """Reads a list two items a page, and expects everything that was created in it. Returns the ids on all pages."""
    items, following = list_page(limit=2, **filters)
    ids, pages = list(items), 1
    while following is not None:
        expect(f"{what}: a page that is not the last is full", len(items), 2)
        # The token contains the filters and the page size.
        items, following = list_page(page_token=following)
        ids += items
        pages += 1
        expect(f"{what} ends", pages <= MAX_PAGES, True)
    expect(f"{what}: the last page is no longer than the others", len(items) <= 2, True)
    expect(f"{what} has no id twice", len(set(ids)), len(ids))
    expect(f"{what} has everything", set(created) - set(ids), set())
    return ids
