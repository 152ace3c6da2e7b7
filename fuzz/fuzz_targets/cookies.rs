#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| codescan_oauth_proxy_fuzz::cookies::cut_out(data));
