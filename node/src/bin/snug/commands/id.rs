//! `snug id`: the identity of a profile.

use serde_json::json;

use super::{App, given, print, print_json};
use crate::cli::IdShowArgs;
use crate::failure::Failure;

/// Shows the fingerprint; makes the identity where there is none yet.
pub fn show(app: &App, args: &IdShowArgs) -> Result<u8, Failure> {
    app.log(None)?;
    let (data_dir, profile) = given::profile(app, &args.profile, false)?;
    let fingerprint = profile.identity().fingerprint();
    let name = app.config.profile(&args.profile);
    if args.json {
        print_json(&json!({"profile": name, "fingerprint": fingerprint.to_string()}))?;
    } else {
        print([
            format!("Fingerprint: {fingerprint}"),
            format!("Profile: {name} in {}", data_dir.display()),
        ])?;
    }
    Ok(0)
}
