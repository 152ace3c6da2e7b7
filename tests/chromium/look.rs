//! Looking at a page of ours: that it is the right one, that nothing is wrong with it, and a
//! picture for human eyes.

use std::fs;
use std::path::{Path, PathBuf};

use fantoccini::Locator;
use serde_json::json;

use crate::chromium::Chromium;

/// The narrowest telephone that is looked after.
const NARROW: u32 = 380;

/// Pages that are looked at in the dark and on a telephone too.
const MAIN_PAGES: [&str; 5] =
    ["consent-denied", "cookie-lost", "form-after-session", "logout-question", "signed-out"];

impl Chromium {
    /// Waits for the page of this error, and looks at it.
    pub async fn sees_error(&self, code: &str, name: &str) {
        self.see_by(Locator::XPath(&format!("//footer//code[1][text()='{code}']")), code).await;
        self.looks_right(name).await;
    }

    /// Waits for a page of ours with this heading, and looks at it.
    pub async fn sees_page(&self, heading: &str, name: &str) {
        self.see_by(Locator::XPath(&format!("//main/h1[text()='{heading}']")), heading).await;
        self.looks_right(name).await;
    }

    /// The page that is shown is ours: it loads nothing, nothing is wrong with it, it fits on a
    /// telephone. A picture of it is kept.
    async fn looks_right(&self, name: &str) {
        let loaded = "return performance.getEntriesByType('resource').map(entry => entry.name)";
        assert_eq!(self.run(loaded).await, json!([]), "{name} loads something");
        keep(name, &self.picture().await);
        if MAIN_PAGES.contains(&name) {
            self.prefer("dark").await;
            keep(&format!("{name}-dark"), &self.picture().await);
            self.prefer("light").await;
        }
        self.fits_on_a_telephone(name).await;
        self.complains_of_nothing(name).await;
    }

    /// Nothing in the console, but for the status of an error page itself, and what is no
    /// complaint.
    pub async fn complains_of_nothing(&self, name: &str) {
        let mut complaints = self.console().await;
        complaints.retain(|entry| entry["source"] != "network" && entry["level"] != "INFO");
        assert!(complaints.is_empty(), "{name}: {complaints:#?}");
    }

    async fn fits_on_a_telephone(&self, name: &str) {
        let metrics = json!({
            "width": NARROW, "height": 720, "deviceScaleFactor": 1, "mobile": true
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let overflow = "const page = document.scrollingElement; \
                        return page.scrollWidth - page.clientWidth";
        assert_eq!(self.run(overflow).await, json!(0), "{name} is wider than {NARROW} pixels");
        if MAIN_PAGES.contains(&name) {
            keep(&format!("{name}-narrow"), &self.picture().await);
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
    }

    async fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await;
    }
}

fn keep(name: &str, picture: &[u8]) {
    let folder = folder();
    fs::create_dir_all(&folder).expect("a folder for pictures");
    fs::write(folder.join(format!("{name}.png")), picture).expect("a picture is written");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots")
}
