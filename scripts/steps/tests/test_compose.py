import copy
import io
import os
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import compose
from compose import Broken, Platform, environment, not_hardened, unfit_image
from steps import CANNOT_RUN

HARDENED = {
    "HostConfig": {
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "CapAdd": None,
        "SecurityOpt": ["no-new-privileges:true"],
        "Init": True,
        "RestartPolicy": {"Name": "unless-stopped"},
        "Memory": 1,
        "NanoCpus": 1,
        "PidsLimit": 1,
    }
}
LABELS = {"org.opencontainers.image.version": "1.2.3"}
IMAGE = {"Size": 20_000_000, "Config": {"User": "65532:65532", "Env": ["PATH=/"], "Labels": LABELS}}


class Rules(unittest.TestCase):
    def test_a_hardened_container_breaks_no_rule(self):
        self.assertEqual(not_hardened(HARDENED, ["65532"]), [])

    def test_every_setting_of_the_hardening_is_required(self):
        weak = {"ReadonlyRootfs": False, "CapDrop": [], "CapAdd": ["SYS_ADMIN"], "SecurityOpt": None, "Init": None,
                "RestartPolicy": {"Name": "no"}, "Memory": 0, "NanoCpus": 0, "PidsLimit": None}
        for setting, value in weak.items():
            with self.subTest(setting):
                container = copy.deepcopy(HARDENED)
                container["HostConfig"][setting] = value
                self.assertEqual(len(not_hardened(container, ["65532"])), 1)
        self.assertEqual(len(not_hardened(HARDENED, ["65532", "0"])), 1)
        self.assertEqual(len(not_hardened(HARDENED, [])), 1)

    def test_an_image_must_be_small_and_hold_no_secret(self):
        self.assertEqual(unfit_image("a", IMAGE, "", "a 1.2.3"), [])
        self.assertEqual(len(unfit_image("a", IMAGE | {"Size": 30_000_000}, "PASSWORD=x", "a 1.2.4")), 3)
        for setting, value in {"User": "", "Env": ["DATABASE_URL=postgres:"]}.items():
            with self.subTest(setting):
                image = IMAGE | {"Config": IMAGE["Config"] | {setting: value}}
                self.assertEqual(len(unfit_image("a", image, "", "a 1.2.3")), 1)

    def test_the_environment_names_every_service(self):
        settings = environment(["user-service", "order-service"])
        self.assertEqual(settings["USER_SERVICE_PORT"], "0")
        self.assertNotEqual(settings["USER_SERVICE_DATABASE_PASSWORD"], settings["ORDER_SERVICE_DATABASE_PASSWORD"])


class WithoutAnEngine(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(TemporaryDirectory())
        docker = Path(folder, "docker")
        docker.write_text("#!/bin/sh\necho \"no $*\"\nexit 1\n")
        docker.chmod(0o755)
        self.enterContext(mock.patch.dict(os.environ, {"PATH": f"{folder}:{os.environ['PATH']}"}))

    def test_without_an_engine_the_test_cannot_run(self):
        with redirect_stdout(io.StringIO()) as out:
            self.assertEqual(compose.main(), CANNOT_RUN)
        self.assertEqual(out.getvalue(), "No Docker engine answers here.\n")

    def test_a_command_that_fails_breaks_the_test_and_says_why(self):
        platform = Platform(["docker", "compose"], "file.yml", ["user-service"])
        with self.assertRaisesRegex(Broken, "up failed: no compose -f file.yml up"):
            platform.must("up")
        with redirect_stdout(io.StringIO()) as out:
            self.assertFalse(compose.test(platform))
        self.assertIn("✗ version --short failed", out.getvalue())
