//! Spin's interfaces, as the component calls them: traits for [`crate::sqlite`] and [`crate::variables`] to implement.

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
