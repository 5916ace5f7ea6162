//! Simulates days of traffic over a thousand keys in seconds: the pool's decisions meet projects
//! with real quota rules.
//!
//! [`world`] is the upstream, [`chooser`] the pool or a simpler strategy, and [`mod@run`] the
//! virtual clock, with rules that every run must keep. The same seed gives the same run.

mod chooser;
mod run;
mod world;

use chooser::Strategy;
use clap::Parser;
use run::{Scenario, run};
use std::process::ExitCode;

/// Compare the pool with simpler key choosers, over days of simulated traffic.
#[derive(Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Cli {
    /// Keys in the pool.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(50..=10_000)
    )]
    keys: u32,
    /// Seed of the random numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// The scenarios for so many keys.
fn scenarios(keys: usize, seed: u64) -> [Scenario; 3] {
    let steady = Scenario {
        name: "80 % of all quotas, bursts, 2 % of the keys die",
        keys,
        demand_percent: 80,
        dying: keys / 50,
        outages: false,
        seed,
    };
    [
        steady,
        Scenario {
            name: "the same, and two outages of 10 minutes",
            outages: true,
            ..steady
        },
        Scenario {
            name: "130 % of all quotas",
            demand_percent: 130,
            ..steady
        },
    ]
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut code = ExitCode::SUCCESS;
    for scenario in scenarios(cli.keys as usize, cli.seed) {
        println!(
            "\n{} ({} keys, seed {})\n",
            scenario.name, scenario.keys, scenario.seed
        );
        println!("| chosen by       | requests | answered  | calls per request | 429s of calls |");
        println!("|-----------------|---------:|----------:|------------------:|--------------:|");
        for strategy in Strategy::ALL {
            let report = run(scenario, strategy);
            println!(
                "| {:<15} | {:>8} | {:>7.3} % | {:>17.3} | {:>11.3} % |",
                strategy.name(),
                report.requests,
                report.success_percent(),
                report.calls_per_request(),
                report.quota_percent(),
            );
            for violation in report.violations.iter().take(10) {
                eprintln!("violation: {violation}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_answers_everything_within_quotas() {
        let [steady, ..] = scenarios(100, 7);
        let pool = run(steady, Strategy::Keypool);
        assert_eq!(pool.violations, Vec::<String>::new());
        assert!(pool.requests > 1000, "{pool:?}");
        assert!(pool.success_percent() >= 99.9, "{pool:?}");
        assert!(pool.quota_percent() <= 1.0, "{pool:?}");
        assert!(pool.max_attempts <= 5, "{pool:?}");
        for simple in [Strategy::WeightedRandom, Strategy::RoundRobin] {
            let report = run(steady, simple);
            assert!(report.succeeded < pool.succeeded, "{simple:?}: {report:?}");
            assert!(report.calls_per_request() > pool.calls_per_request());
        }
    }

    #[test]
    fn outages_disable_no_key_and_multiply_no_calls() {
        let [_, outages, _] = scenarios(100, 7);
        let report = run(outages, Strategy::Keypool);
        assert_eq!(report.violations, Vec::<String>::new());
        assert!(report.calls_per_request() < 1.2, "{report:?}");
    }

    #[test]
    fn same_seed_gives_same_run() {
        let [steady, ..] = scenarios(50, 3);
        let again = || {
            let report = run(steady, Strategy::Keypool);
            (report.requests, report.succeeded, report.calls)
        };
        assert_eq!(again(), again());
    }
}
