import tomllib
import unittest

from services import ROOT, Service, services


class Services(unittest.TestCase):
    def test_the_list_is_read_as_toml_means_it(self):
        read = tomllib.loads((ROOT / "services/platform.toml").read_text())["service"]
        meant = [Service(entry["name"], entry["port"], entry["database"]) for entry in read]
        self.assertEqual(services(), meant)

    def test_comments_and_other_keys_are_skipped(self):
        text = '# [[service]]\n[[service]]\nname = "a" # b\ncalls = ["b"]\nport = 1\ndatabase = "c"\n'
        self.assertEqual(services(text), [Service("a", 1, "c")])

    def test_a_service_without_a_port_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "without port"):
            services('[[service]]\nname = "a"\n')
