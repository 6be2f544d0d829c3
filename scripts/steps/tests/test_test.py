import subprocess
import unittest
from unittest import mock

import check
import test
from services import ROOT
from steps import Command


class Recorder:
    """Takes the place of a Runner, and records the steps."""

    def __init__(self, ci):
        self.ci = ci
        self.steps = []

    def run(self, *sequences):
        self.steps += [step for sequence in sequences for step in sequence]


def steps_of_test(ci):
    recorder = Recorder(ci)
    with mock.patch("test.clear_logs"):
        test.run(recorder)
    return recorder.steps


class Steps(unittest.TestCase):
    def test_every_script_of_a_step_exists(self):
        for step in steps_of_test(ci=True) + check.steps({"scripts/steps/a.py"}, {"contract"}):
            for command in step.commands:
                if isinstance(command, Command):
                    for argument in command.arguments:
                        if argument.startswith("scripts/"):
                            self.assertTrue((ROOT / argument).exists(), argument)
                    self.assertTrue((ROOT / command.folder).is_dir(), command.folder)

    def test_every_tool_of_a_step_is_known(self):
        tools = {tool for step in steps_of_test(ci=True) for tool in step.tools} | set(test.tools(ci=True))
        for tool in tools:
            with self.subTest(tool):
                ensure = subprocess.run([ROOT / "scripts/setup/ensure", "--dry-run", tool], capture_output=True)
                self.assertIn(ensure.returncode, (0, 1))

    def test_ci_installs_every_tool_that_a_step_needs(self):
        needed = {tool for step in steps_of_test(ci=True) for tool in step.tools}
        self.assertLessEqual(needed - {"linux-x86-64"}, set(test.tools(ci=True)))

    def test_no_two_steps_have_one_name(self):
        names = [step.name for step in steps_of_test(ci=False)]
        self.assertEqual(len(names), len(set(names)))

    def test_the_contract_is_compared_with_an_earlier_revision(self):
        revisions = {"rev-parse HEAD": "b", "merge-base HEAD origin/main": "a", "rev-parse --verify --quiet HEAD^": "c"}

        def base():
            return test.contract_change().arguments[-1]

        with mock.patch("test.revision", lambda *arguments: revisions.get(" ".join(arguments))):
            self.assertEqual(base(), "a")
            revisions["merge-base HEAD origin/main"] = "b"
            self.assertEqual(base(), "c")
            del revisions["rev-parse --verify --quiet HEAD^"]
            self.assertRaises(test.NotRun, base)

    def test_a_change_of_prose_needs_no_build(self):
        names = [step.name for step in check.steps({"docs/operations.md"}, set())]
        self.assertNotIn("Lints", names)
