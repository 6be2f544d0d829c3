//! Starts RabbitMQ brokers in temporary directories, on free ports, each with an epmd of its own.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use service_runtime::events::EventsUrl;
use tempfile::TempDir;

use crate::server_user::server_user;

/// The variable that holds the URL of the broker, without a virtual host.
pub const BROKER_VARIABLE: &str = "TEST_RABBITMQ_URL";
/// The variable that holds the base URL of its management plugin.
pub const MANAGEMENT_VARIABLE: &str = "TEST_RABBITMQ_MANAGEMENT_URL";

/// The programs of Debian's package. Those on the path insist on root.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// How long a broker may take to start. It needs six seconds if it has the machine for itself.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How often to look whether it has started.
const START_INTERVAL: Duration = Duration::from_millis(50);

/// Twice the time after which the names of new queues are stored.
const SETTLING_TIME: Duration = Duration::from_secs(2);

/// A running broker; stopped and removed when dropped.
#[derive(Debug)]
pub struct Broker {
    directory: TempDir,
    ports: Ports,
    epmd: Child,
    server: Child,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    amqp: u16,
    management: u16,
    distribution: u16,
    epmd: u16,
}

impl Broker {
    /// Creates and starts a broker.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("rabbitmq-").tempdir()?;
        let ports = Ports::free()?;
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
        write("enabled_plugins", "[rabbitmq_management].\n")?;
        write(
            "rabbitmq.conf",
            &format!(
                "listeners.tcp.1 = 127.0.0.1:{}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\n\
                 log.file.level = warning\ndisk_free_limit.absolute = 1MB\n",
                ports.amqp, ports.management
            ),
        )?;
        if let Some((user, group)) = server_user("rabbitmq")? {
            chown(directory.path(), Some(user), Some(group))?;
        }
        let epmd = command("epmd", directory.path(), ports)?
            .args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()])
            .process_group(0)
            .spawn()
            .context("cannot run epmd; on Debian: apt-get install rabbitmq-server")?;
        let server = match serve(directory.path(), ports) {
            Ok(server) => server,
            Err(error) => {
                end(epmd);
                return Err(error);
            }
        };
        let mut broker = Self { directory, ports, epmd, server };
        broker.wait()?;
        Ok(broker)
    }

    /// Its URL, without a virtual host.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.ports.amqp)
    }

    /// The base URL of its management plugin.
    pub fn management_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.management)
    }

    /// Creates an empty virtual host.
    pub async fn create_vhost(&self) -> Result<EventsUrl> {
        create_vhost(&self.url(), &self.management_url()).await
    }

    /// Waits until the queues that were declared so far survive [`kill`](Self::kill). RabbitMQ stores their names a
    /// second later, and a queue whose name is lost never answers again.
    pub fn settle(&self) {
        std::thread::sleep(SETTLING_TIME);
    }

    /// Kills the broker with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.signal("KILL")?;
        self.server.wait()?;
        // The first process is a script. The others still have the ports for a moment.
        while self.signal("0").is_ok() {
            std::thread::sleep(START_INTERVAL);
        }
        Ok(())
    }

    /// Starts the broker again after [`kill`](Self::kill), and waits until it accepts connections.
    pub fn restart(&mut self) -> Result<()> {
        self.server = serve(self.directory.path(), self.ports)?;
        self.wait()
    }

    /// Stops all its processes, which keep their connections.
    pub fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Runs `rabbitmqctl` on this broker.
    pub fn control(&self, arguments: &[&str]) -> Result<()> {
        let program = PathBuf::from(PROGRAMS).join("rabbitmqctl");
        let output =
            command(program, self.directory.path(), self.ports)?.args(arguments).stderr(Stdio::piped()).output()?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "rabbitmqctl {arguments:?} failed: {message}");
        Ok(())
    }

    /// Sends a signal to the group of the server's processes.
    fn signal(&self, name: &str) -> Result<()> {
        let group = format!("-{}", self.server.id());
        let status = Command::new("kill").args(["-s", name, "--", &group]).stderr(Stdio::null()).status()?;
        ensure!(status.success(), "the broker has no process to send SIG{name} to");
        Ok(())
    }

    /// Waits until the broker accepts connections on both ports: the management plugin is the last to start.
    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let accepts = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        while !(accepts(self.ports.amqp) && accepts(self.ports.management)) {
            if let Some(status) = self.server.try_wait()? {
                bail!("the broker ended with {status}; its log is {}", self.log());
            }
            ensure!(Instant::now() < deadline, "the broker does not start; its log is {}", self.log());
            std::thread::sleep(START_INTERVAL);
        }
        Ok(())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("stdout")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.kill();
        let _ = self.epmd.kill();
        let _ = self.epmd.wait();
    }
}

