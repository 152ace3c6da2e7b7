//! No secret is ever printed: not in `check`, not in any fault, not in `Debug`.

use codescan_oauth_proxy::commands::cli;

use crate::support::{COOKIE_SECRET, NEEDED, Setup, assert_contains, file, needed, nothing};

const PLANTED: &str = "hunter2planted";

#[track_caller]
fn assert_silent(setup: &Setup) {
    let report = setup.check();
    let said = format!("{}{}", report.stdout, report.stderr);
    assert!(!said.is_empty());
    assert!(!said.contains("hunter2"), "the secret is told:\n{said}");
    let debug = format!("{:?}", setup.load());
    assert!(!debug.contains("hunter2"), "the secret is told:\n{debug}");
}

/// The needed settings but for the client's secret, which the test plants.
fn without_secret() -> String {
    let kept: Vec<&str> = NEEDED.lines().filter(|line| !line.contains("secret")).collect();
    format!("{}\n", kept.join("\n"))
}

#[test]
fn good_secrets_are_masked() {
    let setup = file(&without_secret())
        .set(&format!("bitbucket.client_secret={PLANTED}"))
        .set(&format!("bitbucket.proxy_url=http://user:{PLANTED}@proxy.example.com:3128"))
        .set(&format!(
            "session.store=redis+sentinel://user:{PLANTED}@a,b/main?sentinel_password={PLANTED}"
        ))
        .set(&format!("session.cookie_secret={COOKIE_SECRET}"));
    assert_eq!(setup.check().code, 0);
    assert_silent(&setup);
    let sealed = needed().set(&format!("session.cookie_secret={COOKIE_SECRET}"));
    assert!(!sealed.check().stdout.contains(COOKIE_SECRET));
    let debug = format!("{:?}", sealed.settings().session.cookie_secrets);
    assert_eq!(debug, "[CookieSecret(…)]");
}

#[test]
fn a_default_is_shown_even_where_a_value_would_not_be() {
    let shown = needed().check().stdout;
    let line = shown.lines().find(|line| line.starts_with("session.store")).expect("a line");
    assert_contains(line, "memory");
}

#[test]
fn a_file_that_is_not_toml_does_not_show_its_lines() {
    for line in [
        "bitbucket.client_secret = hunter2planted",
        "bitbucket.client_secret = \"hunter2planted",
        "bitbucket.client_secret = 'hunter2planted\"",
        "bitbucket.client_secret \"hunter2planted\"",
        "bitbucket.client_secret = \"abc\nhunter2planted\"",
        "bitbucket.client_secret = \"abc\nhunter2planted = 1",
        "bitbucket.client_secret = \"\"\"abc\nhunter2planted",
        "bitbucket.client_secret = \"abc\\q hunter2planted\"",
        "bitbucket.client_secret = \"a\" hunter2planted",
        "bitbucket.client_secret = [\"hunter2planted\"",
        "bitbucket.client_secret = hunter2planted = x",
        "bitbucket = { client_secret = hunter2planted }",
        "[hunter2planted",
        "hunter2planted",
        "hunter2planted]\nx = 1",
    ] {
        let text = format!("{}{line}\n", without_secret());
        assert_eq!(file(&text).check().code, 78);
        assert_silent(&file(&text));
    }
}

/// Every slip of one key, at every place of a good file.
#[test]
fn a_slip_anywhere_in_the_file_does_not_show_the_secret() {
    let text = NEEDED.replace("planted-secret-of-the-file", PLANTED);
    for at in 0..text.len() {
        let (before, after) = text.split_at(at);
        for slip in ["", "\"", "'", "\n", "=", "[", "]", "#", "\\", "{", ".", " "] {
            let rest = if slip.is_empty() { &after[1..] } else { after };
            let setup = file(&format!("{before}{slip}{rest}"));
            let report = setup.check();
            let said = format!("{}{}", report.stdout, report.stderr);
            assert!(
                !said.contains("hunter") && !said.contains("planted"),
                "{slip:?} at {at}:\n{said}"
            );
        }
    }
}

