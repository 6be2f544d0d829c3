"""Tests what notification-service promises of its messages, with the whole platform in one process."""

import base64
import random
import signal
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

from all_in_one import AllInOne, forms_of, marked
from mail_server import CUT, LOSE, MailServer
from service_process import SERVICES, TIMEOUT_S, send, soon
from sms_provider import SmsProvider

FROM = "post@shop.example"
ACCOUNT, TOKEN = "AC17", "t0ken:with/characters"
# More than notification-service has under way on a channel at a time, before it knows them as slow.
MANY = 12
LOGIN = ("shop@mail.example", "r1ght: p@ss/wörd%")
ORDERS, KILLS, CLIENTS = 200, 5, 4


def quoted(text):
    return urllib.parse.quote(text, safe="")


def assert_names_nobody(platform):
    """Stops the platform, and makes sure that addresses, names and phone numbers of users are in no log, no metrics and
    no file but the database of user-service."""
    metrics = platform.metrics()
    assert all("http_server_requests_total" in text for text in metrics.values()), "metrics are missing"
    platform.stop()
    files = platform.files()
    assert {"log", "events.db", *(f"{name}.db" for name in SERVICES)} <= set(files), set(files)
    texts = files | {f"metrics of {name}": text.encode() for name, text in metrics.items()}
    # Found there, it would be found elsewhere.
    owners = {name for name in files if name.startswith("user-service.db")}
    assert "user-service.db" in marked(texts), "no user was created"
    assert marked(texts) <= owners, marked(texts) - owners


class Test(unittest.TestCase):
    """A test that may start platforms and mail servers of its own."""

    def start_mail_server(self, **settings):
        mail = MailServer(**settings)
        self.addCleanup(mail.stop)
        return mail

    def start_platform(self, smtp_url, **settings):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        platform = AllInOne(directory.name, smtp_url=smtp_url, smtp_from=f"Seeds & Songs <{FROM}>", **settings)
        self.addCleanup(lambda: platform.stop(signal.SIGKILL))
        return platform

    def until(self, condition, what=""):
        """Waits until the condition holds; `what` says what to print if it never does."""
        self.assertTrue(soon(condition), what() if callable(what) else what)

    def wait_for(self, platform, user, status, event_type="user.registered", channel="email"):
        """Waits until the notification has the status, and returns it."""
        find = lambda: platform.notification(user, event_type, channel)
        self.until(lambda: (row := find()) and row["status"] == status, lambda: (find(), status))
        return find()

    def wait_for_attempts(self, platform, user, attempts, event_type="user.registered", channel="email"):
        """Waits until the notification was tried that often, and returns it."""
        find = lambda: platform.notification(user, event_type, channel)
        self.until(lambda: (row := find()) and row["attempts"] >= attempts, find)
        return find()

    def assert_ended(self, row, status, reason, attempts):
        self.assertEqual((row["status"], row.get("reason"), row["attempts"]), (status, reason, attempts), row)


