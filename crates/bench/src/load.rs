//! Requests in numbers: oha, run and read.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How requests come.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Requests per second; as many as are answered where there is none.
    pub(crate) rate: Option<u32>,
}

/// Points of the distribution of latencies: the percentile, and milliseconds.
pub(crate) type Latencies = [(f64, f64); 9];

/// What became of the requests of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    pub(crate) per_second: f64,
    pub(crate) latencies: Latencies,
    /// Answered with 200, to the last byte.
    pub(crate) answered: u64,
    /// What else there was, in words.
    pub(crate) failures: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    summary: Summary,
    /// `null` where nothing was answered.
    latency_percentiles: BTreeMap<String, Option<f64>>,
    status_code_distribution: BTreeMap<String, u64>,
    error_distribution: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    requests_per_sec: f64,
}

/// Where requests go, and what each has with it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
    pub(crate) token: String,
    /// Beside the token, as `name: value`.
    pub(crate) headers: Vec<String>,
}

/// Asks for chat completions for `duration`, and waits for all answers.
pub(crate) fn run(
    oha: &Path,
    load: &Load,
    duration: Duration,
    target: &Target,
    body: &Path,
) -> Result<Answers> {
    let mut command = Command::new(oha);
    command
        .args(["--no-tui", "--output-format=json", "--disable-compression"])
        // The machine is shared with what is measured; one thread asks for 100,000 a second.
        .args(["--worker-threads=1", "-w", "-m", "POST"])
        .args(["-T", "application/json", "-c"])
        .arg(load.connections.to_string())
        .arg(format!("-z{}ms", duration.as_millis()))
        .arg("-H")
        .arg(format!("authorization: Bearer {}", target.token))
        .arg("-D")
        .arg(body);
    for header in &target.headers {
        command.arg("-H").arg(header);
    }
    if let Some(rate) = load.rate {
        command.arg(format!("-q{rate}")).arg("--latency-correction");
    }
    let output = command
        .arg(format!("http://{}{}", target.address, target.path))
        .output()
        .with_context(|| format!("{} cannot be started", oha.display()))?;
    ensure!(
        output.status.success(),
        "the load generator failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Report = serde_json::from_slice(&output.stdout)
        .context("the load generator's report is not as it was in version 1.16")?;
    Ok(report.into())
}

impl From<Report> for Answers {
    fn from(report: Report) -> Self {
        let names = [
            "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99",
        ];
        let percentiles = names.map(|name| {
            let percent = name.trim_start_matches('p').parse().unwrap_or(f64::NAN);
            let seconds = report.latency_percentiles.get(name).copied().flatten();
            (percent, seconds.unwrap_or(f64::NAN) * 1e3)
        });
        let answered = report.status_code_distribution.get("200").copied();
        let others = report
            .status_code_distribution
            .iter()
            .filter(|(status, _)| *status != "200")
            .map(|(status, count)| format!("{count} × {status}"));
        let errors = report
            .error_distribution
            .iter()
            .map(|(error, count)| format!("{count} × {error}"));
        Self {
            per_second: report.summary.requests_per_sec,
            latencies: percentiles,
            answered: answered.unwrap_or_default(),
            failures: others.chain(errors).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_oha_is_read() {
        let report = serde_json::json!({
            "summary": {"requestsPerSec": 12.5, "total": 1.0},
            "latencyPercentiles": {"p10": 0.001, "p25": 0.001, "p50": 0.002, "p75": 0.003, "p90": 0.004, "p95": 0.005,
                "p99": 0.006, "p99.9": 0.007, "p99.99": null},
            "statusCodeDistribution": {"200": 10, "503": 2},
            "errorDistribution": {"connection closed": 1},
        });
        let answers = Answers::from(serde_json::from_value::<Report>(report).unwrap());
        assert_eq!(answers.per_second, 12.5);
        assert_eq!(answers.latencies[2], (50.0, 2.0));
        assert_eq!(answers.latencies[6], (99.0, 6.0));
        assert!(answers.latencies[8].1.is_nan());
        assert_eq!(answers.answered, 10);
        assert_eq!(answers.failures, ["2 × 503", "1 × connection closed"]);
    }
}
