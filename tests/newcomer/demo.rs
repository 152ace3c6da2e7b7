//! `cargo demo`, as a person runs it.

use std::process::Command;
use std::time::Duration;

use crate::browser::Browser;
use crate::process::Running;

/// What the README says.
pub const COMMAND: &str = "cargo demo";

/// Runs the very command. The address to open, and the running demo.
fn start() -> (Running, String) {
    let arguments = COMMAND.split(' ').skip(1);
    let mut cargo = Command::new(env!("CARGO"));
    let demo = Running::start(cargo.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env(
        // Must not be able to spoil it.
        "CODESCAN_PROXY_BITBUCKET_URL",
        "nonsense",
    ));
    let said = demo.lines_until("Ctrl-C ends it.");
    let address = said.iter().find_map(|line| line.trim().strip_prefix("http://"));
    let address = format!("http://{}", address.expect("an address on a line of its own"));
    let text = said.join(" ");
    assert!(text.contains("jcitizen") && text.contains("asmith"), "{text}");
    (demo, address)
}

#[test]
fn somebody_logs_in_through_the_demo_and_ends_it() {
    let (demo, address) = start();
    let page = Browser::default().log_in(&format!("{address}projects?sort=name"), "jcitizen");
    assert_eq!(page.url.as_str(), format!("{address}projects?sort=name"));
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<span id=\"login\">jcitizen</span>"), "{}", page.body);

    // The first has the usual ports; another finds free ones.
    let (second, other) = start();
    assert_ne!(address, other);
    let page = Browser::default().log_in(&other, "asmith");
    assert!(page.body.contains("<span id=\"login\">asmith</span>"), "{}", page.body);

    for demo in [second, demo] {
        let (status, took) = demo.interrupt();
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(5), "Ctrl-C took {took:?}");
    }
}
