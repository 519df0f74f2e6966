//! Help texts and errors, word for word, from the files in `tests/cmd`.
//!
//! After a change that is meant, `TRYCMD=overwrite cargo test -p snug-tests --test commands` writes them anew.

use snug_tests::binaries;

#[test]
fn say_what_the_files_say() {
    trycmd::TestCases::new()
        .register_bin("snug", binaries::snug())
        .register_bin("snug-rendezvous", binaries::rendezvous())
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd");
}
