"""A proxy before localstripe that remembers what is asked, and loses answers as it is told."""

import http.client
import re
import socket
import sys
import threading
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from service_process import TIMEOUT_S

# What localstripe takes a POST for.
OPEN, CONFIRM, REFUND = "/v1/payment_intents", "/v1/payment_intents/[^/]+/confirm", "/v1/refunds"


@dataclass
class Request:
    method: str
    path: str
    headers: dict
    form: dict


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # The client may end at any time, also by being killed.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Proxy:
    """A proxy on a free port of 127.0.0.1."""

    def __init__(self, url):
        self.target = urllib.parse.urlsplit(url).netloc
        self.requests = []
        self.losses = {}
        # Called once with each request whose answer is about to be lost.
        self.on_loss = lambda request: None
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), self.handler())
        self.url = "http://%s:%d" % self.server.server_address
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def lose(self, path, times):
        """Loses the answers to the next POSTs to paths that match: they are carried out, and the connection is cut."""
        with self.lock:
            self.losses[path] = times

    def asked(self, path):
        """The POSTs to paths that match."""
        return [request for request in self.requests if request.method == "POST" and re.fullmatch(path, request.path)]

    def is_lost(self, request):
        with self.lock:
            for path, times in self.losses.items():
                if times and request.method == "POST" and re.fullmatch(path, request.path):
                    self.losses[path] -= 1
                    return True
        return False

    def handler(proxy):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Nagle's algorithm would hold back the body of each response.
            disable_nagle_algorithm = True

            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=bool(body)))
                request = Request(self.command, self.path.split("?")[0], dict(self.headers), form)
                with proxy.lock:
                    proxy.requests.append(request)
                connection = http.client.HTTPConnection(proxy.target, timeout=TIMEOUT_S)
                try:
                    connection.request(self.command, self.path, body, dict(self.headers))
                    response = connection.getresponse()
                    status, answer = response.status, response.read()
                finally:
                    connection.close()
                if proxy.is_lost(request):
                    proxy.on_loss(request)
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = forward

            def log_message(self, *arguments):
                pass

        return Handler
