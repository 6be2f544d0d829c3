"""Validates the output of kustomize, read from stdin: Kubernetes' schemas, the references, the rules for every pod, and
the settings that the programs in target/debug accept."""

import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml

sys.path.append(str(Path(__file__).resolve().parents[1] / "testing"))
from service_process import PROGRAMS, SERVICES

# The oldest release with `preStop.sleep`, and the newest release whose schemas are available.
RELEASES = ["1.30", kubernetes_validate.latest_version()]

objects = [found for found in yaml.safe_load_all(sys.stdin) if found]
problems = []


def name(found):
    return f"{found['kind']} {found['metadata']['name']}"


def pod(found):
    """The template of the pods that an object creates; None if it creates no pods."""
    return found["spec"].get("template") if found["kind"] in ("Deployment", "Job") else None


def check(found, sentence, holds):
    if not holds:
        problems.append(f"{name(found)}: {sentence}")


def exists(kind, wanted):
    return any(found["kind"] == kind and found["metadata"]["name"] == wanted for found in objects)


def selected(labels):
    """Whether there are pods with these labels."""
    return any(labels.items() <= pod(found)["metadata"]["labels"].items() for found in objects if pod(found))


def check_schema(found):
    for release in RELEASES:
        try:
            kubernetes_validate.validate(found, release, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            problems.append(f"{name(found)}: Kubernetes {release}: {str(error).splitlines()[0]}")


def check_pod(found):
    template = pod(found)["spec"]
    check(found, "runs as a fixed user that is not root", template["securityContext"].get("runAsNonRoot") is True
          and template["securityContext"].get("runAsUser", 0) > 0)
    profile = template["securityContext"].get("seccompProfile")
    check(found, "confines system calls", profile == {"type": "RuntimeDefault"})
    check(found, "gets no token of the Kubernetes API", template.get("automountServiceAccountToken") is False)
    check(found, "its service account exists", exists("ServiceAccount", template["serviceAccountName"]))
    for container in template["containers"]:
        context = container["securityContext"]
        check(found, "cannot gain privileges", context.get("allowPrivilegeEscalation") is False)
        check(found, "cannot write to its image", context.get("readOnlyRootFilesystem") is True)
        check(found, "has no capability", context.get("capabilities") == {"drop": ["ALL"]})
        check(found, "its image has a fixed version", not container["image"].endswith(":latest")
              and ":" in container["image"].rsplit("/")[-1])
        for bound in ("requests", "limits"):
            check(found, f"has {bound} of cpu and memory", {"cpu", "memory"} <= container["resources"][bound].keys())
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                check(found, "its ConfigMap exists", exists("ConfigMap", source["configMapRef"]["name"]))
                continue
            name = source["secretRef"]["name"]
            check(found, "its Secret exists", exists("Secret", name))
            for secret in objects:
                if secret["kind"] == "Secret" and secret["metadata"]["name"] == name:
                    for variable in secret["stringData"]:
                        check_setting(found, container["name"], variable)
        for variable in container.get("env", []):
            key = variable["valueFrom"]["secretKeyRef"]
            check(found, "its Secret exists, with its key", any(
                secret["kind"] == "Secret" and secret["metadata"]["name"] == key["name"]
                and key["key"] in secret["stringData"] for secret in objects))
            # libpq's variables are no settings of the program.
            if not variable["name"].startswith("PG"):
                check_setting(found, container["name"], variable["name"])
        if found["kind"] == "Deployment":
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                check(found, f"has a {probe}", probe in container)
    if found["kind"] == "Deployment":
        # 1 s as not ready, 10 s for requests, 2 s for the database: services/platform/runtime/src/process.rs, server.rs
        wait = template["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        check(found, "has time for a graceful shutdown", template["terminationGracePeriodSeconds"] >= wait + 13)
        check(found, "is matched by its own selector", selected(found["spec"]["selector"]["matchLabels"]))


def check_references(found):
    kind, spec = found["kind"], found.get("spec", {})
    if kind == "Service":
        check(found, "selects pods", selected(spec["selector"]))
    elif kind == "PodDisruptionBudget":
        check(found, "selects pods", selected(spec["selector"]["matchLabels"]))
    elif kind == "HorizontalPodAutoscaler":
        target = spec["scaleTargetRef"]
        check(found, "scales an object that exists", exists(target["kind"], target["name"]))
    elif kind == "NetworkPolicy":
        check(found, "selects pods", selected(spec["podSelector"]["matchLabels"]))
        peers = [peer for rule in spec.get("ingress", []) for peer in rule.get("from", [])]
        peers += [peer for rule in spec.get("egress", []) for peer in rule.get("to", [])]
        for peer in peers:
            if "podSelector" in peer:
                check(found, "names pods that exist", selected(peer["podSelector"]["matchLabels"]))
    elif kind == "Secret":
        check(found, "contains only placeholders", set(found["stringData"].values()) == {"REPLACE-ME"})


def check_settings(found):
    # kustomize appends a hash to the name.
    program = found["metadata"]["name"].rsplit("-", 1)[0]
    for variable in found["data"]:
        check_setting(found, program, variable)


def check_setting(found, program, variable):
    """A program silently ignores an environment variable that it does not know."""
    text = subprocess.run([PROGRAMS / program, "--help"], check=True, capture_output=True, text=True).stdout
    check(found, f"{variable} is a setting of the program", re.search(rf"\[env: {variable}[=\]]", text))


def main():
    for service in SERVICES:
        for kind in ("Deployment", "Service", "Job"):
            made = f"{service}-migration" if kind == "Job" else service
            if not exists(kind, made):
                problems.append(f"{kind} {made}: exists")
    for found in objects:
        check_schema(found)
        check_references(found)
        if pod(found):
            check_pod(found)
        if found["kind"] == "ConfigMap":
            check_settings(found)
    if problems:
        sys.exit("These statements are false:\n" + "\n".join(f"  {problem}" for problem in problems))
    print(f"{len(objects)} objects are valid in Kubernetes {' and '.join(map(str, RELEASES))} and follow the rules")


main()
