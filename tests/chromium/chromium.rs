//! One browser, as a person uses it: open, look, press, go back.

use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fantoccini::elements::Element;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::driver::{Driver, Programs};
use crate::harness::{PATIENCE, wait_until};

/// Nothing that is not on this machine can be reached, whatever an address says.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-component-extensions-with-background-pages",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--window-size=1100,900",
];

/// A running Chromium with a profile of its own. Ends with the test.
pub struct Chromium {
    pub client: Client,
    // Before the profile: the browser must be gone when its folder goes.
    _driver: Driver,
    _profile: TempDir,
}

impl Chromium {
    /// Starts one with these preferences; `None` where there is none, which is said aloud.
    pub async fn start(preferences: &Value) -> Option<Self> {
        let programs = match Programs::find() {
            Ok(programs) => programs,
            Err(missing) => {
                skip(missing);
                return None;
            }
        };
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let driver = Driver::start(&programs, profile.path());
        let capabilities = capabilities(&programs, &profile, preferences);
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&driver.url())
            .await
            .expect("Chromium starts");
        Some(Self { client, _driver: driver, _profile: profile })
    }

    /// Opens an address in the tab.
    pub async fn open(&self, address: &str) {
        self.client.goto(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
    }

    pub async fn back(&self) {
        self.client.back().await.expect("the browser goes back");
    }

    pub async fn reload(&self) {
        self.client.refresh().await.expect("the browser reloads");
    }

    /// Waits for an element.
    pub async fn see(&self, css: &str) -> Element {
        self.see_by(Locator::Css(css), css).await
    }

    /// Waits for an element, which `what` names.
    pub async fn see_by(&self, locator: Locator<'_>, what: &str) -> Element {
        let wait = self.client.wait().at_most(PATIENCE).every(Duration::from_millis(25));
        if let Ok(element) = wait.for_element(locator).await {
            return element;
        }
        let (address, page) = (self.address().await, self.text("body").await);
        panic!("waited in vain for {what} at {address}:\n{page}");
    }

    /// Waits for an element and clicks on it.
    pub async fn press(&self, css: &str) {
        self.see(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Presses the link or button that says so.
    pub async fn press_words(&self, words: &str) {
        let path = format!("//*[self::a or self::button][normalize-space()='{words}']");
        let element = self.see_by(Locator::XPath(&path), words).await;
        element.click().await.unwrap_or_else(|error| panic!("{words}: {error}"));
    }

    pub async fn text(&self, css: &str) -> String {
        let element = self.client.find(Locator::Css(css)).await;
        let element = element.unwrap_or_else(|error| panic!("{css}: {error}"));
        element.text().await.expect("an element has text")
    }

    pub async fn address(&self) -> Url {
        self.client.current_url().await.expect("a tab has an address")
    }

    /// Waits until the tab is at an address that `wanted` accepts.
    pub async fn arrives(&self, what: &str, wanted: impl Fn(&Url) -> bool) -> Url {
        wait_until(what, async || wanted(&self.address().await)).await;
        self.address().await
    }

    /// Runs a script in the page; `return` gives its value.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    /// Runs a script that calls `done(value)` when it is through.
    pub async fn run_until_done(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        let result = self.client.execute_async(&script, Vec::new()).await;
        result.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until the expression is true in the page; the driver's patience is half a minute.
    pub async fn holds(&self, expression: &str) {
        let script = format!("setInterval(() => {{ if ({expression}) done() }}, 20)");
        self.run_until_done(&script).await;
    }

    /// The tab that is looked at.
    pub async fn tab(&self) -> WindowHandle {
        self.client.window().await.expect("a tab")
    }

    pub async fn new_tab(&self) -> WindowHandle {
        let handle = self.client.new_window(true).await.expect("a new tab").handle;
        self.look_at(&handle).await;
        handle
    }

    pub async fn look_at(&self, tab: &WindowHandle) {
        self.client.switch_to_window(tab.clone()).await.expect("the tab is there");
    }

    /// Waits for a tab that is none of these, and looks at it.
    pub async fn look_at_other_than(&self, known: &[WindowHandle]) {
        let mut found = None;
        wait_until("a further tab", async || {
            let tabs = self.client.windows().await.expect("there are tabs");
            found = tabs.into_iter().find(|tab| !known.contains(tab));
            found.is_some()
        })
        .await;
        self.look_at(&found.expect("found above")).await;
    }

    /// Forgets the cookies of the site that the tab shows.
    pub async fn forget_cookies(&self) {
        self.client.delete_all_cookies().await.expect("cookies are deleted");
    }

    /// Posts a form from the page that is shown, whosever it is.
    pub async fn post_a_form_to(&self, address: &str) {
        let script = format!(
            "const form = document.createElement('form');
             form.method = 'post'; form.action = {};
             form.innerHTML = '<input name=text value=forged>';
             document.body.append(form); form.submit()",
            json!(address)
        );
        self.run(&script).await;
    }

    /// Puts a frame into the page that is shown.
    pub async fn put_frame(&self, place: &str) {
        let script = format!(
            "const frame = document.createElement('iframe');
             frame.src = {}; frame.width = 700; frame.height = 500;
             document.body.prepend(frame)",
            json!(place)
        );
        self.run(&script).await;
    }

    /// A command of the `DevTools` protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.command("goog/cdp/execute", body).await
    }

    /// What the console says since it was last asked.
    pub async fn console(&self) -> Vec<Value> {
        let entries = self.command("se/log", json!({ "type": "browser" })).await;
        entries.as_array().expect("a list").clone()
    }

    /// The whole page as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        let size = self.devtools("Page.getLayoutMetrics", json!({})).await;
        let size = &size["cssContentSize"];
        let clip = json!({
            "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1
        });
        let parameters = json!({ "captureBeyondViewport": true, "clip": clip });
        let shot = self.devtools("Page.captureScreenshot", parameters).await;
        STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64")
    }

    async fn command(&self, path: &'static str, body: Value) -> Value {
        let command = Command { path, body };
        self.client.issue_cmd(command).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

fn capabilities(programs: &Programs, profile: &TempDir, preferences: &Value) -> Capabilities {
    let folder = format!("--user-data-dir={}", profile.path().join("profile").display());
    let mut flags: Vec<&str> = FLAGS.to_vec();
    flags.push(&folder);
    let capabilities = json!({
        "browserName": "chrome",
        "goog:loggingPrefs": { "browser": "ALL" },
        "goog:chromeOptions": {
            "binary": programs.chromium, "args": flags, "prefs": preferences
        },
    });
    capabilities.as_object().expect("an object").clone()
}

/// Past the capture of the test runner, which hides what a passing test says.
fn skip(missing: &str) {
    let required = std::env::var_os("CHROMIUM_REQUIRED").is_some_and(|value| value == "1");
    assert!(!required, "CHROMIUM_REQUIRED=1, and {missing} is not installed");
    let line = format!("SKIPPED: {missing} is not installed, so Chromium walks nowhere\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A command that Chromium has beyond `WebDriver`.
#[derive(Debug)]
struct Command {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Command {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
