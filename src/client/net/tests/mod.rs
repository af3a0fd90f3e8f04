//! The net room against small servers in this process: over the in-memory network with a paused clock, and over TCP on
//! the loopback address where TLS and proxies are the subject.

mod chain;
mod frames;
mod opening;
mod peer;
mod proxies;
