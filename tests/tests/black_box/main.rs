//! Snug as people and programs meet it: the real binaries as processes, driven through their front ends only.

// A step that fails has to fail its test on the spot.
#![allow(clippy::expect_used)]

mod approval;
mod audit;
mod bad_input;
mod burst;
mod certificates;
mod coming_back;
mod crash;
mod deletion;
mod direct;
mod empty_room;
mod five_members;
mod garbage;
mod host_and_two;
mod hostile;
mod hosting;
mod injection;
mod keeper;
mod keeper_only;
mod local_network;
mod nat;
mod no_server;
mod receipts;
mod refusals;
mod removal;
mod right_before;
mod rogue_member;
mod rpc_input;
mod screen;
mod secrets;
mod slow_reader;
mod stores;
mod trust;
mod tui;
mod unanswered;
mod vault;
mod weather;
mod wiretap;
