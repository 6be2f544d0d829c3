"""An SMS provider with Twilio's API that answers as it is told, and remembers what was asked of it."""

import json
import sys
import threading
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    path: str
    authorization: str
    content_type: str
    form: dict
    # The status of the response.
    status: int


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # The client may end at any time, also by being killed.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class SmsProvider:
    """A provider on a free port of 127.0.0.1."""

    def __init__(self):
        self.requests = []
        self.answers = {}
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), self.handler())
        self.address = "%s:%d" % self.server.server_address
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, number, statuses):
        """Gives these statuses one after the other to messages to a number; then 201."""
        self.answers[number] = iter(statuses)

    def accept(self, number):
        """Accepts everything again."""
        del self.answers[number]

    def to(self, number):
        """The requests to send to a number, in their order."""
        return [request for request in self.requests if request.form["To"] == number]

    def handler(provider):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Nagle's algorithm would hold back the body of each response.
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = dict(urllib.parse.parse_qsl(body, strict_parsing=True))
                with provider.lock:
                    status = next(provider.answers.get(form["To"], iter(())), 201)
                    headers = self.headers["Authorization"], self.headers["Content-Type"]
                    provider.requests.append(Request(self.path, *headers, form, status))
                # Like Twilio it repeats the number, also in errors.
                text = json.dumps({"to": form["To"], "message": f"The 'To' number {form['To']} got {status}"}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *arguments):
                pass

        return Handler
