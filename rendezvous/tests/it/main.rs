//! Tests of the rendezvous over its sockets, its stores and its command line. MongoDB comes from `$MONGOD`, or the PATH.

mod bounds;
mod canary;
mod cli;
mod deletion;
mod login;
mod mongod;
mod presence;
mod store;
mod support;
