//! The protocol from outside: behaviour, every decoder under random and damaged bytes, the committed test vectors, and
//! docs/PROTOCOL.md held against the code.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod counts;
#[cfg(test)]
mod decoders;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod epochs;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod group;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod pairs;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod records;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod vectors_hold;
