"""The services of the platform, as services/platform.toml lists them."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The entries of the list by name, each after the services that it calls.
SERVICES = {entry["name"]: entry for entry in tomllib.loads((ROOT / "services/platform.toml").read_text())["service"]}
