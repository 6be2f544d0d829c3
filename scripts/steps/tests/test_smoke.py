import io
import json
import threading
import unittest
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from services import SERVICES
from smoke import Response, Smoke, collection, main, urls

NAME = next(iter(SERVICES))


class Healthy(BaseHTTPRequestHandler):
    """A service that is healthy and answers everything else with 404."""

    def do_GET(self):
        status, body = (200, {"status": "ok"}) if self.path == "/health" else (404, {"error_code": "not_found"})
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class AgainstAService(unittest.TestCase):
    def setUp(self):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"

    def test_what_passed_and_what_failed_is_listed_and_counted(self):
        smoke = Smoke({"other-service": self.url})
        with redirect_stdout(io.StringIO()) as out:
            self.assertEqual(smoke.everything(), 1)
        self.assertIn("✓ is alive", out.getvalue())
        self.assertIn("✗ is ready\n      expected 200; got 404", out.getvalue())
        self.assertEqual((smoke.passed, smoke.failed), (1, 3))

    def test_a_wrong_field_or_header_is_a_failure(self):
        smoke = Smoke({"other-service": self.url})
        response = smoke.send("other-service", "GET", "/health")
        for expected in ({"status": "ready"}, {"missing": 1}, {"headers": {"Location": "/"}}):
            with self.subTest(expected), redirect_stdout(io.StringIO()):
                failed = smoke.failed
                headers = expected.pop("headers", None)
                smoke.check("holds", response, 200, headers, **expected)
                self.assertEqual(smoke.failed, failed + 1)


class Arguments(unittest.TestCase):
    def test_every_service_has_a_default_url(self):
        listed = {name: f"http://127.0.0.1:{service['port']}" for name, service in SERVICES.items()}
        self.assertEqual(urls([]), listed)

    def test_a_url_may_be_given_by_name(self):
        self.assertEqual(urls([f"{NAME}=http://example.com/"])[NAME], "http://example.com")

    def test_wrong_arguments_end_with_2(self):
        for argument in ("http://example.com", "no-service=http://example.com", f"{NAME}=ftp://a"):
            with self.subTest(argument), redirect_stderr(io.StringIO()):
                self.assertEqual(main([argument]), 2)

    def test_a_service_that_does_not_answer_ends_with_2(self):
        with redirect_stderr(io.StringIO()) as err:
            self.assertEqual(main([f"{NAME}=http://127.0.0.1:1"]), 2)
        self.assertIn(f"{NAME} does not answer at http://127.0.0.1:1", err.getvalue())


class Fields(unittest.TestCase):
    def test_a_field_is_found_by_its_path(self):
        response = Response(200, {}, b'{"items": [{"id": 7}]}')
        self.assertEqual(response["items.0.id"], 7)
        self.assertIsNone(response["items.1.id"])
        self.assertIsNone(Response(200, {}, b"no JSON")["items"])

    def test_the_collection_is_the_path_that_creates(self):
        paths = {"/a/{id}": {"post": {}}, "/a": {"get": {}}, "/b": {"get": {}, "post": {}}}
        self.assertEqual(collection({"paths": paths}), "/b")
        self.assertIsNone(collection(None))
