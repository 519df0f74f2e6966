//! The room as a state machine without I/O.
