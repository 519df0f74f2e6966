//! The socket's place in the file system.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::Rng;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use tokio::net::{UnixListener, UnixStream};

use crate::random::rng;

/// Pause when the system has no more sockets for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that only this account can connect to; gone with this value.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes it in place of one that a server which is no more left behind. It is made in a folder of its own, so that it is
    /// never open to others, not for a moment.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let parent = path.parent().unwrap_or(Path::new("."));
        // Short, as the system takes about 100 bytes.
        let aside = parent.join(format!(".{:08x}", rng().next_u32()));
        fs::DirBuilder::new().mode(0o700).create(&aside)?;
        let made = (|| {
            let within = aside.join("s");
            let listener = UnixListener::bind(&within)?;
            fs::set_permissions(&within, fs::Permissions::from_mode(0o600))?;
            fs::rename(&within, path)?;
            Ok(Self {
                listener,
                path: path.to_owned(),
            })
        })();
        // Empty by now, or its socket is nobody's.
        let _ = fs::remove_dir_all(&aside);
        made
    }

    /// The next one who asks.
    pub async fn accept(&self) -> Option<UnixStream> {
        match self.listener.accept().await {
            Ok((stream, _)) => Some(stream),
            Err(error) => {
                tracing::warn!(reason = %error.kind(), "can't accept a connection of the host's");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Whoever finds it finds that nobody answers.
        let _ = fs::remove_file(&self.path);
    }
}

/// A line, without its end.
pub(super) async fn read_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}
