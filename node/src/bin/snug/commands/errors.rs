//! The library's errors as failures of a command: its words already say what to do, the exit status comes from it too.

use snug::engine::EnterError;
use snug::profile::ProfileError;
use snug::rendezvous::{CreateError, DeleteError, LoginError, ServerError};

use crate::failure::{Exit, Failure};

impl Exit {
    fn from_status(status: u8) -> Self {
        match status {
            2 => Self::Usage,
            3 => Self::Credentials,
            4 => Self::Unreachable,
            5 => Self::Gone,
            _ => Self::Failed,
        }
    }
}

macro_rules! with_status {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::new(Exit::from_status(error.exit_status()), error)
            }
        }
    )*};
}

with_status!(EnterError, CreateError, DeleteError, LoginError, ServerError);

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::BadName => Failure::new(Exit::Usage, error),
            ProfileError::Locked { .. } => {
                Failure::new(Exit::Usage, error).help("name a file that holds the passphrase: --passphrase-file")
            }
            // The one that opens it has to come from somebody who knows it.
            ProfileError::WrongPassphrase { .. } => Failure::new(Exit::Credentials, error),
            _ => Failure::new(Exit::Failed, error),
        }
    }
}