impl Ports {
    /// Ports that were free a moment ago.
    fn free() -> Result<Self> {
        // All are bound before the first is released: otherwise they could be the same.
        let [amqp, management, distribution, epmd] = [free_port()?, free_port()?, free_port()?, free_port()?];
        Ok(Self { amqp: amqp.0, management: management.0, distribution: distribution.0, epmd: epmd.0 })
    }
}

/// A free port, and what keeps it. Not one of those that the system gives to connections, which could take it while the
/// broker does not run.
fn free_port() -> std::io::Result<(u16, TcpListener)> {
    loop {
        let port = fastrand::u16(10_000..32_000);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            bound => return bound.map(|listener| (port, listener)),
        }
    }
}

fn serve(directory: &Path, ports: Ports) -> Result<Child> {
    let output = std::fs::File::create(directory.join("stdout"))?;
    let program = PathBuf::from(PROGRAMS).join("rabbitmq-server");
    command(&program, directory, ports)?
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {}; on Debian: apt-get install rabbitmq-server", program.display()))
}

/// A command that runs one of RabbitMQ's programs in `directory`, as an unprivileged user.
fn command(program: impl AsRef<Path>, directory: &Path, ports: Ports) -> Result<Command> {
    let mut command = Command::new(program.as_ref());
    if let Some((user, group)) = server_user("rabbitmq")? {
        command.uid(user).gid(group);
    }
    // That user may have no access to the working directory of a test.
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The cookie by which the programs know each other is in the home directory.
    command.env("HOME", directory).env("RABBITMQ_NODENAME", "test@localhost");
    command.env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
    for (variable, file) in [
        ("CONFIG_FILE", "rabbitmq.conf"),
        ("MNESIA_BASE", "data"),
        ("LOG_BASE", "log"),
        ("ENABLED_PLUGINS_FILE", "enabled_plugins"),
        ("PID_FILE", "pid"),
        ("FEATURE_FLAGS_FILE", "feature_flags"),
        ("GENERATED_CONFIG_DIR", "config"),
    ] {
        command.env(format!("RABBITMQ_{variable}"), directory.join(file));
    }
    command.env("RABBITMQ_DIST_PORT", ports.distribution.to_string());
    command.env("ERL_EPMD_PORT", ports.epmd.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
    // Two schedulers that sleep when idle: by default they spin for a while, which takes CPUs from the tests.
    let arguments = "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none";
    command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", arguments);
    Ok(command)
}

fn end(mut process: Child) {
    let _ = process.kill();
    let _ = process.wait();
}

/// Creates an empty virtual host of the broker at `broker`.
pub(crate) async fn create_vhost(broker: &str, management: &str) -> Result<EventsUrl> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    // Whoever creates a virtual host has all rights in it.
    let request = reqwest::Client::new().put(format!("{management}/api/vhosts/{name}"));
    request.basic_auth("guest", Some("guest")).send().await?.error_for_status()?;
    format!("{broker}/{name}").parse().map_err(anyhow::Error::msg)
}
