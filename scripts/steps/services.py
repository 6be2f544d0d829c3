"""The services of the platform: services/platform.toml. As a program it prints their names, one a line."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Service:
    name: str
    port: int
    database: str


def services(text=None):
    """Every service, below the services that it calls. Reads `text` or the list of the platform.

    Reads the few lines it needs without tomllib: scripts/smoke also runs where Python is older than 3.11.
    """
    if text is None:
        text = (ROOT / "services/platform.toml").read_text()
    tables = re.split(r"(?m)^\[\[service\]\]$", text)[1:]
    return [Service(value(table, "name"), int(value(table, "port")), value(table, "database")) for table in tables]


def value(table, key):
    found = re.search(rf'(?m)^{key} = "?([^"\n#]*?)"?\s*(#.*)?$', table)
    if found is None:
        raise ValueError(f"a service without {key}:{table}")
    return found[1]


if __name__ == "__main__":
    print("\n".join(service.name for service in services()))
