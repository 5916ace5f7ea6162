//! Spin's interfaces, as traits that [`crate::sqlite`] and [`crate::variables`] implement.

mod generated {
    wasmtime::component::bindgen!({
        inline: "
            package keypool:host;
            world host {
                import spin:sqlite/sqlite@3.1.0;
                import spin:variables/variables@3.0.0;
            }
        ",
        path: "../../wit",
        imports: { default: async | trappable },
        with: { "spin:sqlite/sqlite.connection": crate::sqlite::Connection },
    });
}

pub(crate) use generated::spin::sqlite::sqlite;
pub(crate) use generated::spin::variables::variables;
