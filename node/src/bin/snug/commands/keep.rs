//! `snug keep`: a helper for a room's absent members, which can't read along.

use std::io::Read as _;
use std::path::Path;

use snug::keeper::{KeepError, KeepOptions, KeepReport, Keeper, StoreLimits};
use snug_crypto::bounds::MAX_INVITE_CHARS;
use snug_crypto::keeper::KeeperInvite;
use tokio_util::sync::CancellationToken;

use super::{App, given, print};
use crate::cli::{KeepArgs, ProfileArgs};
use crate::failure::{Exit, Failure};
use crate::front::Interrupts;

/// Prints the offer while nobody has named this keeper; keeps from then on, until it is interrupted.
pub async fn run(app: &App, args: KeepArgs) -> Result<u8, Failure> {
    let (listen, addresses) = (given::addresses(&args.listen)?, given::reached_at(&args.address)?);
    let data_dir = app.config.data_dir(&ProfileArgs {
        profile: None,
        data_dir: args.data_dir.clone(),
        passphrase_file: None,
    })?;
    app.log(None)?;
    let mut interrupts = Interrupts::listen()?;
    let mut keeper = Keeper::open(&data_dir.join("keeper"))?;
    if let Some(file) = &args.invite_file {
        keeper.accept(&invite(file)?)?;
    }
    let Some(room) = keeper.room() else {
        let offer = keeper.offer(&listen, addresses).await?;
        let text = offer
            .to_text()
            .ok_or_else(|| Failure::usage("an --address is too long"))?;
        eprintln!(
            "This is the offer of the keeper {}, reached at {}. It is no secret.\n\
             The room's admin names the keeper with /keeper and this line, and gets an invite for it. Put that into a file here, and start:\n\
             snug keep --invite-file FILE",
            keeper.fingerprint(),
            offer.addresses.join(", "),
        );
        print([text])?;
        return Ok(0);
    };
    let limits = StoreLimits {
        frame_age_ms: u64::from(args.hours) * 3_600_000,
        frame_bytes: args.megabytes as usize * 1_000_000,
        ..StoreLimits::default()
    };
    let options = KeepOptions { listen, limits };
    print([format!("keeper {}, of the room {room}", keeper.fingerprint())])?;
    let stop = CancellationToken::new();
    let running = keeper.run(options, stop.clone(), |report| {
        // Whoever read this may have gone; what is kept is kept all the same.
        let _ = print([told(&report)]);
    });
    tokio::pin!(running);
    loop {
        tokio::select! {
            ended = &mut running => {
                ended?;
                break;
            }
            () = interrupts.next() => {
                if stop.is_cancelled() {
                    std::process::exit(130);
                }
                stop.cancel();
            }
        }
    }
    Ok(0)
}

/// Counts, and nothing of whom or what.
fn told(report: &KeepReport) -> String {
    match report {
        KeepReport::Keeping { addresses } => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("keeping, reached at {}", addresses.join(" "))
        }
        KeepReport::Holds {
            links,
            frames,
            messages,
            bytes,
            refused,
        } => format!(
            "holds {frames} frames and {messages} other messages, {} kB; linked with {links} members; refused {refused}",
            bytes.div_ceil(1_000)
        ),
        KeepReport::Moved { generation } => format!("moved to the room's Room Key number {generation}"),
        KeepReport::Trouble { reason } => format!("trouble with the disk: {reason}"),
    }
}

/// An invite, in as many lines as it was wrapped into.
fn invite(file: &Path) -> Result<KeeperInvite, Failure> {
    let mut text = String::new();
    let limit = 4 * MAX_INVITE_CHARS as u64;
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::usage(format_args!("the invite {} can't be read: {error}", file.display())))?;
    KeeperInvite::parse(&text).map_err(|error| {
        Failure::usage(format_args!("{} is no keeper's invite: {error}", file.display()))
            .help("the admin gets one by naming this keeper's offer: /keeper OFFER")
    })
}

impl From<KeepError> for Failure {
    fn from(error: KeepError) -> Self {
        let exit = match &error {
            KeepError::InUse { .. } | KeepError::OtherRoom | KeepError::Invite(_) => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::new(exit, error)
    }
}
