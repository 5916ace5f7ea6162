//! The WebAssembly engine, and the component in it.

use crate::log::log;
use anyhow::{Context, Result, anyhow};
use std::path::Path;
use wasmtime::component::Component;
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    ProfilingStrategy,
};

/// Instances that may live at the same time, as with Spin. Each gets up to 16 requests at a time.
const MAX_INSTANCES: u32 = 1000;

/// Compiles a component, or takes it from the cache of earlier compilations. With `perf_map`, Linux's `perf` finds its
/// functions' names.
///
/// # Errors
/// The file is not there or is no component; the message names it and what to do.
pub(crate) fn load(source: &Path, perf_map: bool) -> Result<Component> {
    let bytes = std::fs::read(source).with_context(|| {
        format!(
            "cannot read the component {}; `cargo xtask build` makes it",
            source.display()
        )
    })?;
    Component::new(&engine(perf_map)?, bytes).map_err(|error| {
        anyhow!(
            "{} is no WebAssembly component that this host can run; build it anew with `cargo xtask build` ({})",
            source.display(),
            // Its first line: what follows are positions in the file.
            format!("{error:#}").lines().next().unwrap_or_default()
        )
    })
}

fn engine(perf_map: bool) -> Result<Engine> {
    let mut config = Config::new();
    if perf_map {
        config.profiler(ProfilingStrategy::PerfMap);
    }
    config.wasm_component_model(true);
    config.wasm_component_model_async(true);
    match Cache::new(CacheConfig::new()) {
        Ok(cache) => {
            config.cache(Some(cache));
        }
        Err(error) => log(format_args!(
            "compiling anew at each start, since there is no cache: {error:#}"
        )),
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling()));
    // The pool reserves terabytes of addresses, which some machines do not have.
    Engine::new(&config)
        .or_else(|_| {
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            Engine::new(&config)
        })
        .map_err(anyhow::Error::from)
        .context("WebAssembly cannot run on this machine")
}

/// Memory for instances, reserved once, so that a new instance costs microseconds. The figures are Spin's, but for one.
fn pooling() -> PoolingAllocationConfig {
    let mut pooling = PoolingAllocationConfig::default();
    pooling
        .total_component_instances(MAX_INSTANCES)
        .total_memories(MAX_INSTANCES)
        .total_tables(2 * MAX_INSTANCES)
        // More than Spin has by default (SPIN_WASMTIME_TOTAL_STACKS sets it there): each request that begins takes one, and
        // an instance that finds none left is gone, with all that it had.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(path: &Path) -> String {
        format!("{:#}", load(path, false).err().unwrap())
    }

    #[test]
    fn a_missing_component_is_named_with_the_command_that_makes_it() {
        let error = problem(Path::new("no/such.wasm"));
        assert!(
            error.contains("no/such.wasm") && error.contains("cargo xtask build"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_is_no_component_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("text.wasm", &b"not wasm"[..]),
            ("empty.wasm", &b""[..]),
            // A core module, as a build for another target leaves it.
            ("module.wasm", &b"\0asm\x01\0\0\0"[..]),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = problem(&path);
            assert!(
                error.contains(name) && error.contains("cargo xtask build"),
                "{error}"
            );
        }
    }
}
