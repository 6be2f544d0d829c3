"""scripts/test-compose: both compose files with a real Docker engine."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from services import ROOT, SERVICES
from steps import CANNOT_RUN, interrupt

sys.path.append(str(Path(__file__).resolve().parents[1] / "testing"))
from service_process import TIMEOUT_S, send, soon

IMAGES = ("rust:1.95-bookworm", "postgres:17-alpine", "rabbitmq:4-management-alpine", "maildev/maildev:2.2.1")
LARGEST_IMAGE = 25_000_000
SECRETS = re.compile("password|secret|token|database_url|events_url", re.IGNORECASE)
# Characters that a URL or a shell would mangle.
PASSWORDS = ("p@ss:wo/rd%20\"1", "p@ss'wo/rd?2", "p@ss #w\\ord&3")


class Broken(Exception):
    """A check failed; the text says which and why."""


def environment(names):
    """The settings of the test: nothing of a .env or of the environment decides about it. Ports are free ones."""
    settings = {
        "COMPOSE_PROJECT_NAME": f"orders-platform-test-{os.getpid()}",
        "PUBLISH_ADDRESS": "127.0.0.1",
        "LOG_LEVEL": "info",
        "POSTGRES_PASSWORD": PASSWORDS[0],
        "RABBITMQ_PASSWORD": "Rabbit-0.~_",
        "RABBITMQ_PORT": "0",
        "RABBITMQ_MANAGEMENT_PORT": "0",
        "MAILDEV_PORT": "0",
        "SMTP_URL": "",
        "SMTP_FROM": "",
        "SMS_URL": "",
        "SMS_FROM": "",
    }
    for number, name in enumerate(names, 1):
        prefix = name.upper().replace("-", "_")
        settings[f"{prefix}_PORT"] = "0"
        settings[f"{prefix}_DATABASE_PASSWORD"] = PASSWORDS[number % len(PASSWORDS)]
        settings[f"{prefix}_EVENTS_PASSWORD"] = f"Rabbit-{number}.~_"
    return settings


def ran(*arguments, env=None, timeout=1500):
    """The exit code of a command, and what it printed."""
    try:
        ended = subprocess.run(arguments, cwd=ROOT, env=env, timeout=timeout, text=True, errors="replace",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return ended.returncode, ended.stdout.strip()


def ok(name):
    print(f"  ✓ {name}", flush=True)


def check(name, holds, reason):
    if not holds:
        raise Broken(f"{name}: {reason}")
    ok(name)


class Platform:
    """The containers of one compose file, in a project of their own."""

    def __init__(self, compose, file, names, extra=()):
        self.compose = compose
        self.file = file
        self.services = names
        self.containers = [*extra, *names]
        self.env = os.environ | environment(names)

    def run(self, *arguments):
        return ran(*self.compose, "-f", self.file, *arguments, env=self.env)

    def must(self, *arguments):
        code, output = self.run(*arguments)
        if code != 0:
            raise Broken(f"{' '.join(arguments)} failed: {last_lines(output, 30)}")
        return output

    def up(self):
        if self.must("version", "--short").startswith("1."):
            self.must("up", "--build", "--detach")
            if not soon(lambda: all(map(self.healthy, self.containers))):
                raise Broken(f"not everything is healthy within {TIMEOUT_S} s")
        else:
            self.must("up", "--build", "--wait")

    def container(self, name):
        return self.must("ps", "--all", "-q", name)

    def inspect(self, name):
        code, output = ran("docker", "inspect", self.container(name))
        return json.loads(output)[0] if code == 0 else {}

    def healthy(self, name):
        return self.inspect(name).get("State", {}).get("Health", {}).get("Status") == "healthy"

    def url(self, name, port="8000"):
        # A free port is another one after each start.
        return f"http://{self.must('port', name, port)}"

    def restart(self, name):
        self.must("restart", name)
        if not soon(lambda: self.healthy(name)):
            raise Broken(f"{name} is not healthy within {TIMEOUT_S} s of its restart")


def last_lines(output, count=5):
    return "\n".join(output.splitlines()[-count:])


def not_hardened(container, processes):
    """What is missing of the hardening of a container; empty if nothing is."""
    host = container["HostConfig"]
    rules = {
        "its root file system is read-only": host["ReadonlyRootfs"],
        "it has no capability": host["CapDrop"] == ["ALL"] and not host["CapAdd"],
        "it cannot gain privileges": any("no-new-privileges" in option for option in host["SecurityOpt"] or []),
        "an init process reaps its children": host["Init"],
        "it is restarted": host["RestartPolicy"]["Name"] == "unless-stopped",
        "memory, CPUs and processes are limited": host["Memory"] and host["NanoCpus"] and host["PidsLimit"],
        "no process runs as root": processes and all(user not in ("0", "root") for user in processes),
    }
    return [rule for rule, holds in rules.items() if not holds]


def unfit_image(name, image, history, version):
    """What is wrong with the image of a service; empty if nothing is."""
    config = image["Config"]
    rules = {
        "it is below 25 MB": image["Size"] < LARGEST_IMAGE,
        "it runs as a user that is not root": config["User"] == "65532:65532",
        "its environment holds no secret": not any(SECRETS.search(entry) for entry in config["Env"] or []),
        "its history holds no secret": "password" not in history.lower(),
        "it reports its version": version == f"{name} {config['Labels']['org.opencontainers.image.version']}",
    }
    return [rule for rule, holds in rules.items() if not holds]


def users_of(container):
    """The users that the processes of a container run as."""
    code, output = ran("docker", "top", container, "-eo", "pid,uid")
    return [line.split()[1] for line in output.splitlines()[1:]] if code == 0 else []


def check_hardening(platform):
    for name in platform.containers:
        missing = not_hardened(platform.inspect(name), users_of(platform.container(name)))
        check(f"{name}: the hardening is in force", not missing, f"not true: {'; '.join(missing)}")


def check_images(platform):
    for name in platform.services:
        container = platform.container(name)
        image = platform.inspect(name)["Image"]
        details = json.loads(ran("docker", "image", "inspect", image)[1])[0]
        history = ran("docker", "history", "--no-trunc", image)[1]
        wrong = unfit_image(name, details, history, ran("docker", "run", "--rm", image, "--version")[1])
        check(f"{name}: the image is small, reports its version and holds no secret", not wrong,
              f"not true: {'; '.join(wrong)}")
        code, output = ran("docker", "exec", container, "sh", "-c", "true")
        check(f"{name}: there is no shell", code != 0 and re.search("not found|no such file", output), output)
        code, output = ran("docker", "cp", __file__, f"{container}:/probe")
        check(f"{name}: the root file system cannot be written", code != 0 and "read-only" in output, output)


def check_documents(platform):
    for name in platform.services:
        served = send(f"{platform.url(name)}/openapi.json")[1]
        promised = (ROOT / f"openapi/{name}.json").read_bytes().decode()
        check(f"{name}: the image serves the document of the repository, byte for byte", served == promised,
              "they differ")


def check_roles(platform):
    """Each service's role reaches its own database and no other."""
    databases = {name: service["database"] for name, service in SERVICES.items()}
    for name, own in databases.items():
        for database in (own, *(set(databases.values()) - {own}), "postgres", "template1"):
            code, output = platform.run("exec", "-T", "postgres", "psql", "--no-psqlrc", "--host=127.0.0.1",
                                        f"--username={name.replace('-', '_')}", f"--dbname={database}",
                                        "--command=SELECT 1")
            if database == own:
                check(f"{name}'s role reaches its own database", code == 0, output)
            else:
                check(f"{name}'s role does not reach {database}",
                      code != 0 and "permission denied for database" in output, output)


