"""Starts instances of the services with HAProxy in front of them, and provides clients with their own IP addresses."""

import http.client
import itertools
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "testing"))
from service_process import ROOT, TIMEOUT_S, Service, variable

CONFIGURATION = ROOT / "deploy/proxy/haproxy.cfg"


class Instance(Service):
    """An instance of a service with its own IP address."""

    # HAProxy connects from 127.0.0.1, so its connections could occupy the port of a stopped instance there.
    ips = (f"127.0.0.{number}" for number in range(2, 250))

    def __init__(self, name, database_url, urls):
        super().__init__(name, database_url, tempfile.gettempdir(), urls, address=f"{next(self.ips)}:0")


class Proxy:
    """HAProxy with the tracked configuration, on its own ports."""

    def __init__(self, public, internal, directory, addresses):
        """`addresses` holds the two addresses of each service by its name."""
        self.address = public.getsockname()
        self.certificate = make_certificate(directory)
        settings = {
            "PUBLIC_ADDRESS": f"fd@{public.fileno()}",
            "INTERNAL_ADDRESS": f"fd@{internal.fileno()}",
            "CERTIFICATE": str(self.certificate),
        }
        if os.getuid() == 0:
            settings["PROXY_USER"] = "nobody"
        for service, both in addresses.items():
            settings |= {variable(service, number): address for number, address in enumerate(both, 1)}
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
    """Returns a socket that listens on a free port; HAProxy inherits it."""
    return socket.create_server(("127.0.0.1", 0), backlog=4096)


def make_certificate(directory):
    """Creates a certificate for localhost, and returns a file with the certificate and its key."""
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
    """A client of the proxy with its own IP address, so that tests do not share limits."""

    ips = (f"127.0.{high}.{low}" for high in range(1, 250) for low in range(1, 250))

    def __init__(self, proxy):
        self.proxy = proxy
        self.ip = next(self.ips)
        self.connections = []

    def connect(self, alpn="http/1.1"):
        """Opens a TLS connection for raw bytes."""
        context = ssl.create_default_context(cafile=self.proxy.certificate)
        context.set_alpn_protocols([alpn])
        connection = context.wrap_socket(self.connect_plain(), server_hostname="127.0.0.1")
        self.connections[-1] = connection
        return connection

    def connect_plain(self):
        connection = socket.create_connection(self.proxy.address, timeout=TIMEOUT_S, source_address=(self.ip, 0))
        # As http.client does: Nagle's algorithm would delay each body until the headers are acknowledged.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.append(connection)
        return connection

    def close(self):
        for connection in self.connections:
            connection.close()

    def keep_alive(self):
        """Opens a connection for several requests."""
        connection = http.client.HTTPConnection("127.0.0.1")
        connection.sock = self.connect()
        connection.auto_open = False
        return connection

    def send(self, method, path, body=None, headers=None, connection=None):
        """Sends a request and returns the status, headers and JSON of the response."""
        used = connection or self.keep_alive()
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        content_type = {} if body is None else {"Content-Type": "application/json"}
        used.request(method, path, body, content_type | (headers or {}))
        response = used.getresponse()
        text = response.read()
        if connection is None:
            used.close()
        return response.status, response.headers, json.loads(text) if text else None

    def create_user(self, connection=None):
        return self.send("POST", "/api/v1/users", {"email": next(emails), "name": "John Doe"}, connection=connection)


def read_to_end(connection):
    """Returns everything that the peer sends until it closes the connection."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return received
