import json
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlite_tests import COUNTS, TestProgram, test_programs


def message(name, kind="test", test=True, executable="/target/x", reason="compiler-artifact"):
    target = {"kind": [kind], "name": name, "src_path": f"/repository/a/tests/{name}.rs"}
    return json.dumps({"reason": reason, "manifest_path": "/repository/a/Cargo.toml", "target": target,
                       "profile": {"test": test}, "executable": executable})


class TestPrograms(unittest.TestCase):
    def test_only_tests_of_the_wanted_packages_are_programs(self):
        messages = [message("http"), message("a", "lib", executable=None), message("main", "bin", test=False)]
        messages.append(json.dumps({"reason": "build-finished", "success": True}))
        found = test_programs(messages, {"/repository/a/Cargo.toml": "a"})
        self.assertEqual([program.name for program in found], ["a: tests/http.rs"])
        self.assertEqual(test_programs(messages, {"/repository/b/Cargo.toml": "b"}), [])

    def test_files_that_start_a_cluster_or_a_build_are_left_out(self):
        with TemporaryDirectory() as folder:
            for name, text, left_out in [
                ("outage", "let cluster = Cluster::start().unwrap();", True),
                ("durability", "let cluster = Cluster::start_with(Durability::Full);", True),
                ("with_postgres", "", True),
                ("with_rabbitmq", "", True),
                ("check", 'Command::new("cargo").env("CARGO_TARGET_DIR", target)', True),
                ("http", "on_both_databases! {}", False),
            ]:
                source = Path(folder, f"{name}.rs")
                source.write_text(text)
                with self.subTest(name):
                    self.assertEqual(TestProgram("a", "test", source, "x", Path(folder)).left_out(), left_out)

    def test_counts_are_read_from_what_the_program_prints(self):
        line = "test result: ok. 12 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s"
        self.assertEqual(COUNTS.findall(f"\nrunning 12 tests\n............\n{line}\n"), [("12", "1", "3")])
