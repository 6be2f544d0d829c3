"""Which packages a change affects: those with changed files, and those that depend on them."""

import json
import subprocess
from pathlib import Path

from services import ROOT

# A change of these affects every package.
GLOBAL = {"Cargo.toml", "Cargo.lock", "services/platform.toml", ".cargo/config.toml"}


def changed_files(base):
    """The files that differ from the revision `base`, new ones included, relative to the root."""
    return {*git("diff", "--name-only", "-z", base), *git("ls-files", "--others", "--exclude-standard", "-z")}


def git(*arguments):
    output = subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [name for name in output.split("\0") if name]


def packages():
    """The packages of the workspace, as `cargo metadata` describes them."""
    arguments = ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked", "--offline"]
    metadata = json.loads(subprocess.run(arguments, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    return metadata["packages"]


def affected(files, packages, root=ROOT):
    """The names of the packages that a change of `files` affects."""
    folders = {str(Path(package["manifest_path"]).parent.relative_to(root)): package["name"] for package in packages}
    if GLOBAL & files:
        return set(folders.values())
    changed = {name for file in files for name in owners(file, folders)}
    while True:
        grown = changed | dependents(changed, packages, dev=False)
        if grown == changed:
            # Its tests use what it depends on for development; nobody else does.
            return changed | dependents(changed, packages, dev=True)
        changed = grown


def owners(file, folders):
    """The packages that are compiled from `file`."""
    parts = Path(file).parts
    if parts[0] == "openapi":
        # Compiled into the service, its client and the tests; the API crate only has to agree with it.
        service = Path(file).stem
        names = {service, f"{service}-api", service.removesuffix("-service") + "-client", "orders-cli"}
    elif parts[0] == "migrations":
        names = {"service-runtime" if parts[1] == "every-service" else parts[1]}
    elif file == "docs/operations.md":
        # Its test compares the settings of the program with those in the document.
        names = {"order-service"}
    else:
        parents = [str(parent) for parent in Path(file).parents if str(parent) in folders]
        return {folders[parents[0]]} if parents else set()
    return names & set(folders.values())


def dependents(names, packages, dev):
    """The packages that depend directly on one of `names`, for development or otherwise."""
    return {
        package["name"]
        for package in packages
        for dependency in package["dependencies"]
        if dependency.get("path") and dependency["name"] in names and (dependency["kind"] == "dev") == dev
    }