def check_broker(platform):
    """Each service is a user of the broker, and nobody else is but the administrator."""
    listed = platform.must("exec", "-T", "rabbitmq", "rabbitmqctl", "--quiet", "--formatter=json", "list_users")
    users = json.loads(listed)
    expected = {"administrator", *(name.replace("-", "_") for name in platform.services)}
    check("RabbitMQ has a user for each service and an administrator", {user["user"] for user in users} == expected,
          f"it has {users}")
    for user in sorted(expected):
        name = "RABBITMQ_PASSWORD" if user == "administrator" else f"{user.upper()}_EVENTS_PASSWORD"
        code, output = platform.run("exec", "-T", "rabbitmq", "rabbitmqctl", "--quiet", "authenticate_user", user,
                                    platform.env[name])
        check(f"RabbitMQ: {user} has its password", code == 0, output)
    # The image has no HTTP client. Prometheus asks for the same.
    ask = ("exec 3<>/dev/tcp/127.0.0.1/15692"
           " && printf 'GET /metrics/detailed?family=queue_coarse_metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3")
    answer = platform.must("exec", "-T", "rabbitmq", "bash", "-c", ask)
    check("RabbitMQ tells Prometheus the lengths of the queues",
          re.search(r'^rabbitmq_detailed_queue_messages\{[^}]*queue="[a-z-]+\.events"', answer, re.MULTILINE), answer)


