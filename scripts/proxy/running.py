"""The parts of the test: instances of the services, HAProxy in front, and clients with IP addresses of their own."""

import http.client
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "deploy/proxy/haproxy.cfg"
PROGRAMS = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
CLUSTER = os.environ["TEST_POSTGRES_SOCKET_DIRECTORY"]
# How long anything may take before the test gives up: nothing is measured by it.
PATIENCE_S = 60


class Instance:
    """An instance of a service on a port that it keeps when it is started again."""

    # An IP address of its own: HAProxy's connections come from 127.0.0.1 and cannot take its port while it is stopped.
    ips = (f"127.0.0.{number}" for number in range(2, 250))

    def __init__(self, program, database, **settings):
        self.program = program
        self.settings = settings | {
            "DATABASE_URL": f"postgres:///{database}?host={CLUSTER}&user=postgres",
            "LOG_LEVEL": "info",
        }
        self.address = f"{next(self.ips)}:0"
        self.start()

    def start(self):
        settings = os.environ | self.settings | {"LISTEN_ADDRESS": self.address}
        self.process = subprocess.Popen(
            PROGRAMS / self.program, env=settings, cwd=tempfile.gettempdir(), stdout=subprocess.PIPE, text=True
        )
        for line in self.process.stdout:
            if (record := json.loads(line))["message"] == "serving":
                self.address = record["url"].removeprefix("http://")
                break
        else:
            raise RuntimeError(f"{self.program} did not start")
        # Somebody must read on: a service stops at a full pipe.
        self.reader = threading.Thread(target=self.process.stdout.read, daemon=True)
        self.reader.start()

    def stop(self, how=signal.SIGTERM):
        """The exit code."""
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE_S)
        self.reader.join()
        self.process.stdout.close()
        return code


def create_database(name):
    subprocess.run(["psql", "-qh", CLUSTER, "-U", "postgres", "-c", f"CREATE DATABASE {name}"], check=True)


class Proxy:
    """HAProxy with the configuration as it is, on ports of its own, with what it needs from the environment."""

    def __init__(self, public, internal, directory, users, orders):
        self.address = public.getsockname()
        self.certificate = make_certificate(directory)
        settings = {
            "PUBLIC_ADDRESS": f"fd@{public.fileno()}",
            "INTERNAL_ADDRESS": f"fd@{internal.fileno()}",
            "CERTIFICATE": str(self.certificate),
        }
        # Started as root, it is to become somebody else.
        if os.getuid() == 0:
            settings["PROXY_USER"] = "nobody"
        for name, addresses in ("USER", users), ("ORDER", orders):
            settings |= {f"{name}_SERVICE_{number}": address for number, address in enumerate(addresses, 1)}
        self.log = Path(directory) / "haproxy.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                ["haproxy", "-db", "-f", CONFIGURATION],
                env=os.environ | settings,
                pass_fds=(public.fileno(), internal.fileno()),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        public.close()
        internal.close()

    def stop(self):
        self.process.kill()
        self.process.wait()


def listener():
    """A socket on a free port that nobody else can take meanwhile; HAProxy gets it."""
    return socket.create_server(("127.0.0.1", 0), backlog=4096)


def make_certificate(directory):
    """A new certificate for localhost with its key, in one file as HAProxy wants it."""
    key, certificate, both = (Path(directory) / name for name in ("key.pem", "certificate.pem", "both.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    both.write_text(key.read_text() + certificate.read_text())
    return both


emails = (f"user{number}@example.com" for number in itertools.count())


class Client:
    """A client of the proxy with an IP address of its own, so that no test uses up the limits of another."""

    ips = (f"127.0.{high}.{low}" for high in range(1, 250) for low in range(1, 250))

    def __init__(self, proxy):
        self.proxy = proxy
        self.ip = next(self.ips)
        self.connections = []

    def connect(self, alpn="http/1.1"):
        """A TLS connection, to write to by hand."""
        context = ssl.create_default_context(cafile=self.proxy.certificate)
        context.set_alpn_protocols([alpn])
        connection = context.wrap_socket(self.connect_plain(), server_hostname="127.0.0.1")
        self.connections[-1] = connection
        return connection

    def connect_plain(self):
        connection = socket.create_connection(self.proxy.address, timeout=PATIENCE_S, source_address=(self.ip, 0))
        # As http.client does for its own connections: or each body waits for the acknowledgement of its head.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.append(connection)
        return connection

    def close(self):
        for connection in self.connections:
            connection.close()

    def kept(self):
        """A connection for several requests."""
        connection = http.client.HTTPConnection("127.0.0.1")
        connection.sock = self.connect()
        connection.auto_open = False
        return connection

    def send(self, method, path, body=None, headers=None, connection=None):
        """The status, headers and JSON of an answer."""
        kept = connection or self.kept()
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        content_type = {} if body is None else {"Content-Type": "application/json"}
        kept.request(method, path, body, content_type | (headers or {}))
        answer = kept.getresponse()
        text = answer.read()
        if connection is None:
            kept.close()
        return answer.status, answer.headers, json.loads(text) if text else None

    def create_user(self, connection=None):
        return self.send("POST", "/api/v1/users", {"email": next(emails), "name": "John Doe"}, connection=connection)


def until(condition):
    """Waits for a condition that is to come about."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def answers(connection):
    """All that is sent on a connection until the other side ends it."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return received
