import unittest
from pathlib import Path

from changed import affected, packages
from services import ROOT


def package(folder, name, *dependencies, dev=()):
    depends = [{"name": other, "path": f"/{other}", "kind": None} for other in dependencies]
    depends += [{"name": other, "path": f"/{other}", "kind": "dev"} for other in dev]
    depends.append({"name": "serde", "kind": None})
    return {"name": name, "manifest_path": f"/repository/{folder}/Cargo.toml", "dependencies": depends}


PACKAGES = [
    package("services/platform/contract", "contract"),
    package("services/platform/runtime", "service-runtime"),
    package("services/order-service", "order-service"),
    package("services/user-service/api", "user-service-api", "contract"),
    package("services/user-service", "user-service", "user-service-api", dev=["testing"]),
    package("services/platform/testing", "testing", dev=["user-client"]),
    package("clients/user-client", "user-client"),
    package("services/platform/all-in-one", "all-in-one", "user-service"),
]


class Affected(unittest.TestCase):
    def check(self, file, *names):
        self.assertEqual(affected({file}, PACKAGES, Path("/repository")), set(names))

    def test_the_deepest_package_owns_a_file(self):
        self.check("services/user-service/src/main.rs", "user-service", "all-in-one")
        self.check("services/user-service/api/src/lib.rs", "user-service-api", "user-service", "all-in-one")

    def test_dependents_are_affected_however_far(self):
        self.check("services/platform/contract/src/lib.rs", "contract", "user-service-api", "user-service", "all-in-one")

    def test_a_dependency_for_development_reaches_no_further(self):
        self.check("clients/user-client/src/lib.rs", "user-client", "testing")
        self.check("services/platform/testing/src/lib.rs", "testing", "user-service")

    def test_a_document_affects_its_service_and_its_client(self):
        affected = ["user-service", "user-service-api", "user-client", "all-in-one", "testing"]
        self.check("openapi/user-service.json", *affected)

    def test_a_migration_affects_its_service(self):
        self.check("migrations/user-service/0001.sql", "user-service", "all-in-one")

    def test_a_shared_migration_affects_the_runtime(self):
        self.check("migrations/every-service/0002.sql", "service-runtime")

    def test_the_table_of_settings_affects_the_service_that_is_compared(self):
        self.check("docs/operations.md", "order-service")

    def test_the_lock_file_affects_everything(self):
        self.check("Cargo.lock", *(one["name"] for one in PACKAGES))

    def test_prose_affects_nothing(self):
        self.check("docs/architecture.md")

    def test_the_packages_of_the_workspace_are_found(self):
        self.assertIn("contract", affected({"services/platform/contract/src/lib.rs"}, packages(), ROOT))
