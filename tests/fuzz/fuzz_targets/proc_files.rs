//! Foreign bytes as files of /proc: an ID is an ID, a forged control group comes after the real
//! one, a start time does not depend on the name of the program, a UID can go into a log as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spo_audit::proc::{command_line, containers, request_uid, start_time};

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fuzz_target!(|bytes: &[u8]| {
    for found in containers(bytes) {
        assert_eq!(found.container_id.len(), 64);
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        assert!(found.container_id.bytes().all(is_digit));
        if let Some(uid) = found.pod_uid {
            assert!(uid.bytes().all(|byte| is_digit(byte) || byte == b'-'));
        }
    }
    // A container chooses what stands below its own group; a line end is refused by the kernel.
    let below: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| *byte != b'\n')
        .collect();
    let cgroup = [b"0::/kubepods/", ID.as_bytes(), b"/", &below].concat();
    assert_eq!(containers(&cgroup)[0].container_id, ID);

    let stat = [
        b"7 (",
        bytes,
        b") S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20",
    ]
    .concat();
    assert_eq!(start_time(7, &stat), Ok(987_654));
    let _any = start_time(7, bytes);

    assert!(!command_line(bytes).contains('\0'));
    if let Some(uid) = request_uid(bytes, bytes) {
        assert!((1..=64).contains(&uid.len()));
        assert!(
            uid.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        );
    }
});
