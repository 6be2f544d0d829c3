"""Starts services and sends requests to them, for the tests that are written in Python."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "steps"))
from services import ROOT, SERVICES

PROGRAMS = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
# A generous timeout: CI may be slow.
TIMEOUT_S = 90
# Without a proxy that the environment may name: everything is on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def send(url, body=None, method=None):
    """Sends a GET, or a POST with JSON if there is a body, or else the named method. Returns the status and the text of the response; status 0 and
    the reason if there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with OPENER.open(request, timeout=TIMEOUT_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def soon(condition):
    """Waits until the condition holds. Returns whether it did in time."""
    end = time.monotonic() + TIMEOUT_S
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return holds


def create_database(name):
    """Creates a database in the cluster of with-postgres, and returns its URL."""
    cluster = os.environ["TEST_POSTGRES_SOCKET_DIRECTORY"]
    subprocess.run(["psql", "-qh", cluster, "-U", "postgres", "-c", f'CREATE DATABASE "{name}"'], check=True)
    return f"postgres:///{name}?host={cluster}&user=postgres"


def create_vhost(name):
    """Creates a virtual host in the broker of with-rabbitmq, and returns its URL."""
    request = urllib.request.Request(f"{os.environ['TEST_RABBITMQ_MANAGEMENT_URL']}/api/vhosts/{name}", method="PUT")
    request.add_header("Authorization", f"Basic {base64.b64encode(b'guest:guest').decode()}")
    OPENER.open(request, timeout=TIMEOUT_S).close()
    return f"{os.environ['TEST_RABBITMQ_URL']}/{name}"


def variable(service, suffix):
    """The name of an environment variable that concerns a service, such as USER_SERVICE_URL."""
    return f"{service.replace('-', '_').upper()}_{suffix}"


def needed_by(service):
    """The services that a service calls, without those that it works without: the scenarios are not about them."""
    return [name for name in SERVICES[service]["calls"] if name not in SERVICES[service].get("optional_calls", ())]


def with_callees(service):
    """A service and all services that it needs, directly or not, in the order in which to start them."""
    needed = {service}
    for name in reversed(SERVICES):
        if name in needed:
            needed.update(needed_by(name))
    return [name for name in SERVICES if name in needed]


class Service:
    """A running service. It keeps its port when it is started again."""

    def __init__(self, name, database_url, directory, urls=None, address="127.0.0.1:0", log=os.devnull, events_url=""):
        """Starts it in `directory`; `urls` holds the URLs of other services by name, and `log` gets its output. It exchanges
        events if there is an `events_url`."""
        self.name = name
        self.directory = directory
        self.address = address
        self.log = log
        self.settings = {variable(callee, "URL"): urls[callee] for callee in needed_by(name)}
        self.settings |= {"DATABASE_URL": database_url, "EVENTS_URL": events_url, "LOG_LEVEL": "info"}
        self.start()

    @property
    def url(self):
        return f"http://{self.address}"

    def start(self):
        environment = os.environ | self.settings | {"LISTEN_ADDRESS": self.address}
        self.process = subprocess.Popen(
            PROGRAMS / self.name, env=environment, cwd=self.directory, stdout=subprocess.PIPE, text=True
        )
        log = open(self.log, "a")
        for line in self.process.stdout:
            log.write(line)
            if (record := json.loads(line))["message"] == "serving":
                self.address = record["url"].removeprefix("http://")
                break
        else:
            raise RuntimeError(f"{self.name} did not start; its output is in {self.log}")
        # A full pipe would block the service.
        self.reader = threading.Thread(target=self.copy_output, args=[log], daemon=True)
        self.reader.start()

    def copy_output(self, log):
        with log, self.process.stdout:
            log.writelines(self.process.stdout)

    def stop(self, how=signal.SIGTERM):
        """Stops it, unless it has stopped, and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(TIMEOUT_S)
        self.reader.join()
        return code
