"""A mail server that answers as it is told, and remembers the mails that it accepted."""

import asyncio
import logging
import socket
import ssl
import threading
from collections import Counter
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, LoginPassword

# It warns of settings that are meant here.
logging.getLogger("mail.log").setLevel(logging.ERROR)

# Answers that are no text: the connection is cut while the content comes, or after the mail was accepted.
CUT, LOSE = object(), object()


@dataclass
class Mail:
    sender: str
    recipient: str
    content: bytes
    message: EmailMessage


class Gate:
    """An answer that comes once the gate is opened."""

    def __init__(self, loop):
        self.loop = loop
        self.opened = asyncio.Event()

    def open(self):
        self.loop.call_soon_threadsafe(self.opened.set)


class MailServer:
    """A server on a free port of 127.0.0.1, which listens from the first `listen` on.

    `certificate` is a file with a certificate and its key, for STARTTLS or, with `from_the_start`, TLS at once. With
    `login`, a user and a password, it accepts mails only from who has them.
    """

    def __init__(self, certificate=None, from_the_start=False, login=None):
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate)
        self.from_the_start = from_the_start
        self.login = login and LoginPassword(*(part.encode() for part in login))
        self.mails = []
        # How often each command came, and each stage of a mail was reached by address.
        self.commands, self.seen = Counter(), Counter()
        self.on_content = lambda: None
        self.connections = set()
        self.answers = {}
        # Bound, it keeps its port while it does not listen.
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.address = "%s:%d" % self.socket.getsockname()
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: None)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def listen(self):
        tls = self.tls if self.from_the_start else None
        serve = self.loop.create_server(self.connected, sock=self.socket, ssl=tls)
        asyncio.run_coroutine_threadsafe(serve, self.loop).result()
        return self

    def stop(self):
        async def close():
            for connection in self.connections:
                connection.abort()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.socket.close()

    def answer(self, stage, address, answers):
        """Gives these answers one after the other, then accepts everything: at the stage `MAIL` of mails of a sender,
        or at `RCPT`, `DATA` or `CONTENT` of those to a recipient. An answer is a text or a gate, at `DATA` also `CUT`,
        and at `CONTENT` also `LOSE`."""
        self.answers[stage, address] = iter(answers)

    def accept(self, stage, address):
        """Accepts everything again."""
        del self.answers[stage, address]

    def gate(self):
        return Gate(self.loop)

    def to(self, address):
        """The mails to an address, in the order in which they were accepted."""
        return [mail for mail in self.mails if mail.recipient == address]

    def connected(self):
        starttls = None if self.from_the_start else self.tls
        return Connection(
            self,
            loop=self.loop,
            hostname="mail.example",
            tls_context=starttls,
            authenticator=self.authenticate,
            # Without STARTTLS it takes passwords all the same.
            auth_require_tls=bool(starttls),
        )

    def authenticate(self, server, session, envelope, mechanism, login):
        return AuthResult(success=login == self.login, handled=False)

    async def next_answer(self, stage, address):
        self.seen[stage, address] += 1
        answer = next(self.answers.get((stage, address), iter(())), MISSING)
        if isinstance(answer, Gate):
            await answer.opened.wait()
            return MISSING
        return answer

    # The handler of aiosmtpd.

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        answer = await self.next_answer("MAIL", address)
        if answer is MISSING:
            envelope.mail_from = address
            return "250 OK"
        return answer

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = await self.next_answer("RCPT", address)
        if answer is MISSING:
            envelope.rcpt_tos.append(address)
            return "250 OK"
        return answer

    async def handle_DATA(self, server, session, envelope):
        [recipient] = envelope.rcpt_tos
        answer = await self.next_answer("CONTENT", recipient)
        if answer not in (MISSING, LOSE):
            return answer
        message = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append(Mail(envelope.mail_from, recipient, envelope.content, message))
        self.on_content()
        if answer is LOSE:
            server.transport.abort()
            raise ConnectionResetError
        return "250 OK"


class Connection(SMTP):
    """A connection to the server, which aiosmtpd serves but for what it does not foresee."""

    def connection_made(self, transport):
        self.event_handler.connections.add(transport)
        super().connection_made(transport)

    async def smtp_EHLO(self, arg):
        self.event_handler.commands["EHLO"] += 1
        await super().smtp_EHLO(arg)

    async def smtp_AUTH(self, arg):
        self.event_handler.commands["AUTH"] += 1
        await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg):
        self.event_handler.commands["MAIL"] += 1
        await super().smtp_MAIL(arg)

    async def smtp_DATA(self, arg):
        if self.envelope.rcpt_tos:
            answer = await self.event_handler.next_answer("DATA", self.envelope.rcpt_tos[0])
            if answer is CUT:
                await self.push("354 Go on")
                await self._reader.readuntil(b"\r\n")
                self.transport.abort()
                raise ConnectionResetError
            if answer is not MISSING:
                await self.push(answer)
                return
        await super().smtp_DATA(arg)
