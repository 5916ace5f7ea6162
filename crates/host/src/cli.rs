//! The command line. Options that Spin also has use its names and defaults.

use crate::engine::Interruption;
use crate::scheduler::{Limits, Reuse, Scheduling};
use clap::{Parser, Subcommand};
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;
use wasmtime::ProfilingStrategy;

/// The age at which an instance is replaced.
const MAX_INSTANCE_AGE: Duration = Duration::from_secs(60 * 60);
/// Spin's state folder, next to the manifest.
const STATE_DIR: &str = ".spin";

#[derive(Parser)]
#[command(name = "keypool", version, about, after_help = keypool_cli::EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the component of a manifest until SIGTERM, SIGHUP or Ctrl-C.
    Up(Up),
    /// Import the database of an earlier deployment into a new pool.
    ///
    /// The file is an export of Cloudflare D1 or a .dump of sqlite3.
    ImportSql(ImportSql),
    #[command(flatten)]
    Pool(keypool_cli::Command),
    /// Write a script that completes commands and options in a shell.
    Completions {
        /// The shell.
        shell: keypool_cli::Shell,
    },
}

#[derive(clap::Args)]
pub(crate) struct ImportSql {
    /// The SQL file, from `wrangler d1 export --output FILE` or `sqlite3 DATABASE .dump`.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

/// The application to run, and the folder of its database.
#[derive(clap::Args)]
pub(crate) struct AppArgs {
    /// The manifest, or a folder with a spin.toml.
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "spin.toml",
        value_parser = manifest_path
    )]
    pub(crate) from: PathBuf,
    /// Folder of the database [default: .spin next to the manifest].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl AppArgs {
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.state_dir
            .clone()
            .unwrap_or_else(|| self.from.with_file_name(STATE_DIR))
    }
}

#[derive(clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// The address to listen on; port 0 means any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    pub(crate) listen: String,
    /// Set a variable of the application; can be repeated.
    ///
    /// NAME=@FILE takes the content of a file, @FILE all variables of a .json or .toml file. These
    /// have precedence over SPIN_VARIABLE_NAME in the environment.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) variable: Vec<String>,
    /// Set an environment variable of the component; can be repeated.
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// Spin's runtime configuration: `[outbound_http]` and `[[client_tls]]`.
    #[arg(long, value_name = "FILE", env = "RUNTIME_CONFIG_FILE")]
    pub(crate) runtime_config_file: Option<PathBuf>,
    /// Run SQL, or that of @FILE, in one transaction before serving; can be repeated.
    #[arg(long, value_name = "STATEMENT")]
    pub(crate) sqlite: Vec<String>,
    /// Discard the component's output.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// How requests are distributed over instances of the component.
    #[arg(long, value_enum, default_value_t = SchedulerName::Warm)]
    scheduler: SchedulerName,
    /// Instances that are kept when idle [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    warm_instances: Option<usize>,
    /// Instances at the same time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    max_instances: usize,
    /// Requests that may wait for an instance when all are full; others get a 503.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_queued_requests: usize,
    /// Requests per instance [default: 10000, or 128 with `--scheduler spin`].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_instance_reuse_count: Option<usize>,
    /// Concurrent requests per instance [default: 64, or 16 with `--scheduler spin`].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_instance_concurrent_reuse_count: Option<usize>,
    /// How long an idle instance is kept that is not a warm one, such as 1s or 500ms.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    idle_instance_timeout: Duration,
    /// Stop an instance that computes for so long without a pause, such as 30s. Costs 6 % of the
    /// throughput.
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "scheduler")]
    max_busy_time: Option<Duration>,
    /// How long requests may continue after a signal to stop, such as 10s or 500ms.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) grace: Duration,
    /// How long a client may stop reading before its connection is closed, such as 60s or 500ms.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) write_timeout: Duration,
    /// Leave Nagle's algorithm on, as Spin does.
    #[arg(long)]
    pub(crate) nagle: bool,
    /// Write the names of the component's functions to /tmp/perf-PID.map, for Linux's `perf`.
    #[arg(long)]
    perf_map: bool,
    /// For tests: read the component's wall clock from FILE, in milliseconds since the Unix epoch.
    #[arg(long, value_name = "FILE")]
    pub(crate) test_clock: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SchedulerName {
    /// A few warm instances share all requests.
    Warm,
    /// As with Spin, an instance is started whenever none is ready.
    Spin,
}

