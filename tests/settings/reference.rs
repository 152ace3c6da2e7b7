//! docs/settings.md is what the table says.

use std::path::Path;

use codescan_oauth_proxy::config::reference;

#[test]
fn the_reference_page_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let page = reference::page();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/settings.md is not what src/config/keys.rs says; make it anew with\n    \
         UPDATE_REFERENCE=1 cargo test --test settings reference"
    );
}
