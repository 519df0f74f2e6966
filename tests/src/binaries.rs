//! Where the programs under test are.
//!
//! Cargo tells a test only of its own package's programs, so these are looked for beside the test's own executable:
//! `target/<profile>/deps/<test>` runs `target/<profile>/snug`.

use std::env;
use std::path::PathBuf;

/// The node program, `snug`.
pub fn snug() -> PathBuf {
    find("snug")
}

/// The server program, `snug-rendezvous`.
pub fn rendezvous() -> PathBuf {
    find("snug-rendezvous")
}

fn find(name: &str) -> PathBuf {
    let own = env::current_exe().expect("a process has an executable");
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    // The test itself is in `deps`, a program of this package one above.
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "there is no `{name}` beside {}: run `cargo build --workspace --bins` first, or tests/run.sh",
                own.display()
            )
        })
}