impl Up {
    pub(crate) fn profiling(&self) -> ProfilingStrategy {
        match self.perf_map {
            true => ProfilingStrategy::PerfMap,
            false => ProfilingStrategy::None,
        }
    }

    pub(crate) fn interruption(&self) -> Interruption {
        match self.max_busy_time {
            Some(_) => Interruption::ByEpoch,
            None => Interruption::Never,
        }
    }

    pub(crate) fn scheduling(&self) -> Scheduling {
        match self.scheduler {
            SchedulerName::Warm => Scheduling::Warm(self.limits()),
            SchedulerName::Spin => Scheduling::Spin(Reuse {
                requests: self.max_instance_reuse_count.unwrap_or(128),
                concurrent_requests: self.max_instance_concurrent_reuse_count.unwrap_or(16),
                idle: self.idle_instance_timeout,
            }),
        }
    }

    fn limits(&self) -> Limits {
        let processors = available_parallelism().map_or(1, NonZero::get);
        let warm = self.warm_instances.unwrap_or(processors);
        Limits {
            warm: warm.min(self.max_instances),
            max: self.max_instances,
            concurrent: self.max_instance_concurrent_reuse_count.unwrap_or(64),
            requests: self.max_instance_reuse_count.unwrap_or(10_000),
            age: MAX_INSTANCE_AGE,
            idle: self.idle_instance_timeout,
            queue: self.max_queued_requests,
            busy: self.max_busy_time,
        }
    }
}

fn manifest_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    Ok(if path.is_dir() {
        path.join("spin.toml")
    } else {
        path
    })
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("must be a whole number above 0".to_owned()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let problem = || "must be a time such as 1s or 500ms".to_owned();
    let (number, unit): (&str, fn(u64) -> Duration) = match text.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis),
        None => (text.strip_suffix('s').unwrap_or(text), Duration::from_secs),
    };
    number.parse().map(unit).map_err(|_| problem())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::path::Path;

    fn up(arguments: &[&str]) -> Up {
        match Cli::parse_from(["keypool", "up"].iter().chain(arguments)).command {
            Command::Up(up) => up,
            Command::ImportSql(_) | Command::Pool(_) | Command::Completions { .. } => {
                unreachable!()
            }
        }
    }

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_and_documentation_say_what_exit_codes_mean() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains(keypool_cli::EXIT_CODES), "{help}");
        let page = include_str!("../../../docs/commands.md");
        for code in ["| 0 |", "| 1 |", "| 2 |"] {
            assert!(page.contains(code), "{code}");
        }
    }

    #[test]
    fn defaults_are_those_of_spin() {
        let up = up(&[]);
        assert_eq!(up.listen, "127.0.0.1:3000");
        assert_eq!(up.app.from, Path::new("spin.toml"));
        assert_eq!(up.app.state_dir(), Path::new(".spin"));
        assert!(!up.nagle && !up.quiet);
        assert_eq!(up.grace, Duration::from_secs(10));
        assert_eq!(up.test_clock, None);
    }

    #[test]
    fn spins_scheduler_has_its_defaults() {
        let Scheduling::Spin(reuse) = up(&["--scheduler", "spin"]).scheduling() else {
            panic!("another scheduler");
        };
        assert_eq!((reuse.requests, reuse.concurrent_requests), (128, 16));
        assert_eq!(reuse.idle, Duration::from_secs(1));
    }

    #[test]
    fn state_dir_defaults_to_a_folder_next_to_the_manifest() {
        assert_eq!(
            up(&["--from", "some/app.toml"]).app.state_dir(),
            Path::new("some/.spin")
        );
        assert_eq!(up(&["--state-dir", "x"]).app.state_dir(), Path::new("x"));
    }

    #[test]
    fn duration_accepts_seconds_and_milliseconds() {
        for (text, expected) in [
            ("1s", Some(1000)),
            ("2", Some(2000)),
            ("250ms", Some(250)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1m", None),
        ] {
            assert_eq!(
                duration(text).ok(),
                expected.map(Duration::from_millis),
                "{text:?}"
            );
        }
    }
}
