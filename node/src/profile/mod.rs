//! The data folder: identity, lock, format version.
