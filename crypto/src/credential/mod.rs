//! OPAQUE credentials and tombstones: docs/PROTOCOL.md, "Credentials".
