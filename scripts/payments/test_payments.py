"""Tests what payment-service does with Stripe, with the whole platform in one process and localstripe."""

import hashlib
import hmac
import json
import signal
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path += [str(SCRIPTS / "notifications"), str(SCRIPTS / "testing")]
from all_in_one import AllInOne, forms_of
from local_stripe import LocalStripe
from proxy import CONFIRM, OPEN, REFUND, Proxy
from service_process import OPENER, TIMEOUT_S, soon

KEY, WEBHOOK_SECRET = "sk_test_s3cretKeyOfTheAccount", "whsec_s3cretOfTheWebhook"
GOOD = "pm_card_visa"
# localstripe takes it, and declines each charge.
DECLINED = "pm_card_chargeCustomerFail"
# Its bank asks the customer to agree.
ASKS_CUSTOMER = "4000002500003155"
# Of an order of two seeds.
TOTAL = {"amount": 500, "currency": "EUR"}


class Test(unittest.TestCase):
    """A test with a platform that is paid through localstripe."""

    def until(self, condition, what=""):
        """Waits until the condition holds; `what` says what to print if it never does."""
        self.assertTrue(soon(condition), what() if callable(what) else what)

    def order(self, payment_method=None):
        order = {"user_id": self.user.id, "items": [{"product_id": self.platform.product, "quantity": 2}]}
        if payment_method:
            order["payment_method"] = payment_method
        return self.platform.ask("order-service", "orders", order, expected=201)["order_id"]

    def cancel(self, order):
        self.platform.ask("order-service", f"orders/{order}/cancel", method="POST")

    def payment(self, order):
        """The only payment of an order; `None` before there is one."""
        found = self.platform.ask("payment-service", f"payments?order_id={order}")["items"]
        self.assertLess(len(found), 2, found)
        return found[0] if found else None

    def wait_for(self, order, order_status, payment_status):
        """Waits until an order and its payment have these statuses, and returns both."""
        find = lambda: (self.platform.ask("order-service", f"orders/{order}"), self.payment(order))
        end = lambda: [row and row["status"] for row in find()] == [order_status, payment_status]
        self.until(end, lambda: (find(), self.stripe.intents(order)))
        return find()

    def wait_for_paid(self, order):
        return self.wait_for(order, "confirmed", "completed")[1]

    def assert_paid_once(self, order):
        """Exactly one intent of the order has succeeded, for its total; no other one ever can."""
        paid, *others = self.stripe.intents(order)
        self.assertEqual((paid["status"], paid["amount"], paid["currency"]), ("succeeded", 500, "eur"))
        self.assertEqual(paid["metadata"]["payment_id"], str(self.payment(order)["id"]))
        self.assertEqual({intent["status"] for intent in others} - {"requires_confirmation", "canceled"}, set())
        charges = [charge for charge in self.stripe.all("charges") if charge["payment_intent"] == paid["id"]]
        self.assertEqual([charge["status"] for charge in charges], ["succeeded"])
        return paid

    def assert_refunded_once(self, order):
        paid = self.assert_paid_once(order)
        refunds = self.stripe.all("refunds", payment_intent=paid["id"])
        self.assertEqual([(refund["amount"], refund["status"]) for refund in refunds], [(500, "succeeded")])

    def assert_charged_nothing(self, order):
        for intent in self.stripe.intents(order):
            self.assertIn(intent["status"], ("requires_payment_method", "canceled"), intent)

    @contextmanager
    def new_requests(self, path):
        """The requests to a path that come meanwhile."""
        before, found = len(self.proxy.asked(path)), []
        yield found
        found += self.proxy.asked(path)[before:]


