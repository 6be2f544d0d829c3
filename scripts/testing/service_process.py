"""Starts services, for the tests that are written in Python."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "steps"))
from services import ROOT, SERVICES

PROGRAMS = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
# A generous timeout: CI may be slow.
TIMEOUT_S = 90


def variable(service, suffix):
    """The name of an environment variable that concerns a service, such as USER_SERVICE_URL."""
    return f"{service.replace('-', '_').upper()}_{suffix}"


def with_callees(service):
    """A service and all services that it calls, directly or not, in the order in which to start them."""
    needed = {service}
    for name in reversed(SERVICES):
        if name in needed:
            needed.update(SERVICES[name]["calls"])
    return [name for name in SERVICES if name in needed]


class Service:
    """A running service. It keeps its port when it is started again."""

    def __init__(self, name, database_url, directory, urls=None, address="127.0.0.1:0", log=os.devnull):
        """Starts it in `directory`; `urls` holds the URLs of other services by name, and `log` gets its output."""
        self.name = name
        self.directory = directory
        self.address = address
        self.log = log
        self.settings = {variable(callee, "URL"): urls[callee] for callee in SERVICES[name]["calls"]}
        self.settings |= {"DATABASE_URL": database_url, "LOG_LEVEL": "info"}
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