class Together(Test):
    """Tests that share a platform."""

    @classmethod
    def setUpClass(cls):
        directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.mail, cls.sms = MailServer(), SmsProvider()
        cls.addClassCleanup(cls.mail.stop)
        cls.addClassCleanup(cls.sms.stop)
        cls.mail.listen()
        cls.platform = AllInOne(
            directory,
            smtp_url=f"smtp://{cls.mail.address}",
            smtp_from=f"Seeds & Songs <{FROM}>",
            sms_url=f"http://{ACCOUNT}:{quoted(TOKEN)}@{cls.sms.address}",
            sms_from="SEEDS",
        )
        cls.addClassCleanup(lambda: cls.platform.stop(signal.SIGKILL))

    @classmethod
    def tearDownClass(cls):
        # After all that the tests did to it.
        assert_names_nobody(cls.platform)

    def sent(self, user, event_type="user.registered", channel="email"):
        return self.wait_for(self.platform, user, "sent", event_type, channel)

    def mail_about(self, row, user):
        """The only mail of a notification, after checks that hold for every mail."""
        [mail] = [mail for mail in self.mail.to(user.email) if row["event_id"] in mail.message["Message-ID"]]
        message = mail.message
        self.assertEqual(mail.sender, FROM)
        self.assertTrue(mail.content.isascii())
        for header in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"):
            self.assertEqual(len(message.get_all(header, [])), 1, header)
        [sender], [recipient] = message["From"].addresses, message["To"].addresses
        self.assertEqual((sender.display_name, sender.addr_spec), ("Seeds & Songs", FROM))
        self.assertEqual((recipient.display_name, recipient.addr_spec), (user.name, user.email))
        self.assertEqual(message["Message-ID"], f"<{row['event_id']}.email@shop.example>")
        self.assertEqual(message["Auto-Submitted"], "auto-generated")
        self.assertEqual(message.get_content_type(), "multipart/alternative")
        parts = [part.get_content_type() for part in message.iter_parts()]
        self.assertEqual(parts, ["text/plain", "text/html"])
        return message

    def text(self, message, kind):
        return message.get_body([kind]).get_content()

    def test_every_event_becomes_a_mail_in_the_language_of_the_user(self):
        subjects = {
            "en": [f"Your order {{}} is {what}" for what in ("confirmed", "on its way", "cancelled")],
            "de": [f"Ihre Bestellung {{}} ist {what}" for what in ("bestätigt", "unterwegs", "storniert")],
        }
        for language, total in (("en", "€5.00"), ("de", "5,00\xa0€")):
            with self.subTest(language):
                user = self.platform.create_user(name="Zoë Serinus 金丝雀")
                welcome = self.mail_about(self.sent(user), user)
                self.assertEqual(welcome["Subject"], "Welcome to the Orders & Notifications Platform")
                for kind in ("plain", "html"):
                    self.assertIn(user.name, self.text(welcome, kind))
                self.platform.set_contact(user, ["email"], language)
                completed, cancelled = self.platform.confirmed_order(user), self.platform.place_order(user)
                self.platform.set_status(completed, "completed")
                self.platform.ask("order-service", f"orders/{cancelled}/cancel", {}, "POST")
                events = {"order.confirmed": completed, "order.completed": completed, "order.cancelled": cancelled}
                for (event_type, order), subject in zip(events.items(), subjects[language]):
                    row = self.sent(user, event_type)
                    self.assertEqual(row["order_id"], order)
                    message = self.mail_about(row, user)
                    self.assertEqual(message["Subject"], subject.format(order))
                    for kind in ("plain", "html"):
                        text = self.text(message, kind)
                        self.assertIn(str(order), text)
                        if event_type == "order.confirmed":
                            self.assertIn("Sunflower seed", text)
                            self.assertIn(total, text)

    def test_an_order_that_is_paid_and_given_back_has_a_receipt_and_a_refund(self):
        user = self.platform.create_user()
        order = self.platform.place_order(user, "tok_ok")
        confirmed = self.mail_about(self.sent(user, "order.confirmed"), user)
        self.assertEqual(confirmed["Subject"], f"Your order {order} is confirmed")
        receipt = self.mail_about(self.sent(user, "payment.completed"), user)
        self.assertEqual(receipt["Subject"], f"Receipt for your order {order}")
        self.platform.ask("order-service", f"orders/{order}/cancel", {}, "POST")
        refund = self.mail_about(self.sent(user, "payment.refunded"), user)
        self.assertEqual(refund["Subject"], f"Refund for your order {order}")
        for message in (receipt, refund):
            for kind in ("plain", "html"):
                self.assertIn("€5.00", self.text(message, kind))

    def test_a_name_adds_neither_a_recipient_nor_markup(self):
        # Short, because Python 3.11 joins encoded words with a space too many.
        for name, html in (
            ('<i>Serinus" <b@canary.example>, c', "&lt;i&gt;Serinus"),
            ("Serinus & {{ 7 * 7 }}", "Serinus &amp; {{ 7 * 7 }}"),
        ):
            with self.subTest(name):
                user = self.platform.create_user(name=name)
                message = self.mail_about(self.sent(user), user)
                self.assertIn(name, self.text(message, "plain"))
                self.assertIn(html, self.text(message, "html"))
                self.assertNotIn(name, self.text(message, "html"))
        self.assertEqual(self.mail.to("b@canary.example"), [])

    def test_a_recipient_refused_for_good_fails_once_and_delays_no_other(self):
        # The second kind cannot be the address of a mail at all.
        paused = self.platform.records("channel paused")
        refused = [f"refused{number}@canary.example" for number in range(MANY)]
        for address in refused:
            self.mail.answer("RCPT", address, repeat(f"550 5.1.1 <{address}>: no such user"))
        users = [self.platform.create_user(email=address) for address in (*refused, 'no"mail@canary.example')]
        others = [self.platform.create_user() for _ in range(3)]
        for user in users:
            self.assert_ended(self.wait_for(self.platform, user, "failed"), "failed", "refused", 1)
        for user in others:
            self.assert_ended(self.sent(user), "sent", None, 1)
        for address in refused:
            self.assertEqual(self.mail.seen["RCPT", address], 1)
        self.assertEqual(self.platform.records("channel paused"), paused)

    def test_a_recipient_refused_for_now_gets_the_mail_in_the_end(self):
        user = "greylisted@canary.example"
        self.mail.answer("RCPT", user, ["451 4.7.1 <greylisted@canary.example>: greylisted, come back later"] * 2)
        user = self.platform.create_user(email=user)
        self.assert_ended(self.sent(user), "sent", None, 3)
        self.mail_about(self.sent(user), user)

    def test_a_mail_may_be_postponed_and_refused_after_its_recipient_was_accepted(self):
        for stage in ("DATA", "CONTENT"):
            for answer, status, reason, attempts in (("452", "sent", None, 2), ("554", "failed", "refused", 1)):
                with self.subTest(stage, answer=answer):
                    address = f"{answer}-at-{stage}@canary.example"
                    self.mail.answer(stage, address, [f"{answer} <{address}>: not like this"])
                    user = self.platform.create_user(email=address)
                    self.assert_ended(self.wait_for(self.platform, user, status), status, reason, attempts)
                    self.assertEqual(len(self.mail.to(address)), attempts - 1)
                    self.assertEqual(self.mail.seen[stage, address], attempts)

    def test_a_server_that_refuses_the_sender_fails_no_mail(self):
        self.mail.answer("MAIL", FROM, repeat("550 5.7.1 you may not send here"))
        before = self.mail.seen["MAIL", FROM]
        users = [self.platform.create_user() for _ in range(5)]
        self.until(lambda: self.mail.seen["MAIL", FROM] >= before + 5, "the sender was not given")
        rows = [self.platform.notification(user) for user in users]
        self.assertEqual([row["status"] for row in rows], ["queued"] * 5)
        self.mail.accept("MAIL", FROM)
        for user in users:
            self.sent(user)
            self.assertEqual(len(self.mail.to(user.email)), 1)

    def test_recipients_with_slow_servers_delay_no_other(self):
        gate = self.mail.gate()
        self.addCleanup(gate.open)
        addresses = [f"slow{number}@canary.example" for number in range(MANY)]
        for address in addresses:
            self.mail.answer("RCPT", address, [gate])
        slow = [self.platform.create_user(email=address) for address in addresses]
        self.until(lambda: all(self.mail.seen["RCPT", address] for address in addresses))
        others = [self.platform.create_user() for _ in range(2 * MANY)]
        for user in others:
            self.assert_ended(self.sent(user), "sent", None, 1)
        for user in slow:
            self.assertEqual(self.platform.notification(user)["status"], "queued")
            self.assertEqual(self.mail.to(user.email), [])
        gate.open()
        for user in slow:
            self.assert_ended(self.sent(user), "sent", None, 1)
            self.mail_about(self.sent(user), user)

    def test_a_mail_whose_connection_is_cut_arrives_once(self):
        address = "cut@canary.example"
        self.mail.answer("DATA", address, [CUT])
        user = self.platform.create_user(email=address)
        self.assert_ended(self.sent(user), "sent", None, 2)
        self.mail_about(self.sent(user), user)

    def test_a_mail_whose_acceptance_is_lost_comes_twice_with_the_same_id(self):
        address = "lost@canary.example"
        self.mail.answer("CONTENT", address, [LOSE])
        user = self.platform.create_user(email=address)
        # There is only one row.
        self.assert_ended(self.sent(user), "sent", None, 2)
        first, second = self.mail.to(address)
        self.assertEqual(first.message["Message-ID"], second.message["Message-ID"])
        self.assertEqual(first.message["Date"], second.message["Date"])

    def user_with_sms(self, language="en"):
        user = self.platform.create_user()
        self.platform.set_contact(user, ["email", "sms"], language)
        return user

    def test_an_sms_is_a_request_as_the_provider_documents_it(self):
        texts = {
            "en": "Your order {} is confirmed. Total: €5.00",
            "de": "Ihre Bestellung {} ist bestätigt. Gesamtbetrag: 5,00 €",
        }
        for language, text in texts.items():
            with self.subTest(language):
                user = self.user_with_sms(language)
                order = self.platform.confirmed_order(user)
                self.assert_ended(self.sent(user, "order.confirmed", "sms"), "sent", None, 1)
                [request] = self.sms.to(user.phone)
                self.assertEqual(request.path, f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
                login = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
                self.assertEqual(request.authorization, f"Basic {login}")
                self.assertEqual(request.content_type.split(";")[0], "application/x-www-form-urlencoded")
                self.assertEqual(request.form, {"To": user.phone, "From": "SEEDS", "Body": text.format(order)})

    def test_an_sms_is_repeated_as_long_as_that_may_help(self):
        cases = [
            ([500], "sent", None, 2),
            ([503, 408], "sent", None, 3),
            ([400], "failed", "refused", 1),
            ([422], "failed", "refused", 1),
        ]
        users = [self.user_with_sms() for _ in cases]
        for user, (answers, *_) in zip(users, cases):
            self.sms.answer(user.phone, answers)
            self.platform.confirmed_order(user)
        for user, (answers, status, reason, attempts) in zip(users, cases):
            with self.subTest(answers):
                row = self.wait_for(self.platform, user, status, "order.confirmed", "sms")
                self.assert_ended(row, status, reason, attempts)
                self.assertEqual(len(self.sms.to(user.phone)), attempts)

    def test_a_provider_that_refuses_the_account_fails_no_sms(self):
        statuses = (401, 403, 404, 429)
        users = [self.user_with_sms() for _ in statuses]
        for user, status in zip(users, statuses):
            self.sms.answer(user.phone, repeat(status))
            self.platform.confirmed_order(user)
        for user in users:
            self.until(lambda: self.sms.to(user.phone))
        for user in users:
            self.assertEqual(self.platform.notification(user, "order.confirmed", "sms")["status"], "queued")
            self.sms.accept(user.phone)
        for user in users:
            self.sent(user, "order.confirmed", "sms")
            self.assertEqual(self.sms.to(user.phone)[-1].status, 201)

    def test_nothing_is_sent_to_a_user_who_was_deleted(self):
        address = "deleted@canary.example"
        self.mail.answer("RCPT", address, repeat("451 4.3.0 later"))
        user = self.platform.create_user(email=address)
        self.wait_for_attempts(self.platform, user, 1)
        self.platform.delete_user(user)
        row = self.wait_for(self.platform, user, "suppressed")
        self.assertEqual(row["reason"], "user_deleted")
        self.mail.accept("RCPT", address)
        # What is queued later is sent, so this is not.
        self.sent(self.platform.create_user())
        self.assertEqual(self.mail.to(address), [])
        self.assertEqual(self.platform.notification(user), row)

    def test_a_user_gets_messages_only_on_the_wanted_channels(self):
        for wanted in ([], ["email"], ["sms"]):
            with self.subTest(wanted):
                user = self.platform.create_user()
                self.sent(user)
                self.platform.set_contact(user, wanted)
                self.platform.confirmed_order(user)
                for channel in ("email", "sms"):
                    status, reason = ("sent", None) if channel in wanted else ("suppressed", "opted_out")
                    row = self.wait_for(self.platform, user, status, "order.confirmed", channel)
                    self.assert_ended(row, status, reason, 1)
                    # Without the welcome.
                    messages = self.mail.to(user.email)[1:] if channel == "email" else self.sms.to(user.phone)
                    self.assertEqual(len(messages), int(channel in wanted))


class Alone(Test):
    """Tests with platforms of their own."""

    def test_a_server_that_was_down_gets_everything_once_and_what_was_not_tried_yet_in_its_order(self):
        mail = self.start_mail_server()
        platform = self.start_platform(f"smtp://{mail.address}")
        first = [platform.create_user() for _ in range(3)]
        self.until(lambda: platform.records("channel paused"))
        users = [platform.create_user() for _ in range(3 * MANY)]
        mail.listen()
        rows = [self.wait_for(platform, user, "sent") for user in users]
        for user in first:
            self.wait_for(platform, user, "sent")
        came = [mail.recipient for mail in mail.mails]
        self.assertEqual(sorted(came), sorted(user.email for user in platform.users))
        expected = [user.email for user, row in zip(users, rows) if row["attempts"] == 1]
        self.assertGreater(len(expected), MANY)
        # Some are under way at a time.
        for place, address in enumerate(address for address in came if address in expected):
            self.assertLess(abs(place - expected.index(address)), MANY, came)

    def test_what_is_being_sent_at_a_stop_is_finished(self):
        mail = self.start_mail_server().listen()
        platform = self.start_platform(f"smtp://{mail.address}")
        gate = mail.gate()
        address = "slow@canary.example"
        mail.answer("RCPT", address, [gate])
        user = platform.create_user(email=address)
        self.until(lambda: mail.seen["RCPT", address])
        platform.process.send_signal(signal.SIGTERM)
        self.until(lambda: platform.records("beginning graceful shutdown"))
        gate.open()
        platform.process.wait(TIMEOUT_S)
        platform.stop()
        platform.start()
        self.assertEqual(self.wait_for(platform, user, "sent")["attempts"], 1)
        self.assertEqual([mail.recipient for mail in mail.mails], [address])

    def test_users_who_want_no_messages_do_not_end_a_pause(self):
        sms = SmsProvider()
        self.addCleanup(sms.stop)
        platform = self.start_platform("", sms_url=f"http://{ACCOUNT}:token@{sms.address}")
        other = platform.create_user()
        users = [platform.create_user() for _ in range(MANY)]
        for user in users:
            platform.set_contact(user, ["sms"])
            sms.answer(user.phone, repeat(401))
        for user in users:
            platform.confirmed_order(user)
            platform.confirmed_order(other)
        pauses = lambda: [record["seconds"] for record in platform.records("channel paused")]
        self.until(lambda: len(pauses()) >= 4)
        self.assertEqual(pauses(), sorted(pauses()))

    def assert_waits(self, mail, platform, user, reason, secrets=()):
        """Asserts that nothing is sent or given up for a reason, and no secret is in the log."""
        errors = lambda: [record["error"] for record in platform.records("notification not sent")]
        before = len(errors())
        self.until(lambda: len(errors()) >= before + 2, lambda: (errors(), platform.notification(user)))
        for error in errors()[before:]:
            self.assertRegex(error, reason)
        self.assertEqual(platform.notification(user)["status"], "queued")
        self.assertEqual(mail.mails, [])
        self.assert_no_secret(platform, secrets)

    def assert_no_secret(self, platform, secrets):
        log = platform.log.read_bytes()
        self.assertEqual([form for secret in secrets for form in forms_of(secret) if form in log], [])

    def make_certificate(self):
        """Makes a certificate for 127.0.0.1. Returns a file with it and its key, and one with that of its authority."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        folder = Path(folder.name)
        make = ["openssl", "req", "-x509", "-nodes", "-days", "2"]
        make += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
        for command in (
            ["-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"],
            ["-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1", *signed, "-keyout", "key", "-out", "cert"],
        ):
            subprocess.run(make + command, cwd=folder, check=True, capture_output=True)
        both = folder / "both.pem"
        both.write_text((folder / "key").read_text() + (folder / "cert").read_text())
        return both, folder / "ca.pem"

    def test_mail_goes_only_to_a_server_with_a_certificate_of_its_name_by_a_known_authority(self):
        certificate, authority = self.make_certificate()
        mail = self.start_mail_server(certificate=certificate, from_the_start=True).listen()
        port = mail.address.split(":")[1]
        platform = self.start_platform(f"smtps://{mail.address}")
        user = platform.create_user()
        self.assert_waits(mail, platform, user, "UnknownIssuer")
        # The certificate is only for 127.0.0.1.
        platform.restart(smtp_url=f"smtps://localhost:{port}?cacertfile={authority}")
        self.assert_waits(mail, platform, user, "not valid for name")
        platform.restart(smtp_url=f"smtps://{mail.address}?cacertfile={authority}")
        self.wait_for(platform, user, "sent")
        self.assertEqual(len(mail.mails), 1)

    def test_neither_mail_nor_password_goes_out_unencrypted_where_encryption_is_required(self):
        # It would take both.
        mail = self.start_mail_server(login=LOGIN).listen()
        platform = self.start_platform(f"smtp://{quoted(LOGIN[0])}:{quoted(LOGIN[1])}@{mail.address}?tls=required")
        self.assert_waits(mail, platform, platform.create_user(), "STARTTLS", [LOGIN[1]])
        self.assertGreater(mail.commands["EHLO"], 0)
        self.assertEqual((mail.commands["AUTH"], mail.commands["MAIL"]), (0, 0))

    def test_a_wrong_password_loses_no_mail_and_no_password_is_logged(self):
        certificate, authority = self.make_certificate()
        for from_the_start in (False, True):
            with self.subTest(from_the_start=from_the_start):
                mail = self.start_mail_server(certificate=certificate, from_the_start=from_the_start, login=LOGIN)
                mail.listen()

                def url(password):
                    server = f"{quoted(LOGIN[0])}:{quoted(password)}@{mail.address}"
                    scheme, query = ("smtps", "") if from_the_start else ("smtp", "tls=required&")
                    return f"{scheme}://{server}?{query}cacertfile={authority}"

                wrong = "wr0ng: p@ss/wörd%"
                platform = self.start_platform(url(wrong))
                user = platform.create_user()
                self.assert_waits(mail, platform, user, "status 535", [wrong])
                self.assertGreater(mail.commands["AUTH"], 0)
                platform.restart(smtp_url=url(LOGIN[1]))
                self.wait_for(platform, user, "sent")
                self.assertEqual(len(mail.mails), 1)
                self.assert_no_secret(platform, [wrong, LOGIN[1]])

    def test_without_servers_each_message_is_a_file_that_only_its_owner_reads(self):
        platform = self.start_platform("")
        user = platform.create_user()
        self.wait_for(platform, user, "sent")
        platform.set_contact(user, ["sms"])
        platform.confirmed_order(user)
        rows = [
            self.wait_for(platform, user, "sent"),
            self.wait_for(platform, user, "sent", "order.confirmed", "sms"),
        ]
        names = [f"{rows[0]['event_id']}.email.eml", f"{rows[1]['event_id']}.sms.txt"]
        paths = [platform.data / "messages" / name for name in names]
        written = lambda: [Path(record["file"]) for record in platform.records("message written to a file")]
        self.until(lambda: written() == paths, written)
        self.assertIn(user.email, paths[0].read_text())
        self.assertIn(user.phone, paths[1].read_text())
        self.assertEqual([path.stat().st_mode & 0o077 for path in (paths[0].parent, *paths)], [0, 0, 0])

    def test_a_platform_that_is_killed_again_and_again_sends_everything(self):
        mail = self.start_mail_server().listen()
        platform = self.start_platform(f"smtp://{mail.address}")
        users = [platform.create_user() for _ in range(CLIENTS)]
        for user in users:
            self.wait_for(platform, user, "sent")
        mail.mails.clear()
        with ThreadPoolExecutor(CLIENTS) as clients:
            orders = list(clients.map(platform.place_order, users * (ORDERS // CLIENTS)))

        seed = random.randrange(1 << 30)
        kills = Kills(mail, sorted(random.Random(seed).sample(range(1, ORDERS), KILLS)))
        mail.on_content = kills.mail_came
        with ThreadPoolExecutor(CLIENTS) as clients:
            confirmed = clients.map(lambda order: soon(lambda: confirms(platform, order)), orders)
            for _ in range(KILLS):
                with kills.next(TIMEOUT_S):
                    platform.stop(signal.SIGKILL)
                platform.start()
            self.assertTrue(all(confirmed), f"seed {seed}")

        waiting = lambda: platform.notifications(status="queued")
        of_orders = lambda: [row for row in platform.notifications() if row["event_type"] == "order.confirmed"]
        self.until(lambda: len(of_orders()) >= 2 * ORDERS and not waiting(), lambda: (seed, waiting()))
        mails = [row for row in of_orders() if row["channel"] == "email"]
        self.assertEqual(sorted(row["order_id"] for row in mails), sorted(orders), f"seed {seed}")
        self.assertEqual({row["status"] for row in mails}, {"sent"}, f"seed {seed}")
        # The only mail of an order, however often it came.
        came = {(mail.message["Message-ID"], mail.message["Subject"]) for mail in mail.mails}
        expected = {
            (f"<{row['event_id']}.email@shop.example>", f"Your order {row['order_id']} is confirmed") for row in mails
        }
        self.assertEqual(came, expected, f"seed {seed}")
        # Each kill was between the arrival of a mail and the answer to it.
        self.assertGreaterEqual(len(mail.mails), ORDERS + KILLS, f"seed {seed}")


def confirms(platform, order):
    """Asks to confirm the order, and returns whether the answer came."""
    status, _ = send(f"{platform.urls['order-service']}/api/v1/orders/{order}/status", {"status": "confirmed"}, "PUT")
    return status == 200


class Kills:
    """The moments to kill the platform: when so many mails have come, and the last is not answered yet."""

    def __init__(self, mail, moments):
        self.mail = mail
        self.moments = moments
        self.changed = threading.Condition()

    def mail_came(self):
        """Returns once nobody is to be killed."""
        with self.changed:
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.is_due(), TIMEOUT_S)

    def is_due(self):
        return self.moments and len(self.mail.mails) >= self.moments[0]

    @contextmanager
    def next(self, timeout):
        """Waits for the next moment, in which the context is."""
        with self.changed:
            assert self.changed.wait_for(self.is_due, timeout), (self.moments, len(self.mail.mails))
            yield
            del self.moments[0]
            self.changed.notify_all()


if __name__ == "__main__":
    unittest.main(verbosity=2)
