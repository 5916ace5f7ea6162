//! Days of traffic over a thousand keys, in seconds: the pool's decisions against projects with real quota rules.
//!
//! `world` is the upstream, `chooser` the pool (or one of the simple ways that it is compared with), `run` the clock and the
//! rules that hold in every run. The same seed gives the same run.

mod chooser;
mod run;
mod world;

use chooser::Way;
use clap::Parser;
use run::{Scenario, run};
use std::process::ExitCode;

/// Simulate days of traffic, and compare the pool with simpler ways to choose keys.
#[derive(Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Cli {
    /// Keys in the pool.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(50..=10_000))]
    keys: u32,
    /// What chance is made of.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// What is simulated, for so many keys.
fn scenarios(keys: usize, seed: u64) -> [Scenario; 3] {
    let steady = Scenario {
        name: "80 % of all quotas, bursts, 2 % of the keys die",
        keys,
        days_before: 2,
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
        for way in Way::ALL {
            let (report, broken) = run(scenario, way);
            println!(
                "| {:<15} | {:>8} | {:>7.3} % | {:>17.3} | {:>11.3} % |",
                way.name(),
                report.requests,
                report.success_percent(),
                report.calls_per_request(),
                report.quota_percent(),
            );
            for rule in broken.iter().take(10) {
                eprintln!("broken: {rule}");
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
    fn within_its_quotas_the_pool_answers_all_and_wastes_nothing() {
        let [steady, ..] = scenarios(100, 7);
        let (pool, broken) = run(steady, Way::Keypool);
        assert_eq!(broken, Vec::<String>::new());
        assert!(pool.requests > 1000, "{pool:?}");
        assert!(pool.success_percent() >= 99.9, "{pool:?}");
        assert!(pool.quota_percent() <= 1.0, "{pool:?}");
        assert!(pool.most_attempts <= 5, "{pool:?}");
        for simple in [Way::WeightedRandom, Way::RoundRobin] {
            let (report, _) = run(steady, simple);
            assert!(report.succeeded < pool.succeeded, "{simple:?}: {report:?}");
            assert!(report.calls_per_request() > pool.calls_per_request());
        }
    }

    #[test]
    fn outages_ban_nobody_and_multiply_nothing() {
        let [_, outages, _] = scenarios(100, 7);
        let (report, broken) = run(outages, Way::Keypool);
        assert_eq!(broken, Vec::<String>::new());
        assert!(report.calls_per_request() < 1.2, "{report:?}");
    }

    #[test]
    fn a_run_can_be_repeated() {
        let [steady, ..] = scenarios(50, 3);
        let again = || {
            let (report, _) = run(steady, Way::Keypool);
            (report.requests, report.succeeded, report.calls)
        };
        assert_eq!(again(), again());
    }
}
