"""Tests deploy/proxy/haproxy.cfg with HAProxy in front of two instances of each service."""

import json
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from running import Client, Instance, Proxy, listener, read_to_end
from service_process import SERVICES, create_database, send, soon

KIB = 1024


class WithRunningServices(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        public, internal = listener(), listener()
        cls.internal = "http://%s:%d" % internal.getsockname()
        urls = dict.fromkeys(SERVICES, cls.internal)
        cls.instances = {}
        for name, service in SERVICES.items():
            database_url = create_database(service["database"])
            cls.instances[name] = [cls.instance(name, database_url, urls) for _ in range(2)]
        addresses = {name: [instance.address for instance in both] for name, both in cls.instances.items()}
        cls.proxy = Proxy(public, internal, directory, addresses)
        cls.addClassCleanup(cls.proxy.stop)

    @classmethod
    def instance(cls, *arguments):
        instance = Instance(*arguments)
        cls.addClassCleanup(lambda: instance.stop(signal.SIGKILL))
        return instance

    def client(self):
        client = Client(self.proxy)
        self.addCleanup(client.close)
        return client

    def assert_error(self, answer, status, error_code):
        actual, headers, body = answer
        self.assertEqual((actual, body.get("error_code")), (status, error_code))
        self.assertEqual(set(body), {"request_id", "error_code", "message"})
        self.assertEqual(headers["X-Request-Id"], body["request_id"])

    # Routing

    def test_an_order_is_placed_through_both_services(self):
        client = self.client()
        status, _, user = client.create_user()
        self.assertEqual(status, 201)
        order = {"user_id": user["id"], "product_id": 456, "quantity": 2}
        self.assertEqual(client.send("POST", "/api/v1/orders", order)[0], 201)

    def test_only_the_api_is_public(self):
        paths = ["/", "/health", "/ready", "/metrics", "/docs", "/openapi.json", "/api/v1/usersfoo"]
        for path in paths + ["/api/v1/users/../../../ready", "/api/v1/users/%2e%2e/%2e%2e/%2e%2e/ready"]:
            with self.subTest(path):
                self.assertIn(self.client().send("GET", path)[0], (400, 404))
        self.assert_error(self.client().send("GET", "/ready"), 404, "not_found")

    def test_the_internal_frontend_routes_to_called_services_only(self):
        for path, status in [("/api/v1/users", 200), ("/api/v1/orders", 404), ("/ready", 404)]:
            with self.subTest(path):
                self.assertEqual(send(self.internal + path)[0], status)

    def test_plain_http_gets_no_response(self):
        plain = self.client().connect_plain()
        plain.sendall(b"GET /api/v1/users HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertNotIn(b"HTTP/", read_to_end(plain))

    def test_every_response_has_the_security_headers(self):
        cases = [
            ("201", lambda client: client.create_user()),
            ("404 of a service", lambda client: client.send("GET", "/api/v1/users/1/nonsense")),
            ("405 of a service", lambda client: client.send("PATCH", "/api/v1/users")),
            ("404 of the proxy", lambda client: client.send("GET", "/nonsense")),
        ]
        for name, request in cases:
            with self.subTest(name):
                status, headers, _ = request(self.client())
                self.assertEqual(status, int(name[:3]))
                self.assertEqual(headers.get_all("Strict-Transport-Security"), ["max-age=31536000"])
                self.assertEqual(headers.get_all("X-Content-Type-Options"), ["nosniff"])
                self.assertEqual(headers.get_all("Referrer-Policy"), ["no-referrer"])
                self.assertEqual(
                    headers.get_all("Content-Security-Policy"), ["default-src 'none'; frame-ancestors 'none'"]
                )
                self.assertEqual(len(headers.get_all("Cache-Control")), 1)
                self.assertEqual(len(headers.get_all("X-Request-Id")), 1)

    # Sizes

    def test_a_body_over_the_limit_is_refused(self):
        for size, status, code in [(64 * KIB, 400, "invalid_request"), (64 * KIB + 1, 413, "payload_too_large")]:
            for body, headers in [(b"x" * size, {}), (iter([b"x" * size]), {"Transfer-Encoding": "chunked"})]:
                with self.subTest(size=size, headers=headers):
                    connection = self.client().keep_alive()
                    headers = headers | {"Content-Type": "application/json"}
                    connection.request("POST", "/api/v1/users", body, headers, encode_chunked=True)
                    answer = connection.getresponse()
                    self.assertEqual((answer.status, json.loads(answer.read())["error_code"]), (status, code))

    def test_a_body_over_the_limit_is_refused_over_http_2(self):
        client = self.client()
        url = "https://%s:%d/api/v1/users" % self.proxy.address
        command = ["curl", "-sk", "--http2", "--interface", client.ip, "-H", "Content-Type: application/json"]
        command += ["--data-binary", "@-", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", url]
        for size, answer in [(64 * KIB, "2 400"), (64 * KIB + 1, "2 413")]:
            output = subprocess.run(command, input=b"x" * size, capture_output=True, check=True).stdout
            self.assertEqual(output.decode(), answer)

    def test_headers_over_the_limit_are_refused(self):
        large = {"X-Large": "x" * 9 * KIB}
        self.assert_error(self.client().send("GET", "/api/v1/users", headers=large), 431, "header_too_large")

    # Slow clients and limits per client

    def test_a_stalled_client_is_disconnected(self):
        def silent(client):
            return client.connect_plain()

        def silent_after_the_handshake(client):
            return client.connect()

        def idle(client):
            connection = client.connect()
            connection.sendall(b"GET /nonsense HTTP/1.1\r\nHost: a\r\n\r\n")
            return connection

        def trickling(client, start):
            connection = client.connect()
            connection.sendall(start)

            def trickle():
                try:
                    while True:
                        connection.sendall(b"a")
                        stop.wait(0.2)
                except OSError:
                    pass

            threading.Thread(target=trickle, daemon=True).start()
            return connection

        head = b"POST /api/v1/users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        cases = {
            "in the handshake": (silent, b""),
            "before a request": (silent_after_the_handshake, b"HTTP/1.1 408 "),
            "after a request": (idle, b"HTTP/1.1 404 "),
            "in the head": (lambda client: trickling(client, head + b"X-Slow: "), b"HTTP/1.1 408 "),
            "in the body": (lambda client: trickling(client, head + b"Content-Length: 1000\r\n\r\n"), b"HTTP/1.1 408 "),
        }
        stop = threading.Event()
        self.addCleanup(stop.set)
        with ThreadPoolExecutor(len(cases)) as pool:
            ended = {name: pool.submit(read_to_end, start(self.client())) for name, (start, _) in cases.items()}
            self.assertEqual(self.client().send("GET", "/api/v1/users")[0], 200)
            for name, (_, answer) in cases.items():
                with self.subTest(name):
                    self.assertEqual(ended[name].result()[:13], answer)

    def test_too_many_connections_are_refused_per_client(self):
        greedy, other = self.client(), self.client()
        connections = [greedy.connect() for _ in range(100)]
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            greedy.connect()
        self.assertEqual(other.send("GET", "/api/v1/users")[0], 200)
        connections.pop().close()
        self.assertTrue(soon(lambda: connects(greedy)))

    def test_silent_clients_do_not_lock_out_others(self):
        for silent in [self.client() for _ in range(20)]:
            for _ in range(100):
                silent.connect_plain()
        self.assertEqual(self.client().send("GET", "/api/v1/users")[0], 200)

    def test_too_many_requests_are_refused_per_client(self):
        greedy, other = self.client(), self.client()
        connection = greedy.keep_alive()
        for number in range(500):
            self.assertEqual(greedy.send("GET", "/nonsense", connection=connection)[0], 404, number)
        answer = greedy.send("GET", "/api/v1/users")
        self.assert_error(answer, 429, "too_many_requests")
        self.assertEqual(answer[1]["Retry-After"], "10")
        self.assertEqual(answer[1]["X-Content-Type-Options"], "nosniff")
        self.assertEqual(other.send("GET", "/api/v1/users")[0], 200)

    def test_an_http_2_connection_has_a_stream_limit(self):
        connection = self.client().connect("h2")
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        with connection.makefile("rb") as stream:
            length, kind = struct.unpack("!IB", b"\0" + stream.read(9)[:4])
            self.assertEqual(kind, 4, "the first frame is SETTINGS")
            settings = dict(struct.iter_unpack("!HI", stream.read(length)))
        self.assertEqual(settings[3], 32)

    # Restarts and failures of instances

    def test_no_request_fails_during_a_rolling_restart(self):
        stop = threading.Event()

        def place_orders():
            """Places orders until the test ends, and returns the statuses of the responses."""
            client = self.client()
            statuses = []
            while not stop.wait(0.05):
                status, _, user = client.create_user()
                statuses.append(status)
                if status == 201:
                    order = {"user_id": user["id"], "product_id": 456, "quantity": 2}
                    statuses.append(client.send("POST", "/api/v1/orders", order)[0])
            return statuses

        with ThreadPoolExecutor(8) as pool:
            runs = [pool.submit(place_orders) for _ in range(8)]
            try:
                for instance in [instance for both in self.instances.values() for instance in both]:
                    self.assertEqual(instance.stop(), 0)
                    instance.start()
                    self.wait_until_used(instance)
            finally:
                stop.set()
            statuses = [status for run in runs for status in run.result()]
        print(f"{len(statuses)} requests during the rolling restart")
        self.assertEqual(set(statuses), {201})

    def test_one_instance_serves_while_the_other_is_killed(self):
        client = self.client()
        self.assertEqual(client.create_user()[0], 201)
        killed = self.instances["user-service"][0]
        killed.stop(signal.SIGKILL)
        try:
            # HAProxy detects the failure while these requests are sent.
            for _ in range(100):
                self.assertEqual(client.create_user()[0], 201)
        finally:
            killed.start()
            self.wait_until_used(killed)

    def wait_until_used(self, instance):
        """Waits until HAProxy considers a restarted instance up."""
        name = f"{instance.name}-{1 + self.instances[instance.name].index(instance)}"

        def used():
            log = self.proxy.log.read_text()
            return log.rfind(f"{name} is UP") > log.rfind(f"{name} is DOWN") >= 0

        self.assertTrue(soon(used))


class WithFaultyServices(unittest.TestCase):
    """user-service closes connections without a response; every other service is down."""

    def setUp(self):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        self.faulty = ThreadingHTTPServer(("127.0.0.1", 0), ClosesConnections)
        self.faulty.posts = 0
        threading.Thread(target=self.faulty.serve_forever, daemon=True).start()
        self.addCleanup(self.faulty.server_close)
        self.addCleanup(self.faulty.shutdown)
        # The socket is bound but does not listen, so connections are refused.
        closed = self.enterContext(socket.socket())
        closed.bind(("127.0.0.1", 0))
        addresses = dict.fromkeys(SERVICES, ["127.0.0.1:%d" % closed.getsockname()[1]] * 2)
        addresses["user-service"] = ["127.0.0.1:%d" % self.faulty.server_address[1]] * 2
        self.proxy = Proxy(listener(), listener(), directory, addresses)
        self.addCleanup(self.proxy.stop)
        self.client = Client(self.proxy)
        self.addCleanup(self.client.close)

    def test_a_request_that_was_sent_is_not_retried(self):
        status, headers, body = self.client.create_user()
        self.assertEqual((status, body["error_code"]), (502, "bad_gateway"))
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(self.faulty.posts, 1)

    def test_a_service_receives_only_complete_requests(self):
        connection = self.client.connect()
        head = b"POST /api/v1/users HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (64 * KIB)
        connection.sendall(head + b"x" * 60 * KIB)
        self.assertIn(b'"request_timeout"', read_to_end(connection))
        self.assertEqual(self.faulty.posts, 0)

    def test_without_an_instance_the_response_has_retry_after(self):
        status, headers, body = self.client.send("GET", "/api/v1/orders")
        self.assertEqual((status, body["error_code"]), (503, "service_unavailable"))
        self.assertEqual(headers["Retry-After"], "1")
        self.assertEqual(headers["X-Request-Id"], body["request_id"])

    def test_no_personal_data_is_logged(self):
        _, _, body = self.client.send("GET", "/api/v1/orders?email=canary@example.com", headers={"Cookie": "canary"})
        self.client.connect_plain().close()
        self.assertTrue(soon(lambda: body["request_id"] in self.proxy.log.read_text()))
        self.assertNotIn("canary", self.proxy.log.read_text())
        self.assertNotIn(self.client.ip, self.proxy.log.read_text())


class ClosesConnections(BaseHTTPRequestHandler):
    """A server that is ready, but closes the connection of each POST without a response."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        self.server.posts += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.close_connection = True

    def log_message(self, *arguments):
        pass


def connects(client):
    """Whether HAProxy accepts a connection of the client."""
    try:
        client.connect().close()
    except (ssl.SSLError, ConnectionResetError):
        return False
    return True


if __name__ == "__main__":
    unittest.main(verbosity=2)
