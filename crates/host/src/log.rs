//! What the host itself says: one line at a time, to whoever reads. A closed terminal is no reason to stop serving, as it
//! would be with `println` and `eprintln`.

use std::fmt::Display;
use std::io::Write;

/// For the operator.
pub(crate) fn log(line: impl Display) {
    // In one piece, since the component writes there, too.
    let _ = std::io::stderr().write_all(format!("keypool: {line}\n").as_bytes());
}

/// For whoever started this, person or program.
pub(crate) fn announce(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