def queues(platform):
    """The number of messages in each queue, by its name."""
    listed = platform.must("exec", "-T", "rabbitmq", "rabbitmqctl", "--quiet", "--formatter=json", "--vhost=platform",
                           "list_queues", "name", "messages")
    return {queue["name"]: queue["messages"] for queue in json.loads(listed)}


def waiting_events(platform):
    """The number of events in the outboxes of all services."""
    texts = [send(f"{platform.url(name)}/metrics")[1] for name in platform.services]
    return sum(int(rows) for text in texts for rows in re.findall(r"^outbox_rows (\d+)", text, re.MULTILINE))


def mails(platform):
    """The subjects of the e-mails to the customer of `check_events`, as maildev shows them."""
    status, text = send(platform.url("maildev", "1080") + "/email")
    found = json.loads(text) if status == 200 else []
    return [mail["subject"] for mail in found if mail["to"][0]["address"] == "events@example.com"]


def check_events(platform):
    """What happens to an order reaches its stock through the broker, at the latest when the broker is back."""
    orders, products = platform.url("order-service"), platform.url("product-service")

    def created(url, body):
        status, text = send(url, body)
        if status != 201:
            raise Broken(f"nothing could be created at {url}: {text}")
        return json.loads(text)

    def place_order():
        order = created(f"{orders}/api/v1/orders", {"user_id": user, "items": [{"product_id": product, "quantity": 2}]})
        return f"{orders}/api/v1/orders/{order['order_id']}"

    def paid_order():
        order = place_order()
        return soon(lambda: '"status":"confirmed"' in send(order)[1])

    def confirmed_order():
        return send(f"{place_order()}/status", {"status": "confirmed"}, "PUT")[0] == 200

    def stock():
        """What can be ordered, and what is reserved for orders that are not confirmed."""
        found = json.loads(send(f"{products}/api/v1/products/{product}")[1])
        return found["stock"], found["reserved"]

    somebody = {"email": "events@example.com", "name": "Events"}
    user = created(f"{platform.url('user-service')}/api/v1/users", somebody)["id"]
    product = created(f"{products}/api/v1/products", {
        "sku": "EVENTS-01", "name": "Green mug", "category": "kitchen", "stock": 10,
        "price": {"amount": 1998, "currency": "EUR"}})["id"]
    check("an order is placed, paid and confirmed", paid_order(), "it is not")
    check("its stock is taken", soon(lambda: stock() == (8, 0)), f"stock and reserved are {stock()}")
    check("the customer is welcomed, told of the confirmation, and has a receipt", soon(lambda: len(mails(platform)) == 3),
          mails(platform))

    platform.must("stop", "rabbitmq")
    code = platform.inspect("rabbitmq")["State"]["ExitCode"]
    check("RabbitMQ stopped: it ended by itself", code == 0, f"it ended with {code}")
    for name in platform.services:
        check(f"RabbitMQ stopped: {name} is ready", send(f"{platform.url(name)}/ready")[0] == 200, "it is not")
    check("RabbitMQ stopped: an order is placed and confirmed", confirmed_order(), "it is not")
    check("RabbitMQ stopped: its events wait", soon(lambda: waiting_events(platform) >= 2) and stock() == (6, 2),
          f"{waiting_events(platform)} events wait; stock and reserved are {stock()}")
    platform.must("restart", "order-service")
    check("RabbitMQ stopped: a service starts", soon(lambda: platform.healthy("order-service")), "it does not")
    platform.must("start", "rabbitmq")
    check("RabbitMQ started: the stock of the order is taken", soon(lambda: stock() == (6, 0)),
          f"stock and reserved are {stock()}")
    check("RabbitMQ started: no event waits, and none has died",
          soon(lambda: waiting_events(platform) == 0 and not any(queues(platform).values())),
          f"{waiting_events(platform)} events wait; in the queues are {queues(platform)}")


