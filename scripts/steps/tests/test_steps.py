import io
import time
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

import steps
from steps import CANNOT_RUN, Failed, NotRun, Runner, command, step


def shell(text, **environment):
    return command("sh", "-c", text, **environment)


class Steps(unittest.TestCase):
    def setUp(self):
        self.out = self.enterContext(NamedTemporaryFile("w+"))
        self.runner = Runner(ci=False, out=self.out)

    def printed(self):
        return Path(self.out.name).read_text()

    def test_a_passing_run_ends_with_passed(self):
        self.runner.run([step("One", shell("echo $WORD", WORD="hello"))])
        self.assertEqual(self.runner.report(), 0)
        self.assertIn("hello", self.printed())
        self.assertEqual(self.printed().splitlines()[-1], "Passed")

    def test_the_table_has_every_step_and_the_total(self):
        self.runner.run([step("One", shell("sleep 0.2")), step("Two", shell("true"))])
        self.runner.report()
        self.assertRegex(self.printed(), r"One +0\.[2-9] s\nTwo +0\.\d s\nTotal +0\.\d s\n")

    def test_a_failing_command_stops_the_step_and_the_run(self):
        with self.assertRaisesRegex(Failed, "^One: sh -c exit 3 ended with 3$"):
            self.runner.run([step("One", shell("exit 3"), shell("echo second")), step("Two", shell("echo third"))])
        self.assertEqual(self.runner.report("One"), 1)
        self.assertNotRegex(self.printed(), "second|third")
        self.assertEqual(self.printed().splitlines()[-1], "FAILED: One")

    def test_a_program_that_does_not_exist_fails_its_step(self):
        with self.assertRaisesRegex(Failed, "^One: no-such-program cannot be started"):
            self.runner.run([step("One", command("no-such-program"))])

    def test_sequences_run_at_the_same_time(self):
        with TemporaryDirectory() as folder:
            # Each waits until the other has started.
            first = shell(f"touch {folder}/a; until [ -e {folder}/b ]; do sleep 0.01; done")
            second = shell(f"touch {folder}/b; until [ -e {folder}/a ]; do sleep 0.01; done")
            self.runner.run([step("One", first)], [step("Two", second)])

    def test_output_of_concurrent_steps_is_not_mixed(self):
        text = "echo begin; sleep 0.2; echo end"
        self.runner.run([step("One", shell(text))], [step("Two", shell(text))])
        self.assertEqual(self.printed().count("begin\nend\n"), 2)

    def test_a_failure_stops_the_other_sequences(self):
        started = time.monotonic()
        with self.assertRaisesRegex(Failed, "Two"):
            self.runner.run([step("One", shell("sleep 60"))], [step("Two", shell("echo why; exit 1"))])
        self.assertLess(time.monotonic() - started, 30)
        self.assertIn("why", self.printed())

    def test_a_step_that_cannot_run_is_reported(self):
        self.runner.run([step("One", shell(f"echo no engine; exit {CANNOT_RUN}")), step("Two", shell("true"))])
        self.assertEqual(self.runner.report(), 0)
        self.assertRegex(self.printed(), r"One +not run")
        self.assertEqual(self.printed().splitlines()[-1], "Passed. NOT RUN: One")

    def test_a_step_without_its_tools_is_left_out(self):
        self.runner.run([step("One", shell("exit 1"), tools=["no-such-tool"])])
        self.assertEqual(self.runner.not_run, ["One"])

    def test_ci_runs_a_step_whatever_its_tools(self):
        runner = Runner(ci=True, out=self.out)
        with self.assertRaises(Failed):
            runner.run([step("One", shell("exit 1"), tools=["no-such-tool"])])

    def test_a_step_for_ci_runs_only_there(self):
        one = step("One", shell("echo ran"), only_in_ci="a machine for itself")
        self.runner.run([one])
        self.assertNotIn("ran", self.printed().splitlines())
        self.assertIn("NOT RUN: it needs a machine for itself. CI runs it.", self.printed())
        Runner(ci=True, out=self.out).run([one])
        self.assertIn("ran", self.printed().splitlines())

    def test_a_command_may_be_made_when_its_turn_comes(self):
        def missing():
            raise NotRun("there is no revision.")

        self.runner.run([step("One", lambda: shell("echo made")), step("Two", missing)])
        self.assertIn("made", self.printed())
        self.assertEqual(self.runner.not_run, ["Two"])

    def test_an_interrupt_is_a_failure(self):
        def interrupted(runner):
            raise KeyboardInterrupt

        with redirect_stdout(io.StringIO()) as out:
            self.assertEqual(steps.main(interrupted), 1)
        self.assertEqual(out.getvalue().splitlines()[-1], "FAILED: interrupted")
