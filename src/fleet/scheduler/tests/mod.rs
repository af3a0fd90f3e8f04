//! The scheduler alone, on the virtual clock: a small world with a runner that does what is decided, and the lines of the
//! operations guide (SR-010 to SR-088) against it.

mod connecting;
mod histories;
mod life;
mod linking;
mod world;
