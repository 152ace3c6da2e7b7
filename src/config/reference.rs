//! The reference page `docs/settings.md`, made from the table. A test compares the two.

use std::fmt::Write as _;

use super::key::{Fallback, Key, variable};
use super::keys::{KEYS, sections};

const HEAD: &str = "# Settings

<!-- Made from the table in src/config/keys.rs; see tests/settings/reference.rs. -->

Settings come from a TOML file (`--config FILE` or `CODESCAN_PROXY_CONFIG`), from the environment
and from `--set section.key=value`. Where several set the same, `--set` wins over the environment,
the environment over the file, and the file over the default. Nothing is merged: a list that is
set replaces the default. `codescan-oauth-proxy check` prints what is in force and where it came
from, or everything that is wrong.

Five are enough to start: `server.public_url`, `bitbucket.url`, `bitbucket.client_id`,
`bitbucket.client_secret` and `codescan.url`.

- Durations: `500ms`, `30s`, `15m`, `8h`, `7d`. Sizes: `16KiB`, `10MiB`, `1GiB`, or bytes.
- The environment variable of a setting is `CODESCAN_PROXY_`, its section, `_` and its name, in
  capitals: `CODESCAN_PROXY_BITBUCKET_CLIENT_ID`. There, and after `--set`, a list is
  comma-separated.
- *or `_file`*: the same name with `_file` behind it names a file whose trimmed content is the
  value. Either form overrides the other of a lower source; both in one source is a fault.
- *secret*: never shown, neither by `check` nor in a log line or fault.
- *at start*: a reload does not change it; the program must be started anew.
";

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in sections() {
        let _ = write!(page, "\n## `[{section}]`\n\n");
        page.push_str("| setting | default | form | meaning |\n|---|---|---|---|\n");
        for key in KEYS.iter().filter(|key| key.section() == section) {
            let (path, default, form) = (key.path, default(key), form(key));
            let _ = writeln!(page, "| `{path}` | {default} | {form} | {} |", key.help);
        }
    }
    page.push_str(&variables());
    page
}

fn form(key: &Key) -> String {
    let mut form = key.kind.word();
    for (applies, note) in
        [(key.has_file, ", or `_file`"), (key.secret, "; secret"), (!key.reloadable, "; at start")]
    {
        if applies {
            form.push_str(note);
        }
    }
    form
}

fn default(key: &Key) -> String {
    match key.fallback {
        Fallback::Required => "**required**".into(),
        Fallback::Text(text) => format!("`{text}`"),
        Fallback::List(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
            format!("`[{}]`", texts.join(", "))
        }
        Fallback::Map(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(name, text)| format!("`{name} = \"{text}\"`")).collect();
            entries.join(", ")
        }
        Fallback::Words(words) => words.into(),
    }
}

/// One more list, so that whoever searches the page for a variable finds it.
fn variables() -> String {
    let mut text = "\n## Environment variables\n\n".to_owned();
    text.push_str("`CODESCAN_PROXY_CONFIG` names the settings file. ");
    text.push_str("Variables that Kubernetes makes for Services are ignored; any other unknown ");
    text.push_str("name that begins with `CODESCAN_PROXY_` is a fault.\n\n```text\n");
    for spelled in super::keys::spellings().filter(|spelled| spelled.is_settable_by_variable()) {
        let _ = writeln!(text, "{}", variable(&spelled.path()));
    }
    text.push_str("```\n");
    text
}
