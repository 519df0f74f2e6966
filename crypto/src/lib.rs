//! Snug's protocol, sans I/O.
