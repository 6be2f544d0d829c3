"""Judges the objects that kustomize made: by Kubernetes' own schemas, by what they refer to, and by what is promised of
every pod. Reads them from stdin; the arguments are the programs whose settings the ConfigMaps hold, by name=PATH."""

import re
import subprocess
import sys

import kubernetes_validate
import yaml

# The oldest release with `preStop.sleep`, and the newest whose schemas are at hand.
RELEASES = ["1.30", kubernetes_validate.latest_version()]

objects = [found for found in yaml.safe_load_all(sys.stdin) if found]
problems = []


def name(found):
    return f"{found['kind']} {found['metadata']['name']}"


def pod(found):
    """The template of the pods that an object makes, if it makes any."""
    return found["spec"].get("template") if found["kind"] in ("Deployment", "Job") else None


def judge(found, sentence, holds):
    if not holds:
        problems.append(f"{name(found)}: {sentence}")


def exists(kind, wanted):
    return any(found["kind"] == kind and found["metadata"]["name"] == wanted for found in objects)


def selected(labels):
    """Whether there are pods with these labels."""
    return any(labels.items() <= pod(found)["metadata"]["labels"].items() for found in objects if pod(found))


def judge_schema(found):
    for release in RELEASES:
        try:
            kubernetes_validate.validate(found, release, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            problems.append(f"{name(found)}: Kubernetes {release}: {str(error).splitlines()[0]}")


def judge_pod(found):
    template = pod(found)["spec"]
    judge(found, "runs as a fixed user that is not root", template["securityContext"].get("runAsNonRoot") is True
          and template["securityContext"].get("runAsUser", 0) > 0)
    judge(found, "confines system calls", template["securityContext"].get("seccompProfile") == {"type": "RuntimeDefault"})
    judge(found, "gets no token of the cluster", template.get("automountServiceAccountToken") is False)
    judge(found, "its service account is here", exists("ServiceAccount", template["serviceAccountName"]))
    for container in template["containers"]:
        context = container["securityContext"]
        judge(found, "cannot gain privileges", context.get("allowPrivilegeEscalation") is False)
        judge(found, "cannot write to its image", context.get("readOnlyRootFilesystem") is True)
        judge(found, "has no capability", context.get("capabilities") == {"drop": ["ALL"]})
        judge(found, "its image is of a fixed release", not container["image"].endswith(":latest")
              and ":" in container["image"].rsplit("/")[-1])
        for bound in ("requests", "limits"):
            judge(found, f"has {bound} of cpu and memory", {"cpu", "memory"} <= container["resources"][bound].keys())
        for source in container.get("envFrom", []):
            judge(found, "its ConfigMap is here", exists("ConfigMap", source["configMapRef"]["name"]))
        for variable in container.get("env", []):
            key = variable["valueFrom"]["secretKeyRef"]
            judge(found, "its Secret is here, with its key", any(
                secret["kind"] == "Secret" and secret["metadata"]["name"] == key["name"]
                and key["key"] in secret["stringData"] for secret in objects))
        if found["kind"] == "Deployment":
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                judge(found, f"has a {probe}", probe in container)
    if found["kind"] == "Deployment":
        # A second of notice, ten for requests, two for the database: services/platform/runtime/src/process.rs and server.rs
        wait = template["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        judge(found, "has time to stop well", template["terminationGracePeriodSeconds"] >= wait + 13)
        judge(found, "is found by its own selector", selected(found["spec"]["selector"]["matchLabels"]))


def judge_references(found):
    kind, spec = found["kind"], found.get("spec", {})
    if kind == "Service":
        judge(found, "selects pods", selected(spec["selector"]))
    elif kind == "PodDisruptionBudget":
        judge(found, "selects pods", selected(spec["selector"]["matchLabels"]))
    elif kind == "HorizontalPodAutoscaler":
        judge(found, "scales what is here", exists(spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]))
    elif kind == "NetworkPolicy":
        judge(found, "selects pods", selected(spec["podSelector"]["matchLabels"]))
        peers = [peer for rule in spec.get("ingress", []) for peer in rule.get("from", [])]
        peers += [peer for rule in spec.get("egress", []) for peer in rule.get("to", [])]
        for peer in peers:
            if "podSelector" in peer:
                judge(found, "names pods that are here", selected(peer["podSelector"]["matchLabels"]))
    elif kind == "Secret":
        judge(found, "holds no real secret", set(found["stringData"].values()) == {"REPLACE-ME"})


def judge_settings(found, programs):
    """A setting that the program does not have would be ignored, silently."""
    # kustomize adds a hash to the name.
    path = programs[found["metadata"]["name"].rsplit("-", 1)[0]]
    text = subprocess.run([path, "--help"], check=True, capture_output=True, text=True).stdout
    for variable in found["data"]:
        judge(found, f"{variable} is a setting of the program", re.search(rf"\[env: {variable}[=\]]", text))


def main():
    programs = dict(argument.split("=", 1) for argument in sys.argv[1:])
    for found in objects:
        judge_schema(found)
        judge_references(found)
        if pod(found):
            judge_pod(found)
        if found["kind"] == "ConfigMap":
            judge_settings(found, programs)
    if problems:
        sys.exit("These sentences do not hold:\n" + "\n".join(f"  {problem}" for problem in problems))
    print(f"{len(objects)} objects are valid in Kubernetes {' and '.join(map(str, RELEASES))}, and hold what is promised")


main()
