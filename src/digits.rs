//! Numbers and addresses as text, written straight into a buffer: on every request's way, where
//! `fmt` takes ten times as long.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

/// Appends a number in decimal.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a number in decimal, with zeros before it up to `width` digits.
pub fn push_padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits.as_bytes());
}

/// Appends an address, an IPv6 one without brackets.
pub fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => push_v4(out, address),
        IpAddr::V6(address) => {
            // Writing to a Vec does not fail.
            let _ = write!(out, "{address}");
        }
    }
}

/// Gathered first, as each growth of a `Vec` is looked at.
fn push_v4(out: &mut Vec<u8>, address: Ipv4Addr) {
    let (mut text, mut length) = ([b'.'; 16], 0);
    for octet in address.octets() {
        for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
            if octet >= least {
                text[length] = b'0' + digit;
                length += 1;
            }
        }
        // The point is there already.
        length += 1;
    }
    out.extend_from_slice(&text[..length - 1]);
}

/// Writes two lower-case digits for each byte; `digits` is twice as long as `bytes`.
pub fn write_hex(digits: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for (number, width, expected) in
            [(0, 1, "0"), (7, 3, "007"), (1234, 1, "1234"), (u64::MAX, 1, "18446744073709551615")]
        {
            assert_eq!(text(|out| push_padded(out, number, width)), expected);
        }
        assert_eq!(text(|out| push_number(out, 1200)), "1200");
    }

    #[test]
    fn addresses_are_written_as_their_type_writes_them() {
        for address in
            ["0.0.0.0", "9.10.99.100", "192.0.2.77", "255.255.255.255", "::", "2001:db8::1"]
        {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(text(|out| push_address(out, address)), address.to_string());
        }
    }

    #[test]
    fn bytes_are_two_digits_each() {
        let mut digits = [0; 6];
        write_hex(&mut digits, &[0x00, 0xa5, 0xff]);
        assert_eq!(&digits, b"00a5ff");
    }
}