#[test]
fn wrong_forms_of_secrets_are_not_shown() {
    for line in [
        "bitbucket.client_secret = [\"hunter2planted\"]",
        "bitbucket.client_secret = { hunter2planted = \"hunter2planted\" }",
        "bitbucket.client_secret = \"hunter2planted with blanks\"",
        "bitbucket.client_secret = \"hunter2plänted\"",
        "session.cookie_secret = \"hunter2planted\"",
        "session.cookie_secret = [\"hunter2planted\", 1]",
        "session.cookie_secret = [\"hunter2planted\"]",
        "bitbucket.proxy_url = \"user:hunter2planted@proxy\"",
        "bitbucket.proxy_url = \"http://user:hunter2planted@proxy:port\"",
        "session.store = \"redis://user:hunter2planted@host:port\"",
        "session.store = \"redis://user:hunter2planted@\"",
        "session.store = \"hunter2planted\"",
        "bitbucket.url_ = \"https://user:hunter2planted@bitbucket.example.com\"",
        "bitbucket.client_sceret = \"hunter2planted\"",
        "codescan.headers.X-Key = \"hunter2planted {\"",
        "codescan.headers.X-Key = \"hunter2planted {hunter2}\"",
        "codescan.headers.X-Key = [\"hunter2planted\"]",
    ] {
        let text = format!("{NEEDED}{line}\n");
        assert_eq!(file(&text).check().code, 78, "{line}");
        assert_silent(&file(&text));
    }
}

#[test]
fn addresses_with_a_password_are_refused_and_not_shown() {
    for key in [
        "server.public_url",
        "bitbucket.url",
        "bitbucket.redirect_url",
        "bitbucket.token_url",
        "bitbucket.revoke_url",
        "codescan.url",
    ] {
        let setup = needed().set(&format!("{key}=https://user:{PLANTED}@host.example.com"));
        assert_eq!(setup.check().code, 78, "{key}");
        assert_silent(&setup);
    }
}

#[test]
fn flags_and_variables_do_not_show_their_values() {
    for assignment in [
        "bitbucket.client_secret=hunter2 planted",
        "bitbucket.client_secret:hunter2planted",
        "bitbucket.client_secret hunter2planted",
        "session.cookie_secret:hunter2planted=",
        "hunter2planted=",
        "hunter2planted",
        "=hunter2planted",
        "bitbucket.client_sceret=hunter2planted",
        "bitbucket.client_secret_file=/run/missing",
    ] {
        let setup = file(&without_secret()).set(assignment);
        assert_eq!(setup.check().code, 78, "{assignment}");
        assert_silent(&setup);
    }
    assert_silent(&nothing().variable("CODESCAN_PROXY_BITBUCKET_CLIENT_SECRT", PLANTED));
    assert_silent(&nothing().variable("CODESCAN_PROXY_SESSION_COOKIE_SECRET", PLANTED));
}

#[test]
fn the_content_of_a_named_file_is_not_shown() {
    for content in ["hunter2 planted", "hunter2planted\nhunter2planted"] {
        let setup = file(&without_secret())
            .file("/run/secret", content)
            .set("bitbucket.client_secret_file=/run/secret");
        assert_eq!(setup.check().code, 78);
        assert_silent(&setup);
    }
}

#[test]
fn headers_are_shown_without_their_literal_text() {
    let text = format!(
        "{NEEDED}[codescan.headers]\nX-Key = \"hunter2planted\"\nX-Both = \"hunter2 {{user}}\"\n"
    );
    let setup = file(&text);
    assert_silent(&setup);
    assert_contains(&setup.check().stdout, "****{user}");
}

#[test]
fn a_wrong_command_line_does_not_repeat_its_arguments() {
    for arguments in [
        &["hunter2planted"][..],
        &["check", "hunter2planted"],
        &["--bitbucket.client_secret=hunter2planted"],
        &["--sett=bitbucket.client_secret=hunter2planted"],
        &["--help=hunter2planted"],
        &["-shunter2planted"],
    ] {
        let fault = cli::parse(arguments.iter().map(Into::into)).expect_err("it is wrong");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
    }
}
