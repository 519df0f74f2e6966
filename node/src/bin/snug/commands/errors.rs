//! The library's errors as failures of a command: its words already say what to do, the exit status comes from it too.

use snug::engine::EnterError;
use snug::profile::ProfileError;
use snug::rendezvous::{CreateError, DeleteError, ServerError};

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

with_status!(EnterError, CreateError, DeleteError, ServerError);

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        let exit = if matches!(error, ProfileError::BadName) {
            Exit::Usage
        } else {
            Exit::Failed
        };
        Failure::new(exit, error)
    }
}
