"""Generates clients of the services with other teams' generators, and runs the scenario with each."""

import os

from job import HERE, ROOT, documents


def short(service):
    """The name of a service's package where it may have no hyphen: user_service."""
    return service.replace("-", "_")


def openapi_python_client(job):
    programs = job.platform.venv / "bin"
    # It formats the code with ruff, and warns if there is none in PATH.
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    for service, document in documents().items():
        job.run(
            programs / "openapi-python-client", "generate", "--fail-on-warning", "--meta", "none",
            "--path", document, "--output-path", job.folder / short(service), PATH=path,
        )
    run_python(job, "openapi_python_client.py")


def orval(job):
    run_typescript(job, "orval", "orval", "--config", "orval.config.mjs")


def hey_api(job):
    run_typescript(job, "hey-api", "openapi-ts", "--file", "openapi-ts.config.mjs")


def generator_python(job):
    for service in documents():
        generate(job, "python", service, job.folder, packageName=short(service))
    run_python(job, "openapi_generator.py")


def generator_typescript(job):
    for service in documents():
        generate(job, "typescript-fetch", service, job.folder / "generated" / service)
    run_typescript(job, "openapi-generator")


def generator_rust(job):
    job.copy("rust")
    for service in documents():
        # A version of its own, so that the lock file does not change with that of the contract. Builders, so that the
        # scenario compiles when an operation gets another optional parameter.
        generate(job, "rust", service, job.folder / service, packageName=service, packageVersion="0.0.0",
                 library="reqwest-trait", useSingleRequestParameter=True, useBonBuilder=True)
    # In one folder for all runs, so that the dependencies are compiled once.
    job.run("cargo", "build", "--quiet", "--locked", "--target-dir", ROOT / "target/strangers/rust-target")
    job.scenario(ROOT / "target/strangers/rust-target/debug/scenario")


def generator_go(job):
    job.copy("go")
    for service in documents():
        generate(job, "go", service, job.folder / short(service), packageName=short(service), withGoMod=False)
    # Without the network: the clients need only Go's own library.
    job.run("go", "build", "-o", "scenario", ".", GOFLAGS="-mod=mod", GOPROXY="off")
    job.scenario(job.folder / "scenario")


def generator_java(job):
    job.copy("java")
    for service in documents():
        package = short(service)
        generate(
            job, "java", service, job.folder / package, library="native", invokerPackage=package,
            apiPackage=f"{package}.api", modelPackage=f"{package}.model", useSingleRequestParameter=True,
            openApiNullable=False, annotationLibrary="none",
        )
    jar = next((job.platform.venv / "lib").glob("python*/site-packages/openapi_generator_cli/*.jar"))
    sources = sorted(job.folder.glob("**/src/main/java/**/*.java"))
    job.run("javac", "-nowarn", "-cp", jar, "-d", "classes", *sources)
    job.scenario("java", "-cp", f"classes{os.pathsep}{jar}", "Scenario")


def generator_php(job):
    job.copy("php")
    for service in documents():
        generate(job, "php", service, job.folder / short(service), invokerPackage=short(service))
    job.scenario("php", "scenario.php")


def generate(job, generator, service, output, **properties):
    """Generates a client with openapi-generator."""
    command = [job.platform.venv / "bin/openapi-generator-cli", "generate", "--generator-name", generator]
    command += ["--input-spec", documents()[service], "--output", output]
    for name, value in properties.items():
        # It takes `true` for a switch, not `True`.
        command += ["--additional-properties", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    job.run(*command)


def run_python(job, program):
    job.scenario(job.platform.venv / "bin/python", HERE / "python" / program, PYTHONPATH=str(job.folder))


def run_typescript(job, program, *generator):
    """Generates, compiles strictly and runs the scenario with NAME.ts. `generator` is the command of an npm package."""
    job.copy("typescript")
    modules = job.platform.node_modules
    (job.folder / "node_modules").symlink_to(modules)
    if generator:
        name, *arguments = generator
        job.run(modules / ".bin" / name, *arguments, OPENAPI=str(ROOT / "openapi"))
    job.run(modules / ".bin/tsc", "--project", f"tsconfig.{program}.json")
    job.scenario("node", f"build/{program}.js")