class Together(Test):
    """Tests that share a platform."""

    @classmethod
    def setUpClass(cls):
        directory = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        secrets = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        (secrets / "webhook").write_text(WEBHOOK_SECRET + "\n")
        cls.stripe = LocalStripe()
        cls.addClassCleanup(cls.stripe.stop)
        cls.proxy = Proxy(cls.stripe.url)
        cls.addClassCleanup(cls.proxy.stop)
        cls.platform = AllInOne(
            directory,
            stripe_secret_key=KEY,
            stripe_webhook_secret_file=str(secrets / "webhook"),
            stripe_url=cls.proxy.url,
        )
        cls.addClassCleanup(lambda: cls.platform.stop(signal.SIGKILL))
        cls.user = cls.platform.create_user()

    @classmethod
    def tearDownClass(cls):
        # After all that the tests did to it.
        metrics = cls.platform.metrics()
        assert 'dependency="stripe"' in metrics["payment-service"], "the calls are not measured"
        cls.platform.stop()
        texts = cls.platform.files() | {f"metrics of {name}": text.encode() for name, text in metrics.items()}
        assert {"log", "payment-service.db"} <= set(texts), set(texts)
        forms = [form for secret in (KEY, WEBHOOK_SECRET) for form in forms_of(secret)]
        found = {name for name, text in texts.items() if any(form in text for form in forms)}
        assert not found, f"a secret is in {found}"

    def setUp(self):
        self.addCleanup(self.proxy.losses.clear)

    def test_an_order_is_paid_and_confirmed(self):
        with self.new_requests(OPEN) as opened, self.new_requests(CONFIRM) as confirmed:
            order = self.order(GOOD)
            payment = self.wait_for_paid(order)
        self.assertEqual(payment["amount"], TOTAL)
        intent = self.assert_paid_once(order)
        self.assertEqual((len(opened), len(confirmed)), (1, 1))
        self.assertEqual(opened[0].headers["idempotency-key"], intent["metadata"]["charge_id"])
        for request in opened + confirmed:
            self.assertEqual(request.headers["authorization"], f"Bearer {KEY}")
            self.assertRegex(request.headers["stripe-version"], r"^\d{4}-\d\d-\d\d\.[a-z]+$")

    def test_an_order_whose_card_is_declined_is_cancelled(self):
        # The last one has no payment method, and nobody is there to choose one.
        for method in (DECLINED, self.stripe.card(ASKS_CUSTOMER), "pm_unknown", "tok_ok", None):
            with self.subTest(method):
                order = self.order(method)
                cancelled, payment = self.wait_for(order, "cancelled", "failed")
                self.assertEqual(payment["failure_reason"], "declined")
                self.assertEqual(cancelled["cancellation_reason"], "payment_failed")
                self.assert_charged_nothing(order)

    def test_a_cancelled_order_is_refunded(self):
        order = self.order(GOOD)
        self.wait_for_paid(order)
        self.cancel(order)
        self.assertEqual(self.wait_for(order, "cancelled", "refunded")[1]["refunded"], TOTAL)
        self.assert_refunded_once(order)

    def test_parts_are_refunded(self):
        order = self.order(GOOD)
        payment = self.wait_for_paid(order)
        for part in (100, 150):
            amount = {"amount": {"amount": part, "currency": "EUR"}}
            path = f"payments/{payment['id']}/refunds"
            refund = self.platform.ask("payment-service", path, amount, expected=201)
            find = lambda: self.platform.ask("payment-service", f"{path}/{refund['id']}")
            self.until(lambda: find()["status"] == "completed", find)
        refunds = self.stripe.all("refunds", payment_intent=self.assert_paid_once(order)["id"])
        self.assertEqual(sorted(refund["amount"] for refund in refunds), [100, 150])

    def test_an_order_is_paid_once_although_answers_are_lost(self):
        for path in (OPEN, CONFIRM):
            for times in (1, 3):
                with self.subTest(path, times=times):
                    self.proxy.lose(path, times)
                    order = self.order(GOOD)
                    self.wait_for_paid(order)
                    self.assertEqual(self.proxy.losses[path], 0)
                    self.assert_paid_once(order)

    def test_a_declined_card_stays_declined_although_answers_are_lost(self):
        self.proxy.lose(CONFIRM, 2)
        order = self.order(DECLINED)
        self.wait_for(order, "cancelled", "failed")
        self.assertEqual(self.proxy.losses[CONFIRM], 0)
        self.assert_charged_nothing(order)

    def test_an_order_is_refunded_once_although_answers_are_lost(self):
        # localstripe would refund it again and again: each attempt but the first looks whether it is made.
        order = self.order(GOOD)
        self.wait_for_paid(order)
        with self.new_requests(REFUND) as asked:
            self.proxy.lose(REFUND, 1)
            self.cancel(order)
            self.wait_for(order, "cancelled", "refunded")
        self.assertEqual((self.proxy.losses[REFUND], len(asked)), (0, 1))
        self.assert_refunded_once(order)

    def test_what_was_paid_before_a_cancellation_is_refunded(self):
        # Whether the answer comes in time to be cancelled or not: the provider decides what came first.
        self.proxy.lose(CONFIRM, 3)
        order = self.order(GOOD)
        self.until(lambda: self.stripe.intents(order) and self.stripe.intents(order)[0]["status"] == "succeeded")
        self.cancel(order)
        self.wait_for(order, "cancelled", "refunded")
        self.assert_refunded_once(order)

    def test_an_order_that_is_cancelled_before_it_is_paid_is_never_paid(self):
        # The intent is made, and cannot be confirmed before the order is cancelled.
        gate = threading.Event()
        self.addCleanup(gate.set)
        self.proxy.on_loss = lambda request: gate.wait(TIMEOUT_S)
        self.addCleanup(setattr, self.proxy, "on_loss", lambda request: None)
        self.proxy.lose(OPEN, 1)
        order = self.order(GOOD)
        self.until(lambda: self.stripe.intents(order))
        self.cancel(order)
        _, payment = self.wait_for(order, "cancelled", "failed")
        gate.set()
        self.assertEqual(payment["failure_reason"], "order_cancelled")
        time.sleep(1)
        # The one whose answer came too late: nobody knows its name, so nobody confirms it.
        statuses = sorted(intent["status"] for intent in self.stripe.intents(order))
        self.assertEqual(statuses, ["canceled", "requires_confirmation"])

    def test_a_report_ends_a_long_wait(self):
        url = f"{self.platform.urls['payment-service']}/api/v1/stripe/events"
        taken = lambda: [
            record["status"]
            for record in self.platform.records("request completed")
            if record["path"] == "/api/v1/stripe/events"
        ]
        # Stripe's own report comes a second after the charge, and the program waits longer then.
        self.proxy.lose(CONFIRM, 7)
        before = len(taken())
        self.stripe.report_to(url, WEBHOOK_SECRET)
        order = self.order(GOOD)
        self.until(lambda: len(taken()) > before)
        self.assertEqual(taken()[before:], [204])
        self.stripe.report_to(url, "whsec_another")
        self.until(lambda: not self.proxy.losses[CONFIRM])
        time.sleep(1)
        self.assertEqual(self.payment(order)["status"], "pending")
        intent = self.stripe.intents(order)[0]
        event = {"type": "payment_intent.succeeded", "data": {"object": intent}}
        self.assertEqual(send_report(url, event, "whsec_another"), 400)
        self.assertEqual(send_report(url, event | {"type": "payment_intent.created"}, WEBHOOK_SECRET), 204)
        time.sleep(1)
        self.assertEqual(self.payment(order)["status"], "pending")
        self.assertEqual(send_report(url, event, WEBHOOK_SECRET), 204)
        reported_at = time.monotonic()
        self.wait_for_paid(order)
        self.assertLess(time.monotonic() - reported_at, 5)
        self.assert_paid_once(order)

    def test_a_platform_that_is_killed_while_it_is_paid_pays_once(self):
        for path in (OPEN, CONFIRM, REFUND):
            with self.subTest(path):
                killed = threading.Event()

                def kill(request):
                    self.platform.stop(signal.SIGKILL)
                    killed.set()

                order = self.order(GOOD) if path == REFUND else None
                if order:
                    self.wait_for_paid(order)
                self.proxy.on_loss = kill
                self.addCleanup(setattr, self.proxy, "on_loss", lambda request: None)
                self.proxy.lose(path, 1)
                if order:
                    self.cancel(order)
                else:
                    order = self.order(GOOD)
                self.assertTrue(killed.wait(TIMEOUT_S))
                self.platform.start()
                if path == REFUND:
                    self.wait_for(order, "cancelled", "refunded")
                    self.assert_refunded_once(order)
                else:
                    self.wait_for_paid(order)
                    self.assert_paid_once(order)

    def test_a_wrong_key_decides_nothing(self):
        # localstripe wants more than the beginning.
        self.platform.restart(stripe_secret_key="sk_1")
        order = self.order(GOOD)
        causes = lambda: [record["error"] for record in self.platform.records("outcome of a payment is unknown")]
        self.until(lambda: any(cause.startswith("status 401") for cause in causes()), causes)
        self.assertEqual(self.payment(order)["status"], "pending")
        self.platform.restart(stripe_secret_key=KEY)
        self.wait_for_paid(order)
        self.assert_paid_once(order)


def send_report(url, event, secret):
    """Sends an event as Stripe does, signed with the secret, and returns the status of the answer."""
    body, now = json.dumps(event).encode(), int(time.time())
    code = hmac.new(secret.encode(), b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
    request = urllib.request.Request(url, body, {"Stripe-Signature": f"t={now},v1={code}"})
    try:
        with OPENER.open(request, timeout=TIMEOUT_S) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


if __name__ == "__main__":
    unittest.main(verbosity=2)