def check_data(platform):
    """Restarts, stops and starts everything, and checks that orders work as they should and nothing is lost."""
    url = platform.url

    def order(status, words):
        answer = send(f"{url('order-service')}/api/v1/orders", {"user_id": user, "product_id": product, "quantity": 2})
        return answer[0] == status and words in answer[1]

    def stored():
        found = send(f"{url('user-service')}/api/v1/users/{user}")
        placed = send(f"{url('order-service')}/api/v1/orders?user_id={user}")
        return "kept@example.com" in found[1] and f'"user_id":{user}' in placed[1] and found[0] == placed[0] == 200

    status, created = send(f"{url('user-service')}/api/v1/users", {"email": "kept@example.com", "name": "Kept"})
    if status != 201:
        raise Broken(f"no user could be created: {created}")
    user = json.loads(created)["id"]
    mug = {"sku": "KEPT-01", "name": "Blue mug", "category": "kitchen", "price": {"amount": 1998, "currency": "EUR"},
           "stock": 250}
    status, created = send(f"{url('product-service')}/api/v1/products", mug)
    if status != 201:
        raise Broken(f"no product could be created: {created}")
    product = json.loads(created)["id"]
    check("an order is placed", order(201, "created"), "no order could be placed")
    for name in platform.containers:
        platform.restart(name)
        check(f"{name} restarted: stored data is still there", soon(stored), "it is not")

    platform.must("stop", "user-service")
    code = platform.inspect("user-service")["State"]["ExitCode"]
    check("user-service stopped: it ended by itself", code == 0, f"it ended with {code}")
    check("user-service stopped: orders are refused with 503", order(503, "user_service_unavailable"), "they are not")
    platform.must("start", "user-service")
    check("user-service started: orders work again", soon(lambda: order(201, "created")), "they do not")
    if "postgres" in platform.containers:
        platform.must("stop", "postgres")
        check("PostgreSQL stopped: orders are refused with 503", order(503, "unavailable"), "they are not")
        platform.must("start", "postgres")
        check("PostgreSQL started: orders work again", soon(lambda: order(201, "created")), "they do not")

    platform.must("down")
    platform.up()
    check("taken down and up again: stored data is still there", stored(), "it is not")


def test(platform):
    print(f"\n{platform.file}, with {' '.join(platform.compose)}")
    started = time.monotonic()
    try:
        platform.up()
        ok(f"everything is up and healthy after {time.monotonic() - started:.0f} s")
        code, output = ran("scripts/smoke", *(f"{name}={platform.url(name)}" for name in platform.services))
        check("the smoke test passes", code == 0, last_lines(output, 30))
        check_hardening(platform)
        check_images(platform)
        check_documents(platform)
        if "postgres" in platform.containers:
            check_roles(platform)
        check_broker(platform)
        check_events(platform)
        check_data(platform)
    except Broken as broken:
        print(f"  ✗ {broken}\n{platform.run('ps')[1]}\n{platform.run('logs', '--tail=20')[1]}", flush=True)
        return False
    finally:
        platform.run("down", "--volumes", "--remove-orphans")
    print(f"  took {time.monotonic() - started:.0f} s", flush=True)
    return True


def missing(compose):
    """Why this test cannot run here; None if it can."""
    if ran("docker", "info")[0] != 0:
        return "No Docker engine answers here."
    if ran(*compose, "version")[0] != 0:
        return f"There is no {' '.join(compose)} here."
    for image in IMAGES:
        pull = ("docker", "pull", "--quiet", image)
        if ran("docker", "image", "inspect", image)[0] != 0 and ran(*pull, timeout=600)[0] != 0:
            return f"The image {image} is neither here nor can it be pulled."
    return None


def main():
    signal.signal(signal.SIGTERM, interrupt)
    compose = shlex.split(os.environ.get("COMPOSE", "docker compose"))
    if reason := missing(compose):
        print(reason)
        return CANNOT_RUN
    passed = test(Platform(compose, "docker-compose.yml", SERVICES, ["postgres", "rabbitmq", "maildev"]))
    return 0 if passed and test(Platform(compose, "docker-compose.sqlite.yml", SERVICES, ["rabbitmq", "maildev"])) else 1


if __name__ == "__main__":
    sys.exit(main())
