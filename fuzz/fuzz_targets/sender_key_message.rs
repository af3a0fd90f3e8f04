#![no_main]

#[path = "../signal_checks.rs"]
#[allow(dead_code, reason = "each target uses one check")]
mod signal_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| signal_checks::sender_key_message(data));
