//! The WebAssembly engine and the compilation of the component.

use crate::log::log;
use anyhow::{Context, Result, anyhow};
use std::path::Path;
use std::time::Duration;
use wasmtime::component::Component;
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    ProfilingStrategy,
};

/// Concurrent instances, as with Spin; each gets up to 16 concurrent requests.
const MAX_INSTANCES: u32 = 1000;

/// How long the component runs before it is interrupted, so that other work gets its turn.
pub(crate) const EPOCH: Duration = Duration::from_millis(10);

/// Whether the component can be interrupted, which costs 6 % of the throughput.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    Never,
    ByEpoch,
}

/// Compiles a component, or loads it from the cache.
///
/// # Errors
/// The file is missing or not a component; the message names it and the remedy.
pub(crate) fn load(
    source: &Path,
    profiling: ProfilingStrategy,
    interruption: Interruption,
) -> Result<Component> {
    let bytes = std::fs::read(source).with_context(|| {
        format!(
            "cannot read the component {}; `cargo xtask build` makes it",
            source.display()
        )
    })?;
    let engine = engine(profiling, interruption)?;
    if interruption == Interruption::ByEpoch {
        tick(&engine);
    }
    Component::new(&engine, bytes).map_err(|error| {
        anyhow!(
            "{} is not a component that this host can run; `cargo xtask build` makes it ({})",
            source.display(),
            // The other lines are positions in the file.
            format!("{error:#}").lines().next().unwrap_or_default()
        )
    })
}

/// Advances the engine's epoch.
fn tick(engine: &Engine) {
    let engine = engine.weak();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(EPOCH);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    });
}

fn engine(profiling: ProfilingStrategy, interruption: Interruption) -> Result<Engine> {
    let mut config = Config::new();
    config.profiler(profiling);
    config.wasm_component_model(true);
    config.wasm_component_model_async(true);
    match Cache::new(CacheConfig::new()) {
        Ok(cache) => {
            config.cache(Some(cache));
        }
        Err(error) => log(format_args!(
            "no compilation cache, so each start compiles: {error:#}"
        )),
    }
    config.epoch_interruption(interruption == Interruption::ByEpoch);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling()));
    // Pooling reserves terabytes of addresses, which some machines do not have.
    Engine::new(&config)
        .or_else(|_| {
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            Engine::new(&config)
        })
        .map_err(anyhow::Error::from)
        .context("WebAssembly cannot run on this machine")
}

/// Memory for instances, reserved once, so that a new instance costs microseconds.
fn pooling() -> PoolingAllocationConfig {
    let mut pooling = PoolingAllocationConfig::default();
    pooling
        .total_component_instances(MAX_INSTANCES)
        .total_memories(MAX_INSTANCES)
        .total_tables(2 * MAX_INSTANCES)
        // More than Spin's default: each new request takes one, and an instance that finds
        // none is lost with all its requests. The other figures are Spin's.
        .total_stacks(4 * MAX_INSTANCES)
        .total_core_instances(4 * MAX_INSTANCES)
        .table_elements(100_000)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_core_instances_per_component(200)
        .max_tables_per_component(64)
        .max_memories_per_component(32)
        .max_tables_per_module(2)
        .max_memories_per_module(2)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(512 << 10);
    pooling
}
