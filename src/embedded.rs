//! Files that the component embeds in compressed form: see `build.rs`.

use flate2::read::MultiGzDecoder;
use std::io::{self, Read};

/// A file of this name from the build script, in compressed form.
macro_rules! embedded {
    ($name:expr) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz"))
    };
}
pub(crate) use embedded;

/// The text of an embedded file.
///
/// # Errors
/// The build script has not compressed it.
pub(crate) fn text(file: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    MultiGzDecoder::new(file).read_to_string(&mut text)?;
    Ok(text)
}
