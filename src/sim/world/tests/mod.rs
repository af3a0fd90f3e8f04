//! The world, tested with hand-made companions: what 09 §27 wants of the simulator alone.

mod directory;
mod faults;
mod garbage;
mod lists;
mod logins;
mod messages;
mod net;
mod offline;
mod pairing;
mod receipts;
mod restrictions;
mod rules;
mod shapes;
