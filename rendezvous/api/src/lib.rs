//! Rendezvous API types.
