//! Holds the built component to `wit/world.wit`: it imports and exports what that file says, and
//! nothing else.
//!
//! How much of WASI 0.2 a component imports is up to the standard library that it was built with:
//! rustup's and Debian's differ. So that part may be smaller than the world; nothing may be larger.

use std::collections::BTreeSet;
use std::path::Path;
use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldId, WorldItem};

const COMPONENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/wasm32-wasip2/component/gemini_keypool.wasm"
);

type Names = (BTreeSet<String>, BTreeSet<String>);

fn names(resolve: &Resolve, world: WorldId) -> Names {
    let of = |items: &mut dyn Iterator<Item = (String, &WorldItem)>| {
        items
            .map(|(name, item)| match item {
                WorldItem::Interface { id, .. } => resolve.id_of(*id).unwrap_or(name),
                WorldItem::Function(_) | WorldItem::Type { .. } => name,
            })
            .map(|name| without_patch_version_of_wasi_0_2(&name))
            .collect()
    };
    let world = &resolve.worlds[world];
    let imports = of(&mut world
        .imports
        .iter()
        .map(|(key, item)| (resolve.name_world_key(key), item)));
    let exports = of(&mut world
        .exports
        .iter()
        .map(|(key, item)| (resolve.name_world_key(key), item)));
    (imports, exports)
}

/// Patch versions of WASI 0.2 are compatible, and which one is imported depends on the C library of
/// the toolchain that built the component.
fn without_patch_version_of_wasi_0_2(name: &str) -> String {
    match name.split_once("@0.2.") {
        Some((interface, _patch)) if interface.starts_with("wasi:") => format!("{interface}@0.2"),
        _ => name.to_owned(),
    }
}

#[test]
fn the_component_imports_and_exports_what_the_world_says_and_nothing_else() {
    let bytes = std::fs::read(COMPONENT)
        .unwrap_or_else(|error| panic!("{COMPONENT}: {error}; run `cargo xtask build` first"));
    let built = match wit_component::decode(&bytes).unwrap() {
        DecodedWasm::Component(resolve, world) => names(&resolve, world),
        DecodedWasm::WitPackage(..) => panic!("{COMPONENT} is a WIT package, not a component"),
    };

    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/wit")))
        .unwrap();
    let world = resolve.select_world(&[package], Some("keypool")).unwrap();
    let declared = names(&resolve, world);

    let (imports, exports) = built;
    let (declared_imports, declared_exports) = declared;
    assert_eq!(
        exports, declared_exports,
        "left: the component; right: wit/world.wit"
    );
    let beyond: Vec<_> = imports.difference(&declared_imports).collect();
    assert!(beyond.is_empty(), "wit/world.wit does not have {beyond:?}");
    let unused: Vec<_> = declared_imports
        .difference(&imports)
        .filter(|name| !name.ends_with("@0.2"))
        .collect();
    assert!(
        unused.is_empty(),
        "the component does not import {unused:?}"
    );
}
