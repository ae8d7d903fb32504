#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| flowtrail_fuzz::flowable(input));
