import io
import sys
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from services import ROOT

sys.path += [str(ROOT / "scripts/outside-tools"), str(ROOT / "scripts/outside-tools/python")]
import job
import run
import scenario
from tools import Tool


class Store:
    """A client of services that keep to the contract, in memory."""

    def __init__(self):
        self.created_users, self.created_orders, self.keys = {}, {}, {}

    def once(self, key, create):
        if key not in self.keys:
            made = create()
            if key is None:
                return made
            self.keys[key] = made
        return self.keys[key]

    def create_user(self, email, name, key=None):
        def create():
            if any(email == taken for taken, _ in self.created_users.values()):
                raise scenario.Refused(409, "email_taken")
            self.created_users[number := len(self.created_users) + 1] = (email, name)
            return number

        return self.once(key, create)

    def user(self, user):
        return found(self.created_users, user, "user_not_found")

    def replace_user(self, user, email, name):
        self.created_users[user] = (email, name)
        return email, name

    def delete_user(self, user):
        del self.created_users[user]

    def users(self, limit=None, page_token=None):
        return page(list(self.created_users), limit, page_token)

    def create_order(self, user, product, quantity, key=None):
        def create():
            self.user(user)
            self.created_orders[number := len(self.created_orders) + 1] = "created"
            return number

        return self.once(key, create)

    def order_status(self, order):
        return found(self.created_orders, order, "order_not_found")

    def set_status(self, order, status):
        if self.created_orders[order] == "cancelled":
            raise scenario.Refused(409, "invalid_transition")
        self.created_orders[order] = status
        return status

    def cancel(self, order):
        return self.set_status(order, "cancelled")

    def orders(self, limit=None, page_token=None, user_id=None):
        return page(list(self.created_orders), limit, page_token)


def found(entries, number, error_code):
    if number not in entries:
        raise scenario.Refused(404, error_code)
    return entries[number]


def page(ids, limit, token):
    after, limit = token or (0, limit)
    items = [number for number in ids if number > after][:limit]
    return items, (items[-1], limit) if items and items[-1] != ids[-1] else None


class ScenarioOfClients(unittest.TestCase):
    def fails(self, reason, **faults):
        client = Store()
        for name, fault in faults.items():
            setattr(client, name, fault)
        with self.assertRaisesRegex(AssertionError, reason):
            scenario.run(client)

    def test_a_right_client_passes(self):
        scenario.run(Store())

    def test_a_client_that_sends_a_default_limit_fails(self):
        users = list(range(1, 6))
        self.fails("no longer than the others", users=lambda limit=100, page_token=None:
                   page(users, limit, page_token and (page_token[0], limit)))

    def test_a_list_without_an_item_fails(self):
        self.fails("has everything", orders=lambda **query: ([1, 2], None))

    def test_a_list_that_repeats_an_item_fails(self):
        self.fails("no id twice", users=lambda limit=None, page_token=None: ([1, 2], None if page_token else 1))

    def test_a_client_that_sends_no_key_fails(self):
        client = Store()
        self.fails("places no order", create_order=lambda *order, key=None: client.create_order(1, *order[1:]),
                   create_user=client.create_user, user=client.user, replace_user=client.replace_user,
                   users=client.users)

    def test_an_error_without_its_code_fails(self):
        def status(order):
            if order == scenario.UNKNOWN:
                raise scenario.Refused(404, None)
            return "created"

        self.fails("unknown order is not found", order_status=status)


class Report(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(TemporaryDirectory())
        self.enterContext(patch.object(job, "OUTPUT", Path(folder)))

    def main(self, *arguments, **tools):
        with redirect_stdout(io.StringIO()) as out:
            code = run.main(arguments, {name: Tool("", ("python",), tool) for name, tool in tools.items()})
        return code, out.getvalue()

    def test_one_failing_tool_ends_with_1(self):
        code, out = self.main(good=lambda job: job.run("true"), bad=lambda job: job.run("sh", "-c", "echo why; exit 3"))
        self.assertEqual(code, 1)
        self.assertRegex(out, r"good +passed +\d+\.\d s\nbad +FAILED +\d+\.\d s  sh ended with 3: why ")

    def test_a_missing_program_is_a_failure(self):
        self.assertEqual(self.main(bad=lambda job: job.run("no-such-program"))[0], 1)

    def test_a_tool_that_cannot_run_is_no_failure(self):
        def cannot(job_of_tool):
            raise job.NotRun("no JDK")

        code, out = self.main(one=cannot)
        self.assertEqual(code, 0)
        self.assertRegex(out, "one +NOT RUN .* no JDK")

    def test_only_the_named_tools_run(self):
        _, out = self.main("one", one=lambda job: None, two=lambda job: None)
        self.assertNotIn("two", out)

    def test_an_unknown_name_ends_with_2(self):
        with redirect_stderr(io.StringIO()) as err, self.assertRaises(SystemExit) as exit:
            self.main("three", one=lambda job: None)
        self.assertEqual(exit.exception.code, 2)
        self.assertIn("no tool three", err.getvalue())

    def test_a_server_is_used_once_it_listens(self):
        one = job.Job("one", (), job.Platform())
        with one.serving("listening on ", "sh", "-c", "echo listening on there; exec sleep 60") as url:
            self.assertEqual(url, "there")
        with self.assertRaisesRegex(job.Failed, "sh did not start"):
            with one.serving("listening on ", "sh", "-c", "exit 1"):
                pass
