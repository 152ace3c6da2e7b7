//! The stage with a browser on it, and what a person does at Bitbucket.

use fantoccini::wd::WindowHandle;
use serde_json::{Value, json};
use simulator::{BitbucketOptions, CodescanOptions};

use crate::chromium::Chromium;
use crate::harness::{Settings, Stage};

/// A whole installation, and somebody before it.
pub struct Walk {
    // First, so that it is gone before what it looks at.
    pub browser: Chromium,
    pub stage: Stage,
}

impl Walk {
    /// With all defaults; `None` without a browser.
    pub async fn begin() -> Option<Self> {
        Self::with(|_| {}).await
    }

    /// With some settings of the proxy changed.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Option<Self> {
        Self::between(CodescanOptions::default(), change).await
    }

    /// With a `CodeScan` of a special kind.
    pub async fn between(
        codescan: CodescanOptions,
        change: impl FnOnce(&mut Settings),
    ) -> Option<Self> {
        let browser = Chromium::start(&json!({})).await?;
        let stage = Stage::between(BitbucketOptions::default(), codescan, change).await;
        Some(Self { browser, stage })
    }

    /// With a browser whose preferences depend on nothing but themselves.
    pub async fn with_preferences(preferences: &Value) -> Option<Self> {
        let browser = Chromium::start(preferences).await?;
        Some(Self { browser, stage: Stage::set().await })
    }

    /// With somebody who is logged in and looks at the start page.
    pub async fn logged_in(slug: &str) -> Option<Self> {
        let walk = Self::begin().await?;
        walk.log_in(slug).await;
        Some(walk)
    }

    /// The address that people use for a place of the application.
    pub fn at(&self, place: &str) -> String {
        format!("{}{place}", self.stage.proxy.public_url())
    }

    /// Opens a place of the application.
    pub async fn open(&self, place: &str) {
        self.browser.open(&self.at(place)).await;
    }

    /// Logs in from the start page.
    pub async fn log_in(&self, slug: &str) {
        self.open("/").await;
        self.go_through_bitbucket(slug).await;
        self.is_logged_in(slug).await;
    }

    /// Says who one is, and says yes.
    pub async fn go_through_bitbucket(&self, slug: &str) {
        self.say_who(slug).await;
        self.browser.press("#allow").await;
    }

    /// Chooses a person on Bitbucket's login page.
    pub async fn say_who(&self, slug: &str) {
        self.browser.press(&format!("[id='login-{slug}']")).await;
    }

    /// Waits for a page of the application that greets this person.
    pub async fn is_logged_in(&self, slug: &str) {
        self.browser.see("#who #login").await;
        assert_eq!(self.browser.text("#who #login").await, slug);
    }

    /// Path, query and fragment of what the tab shows, which must be ours.
    pub async fn place(&self) -> String {
        let address = self.browser.address().await.to_string();
        let place = address.strip_prefix(self.stage.proxy.public_url());
        place.unwrap_or_else(|| panic!("{address} is elsewhere")).to_owned()
    }

    /// Signs out by our own page.
    pub async fn sign_out(&self) {
        self.open("/_codescan/oauth2/logout").await;
        self.browser.press_words("Sign out").await;
        self.browser.see("a[href*='/_codescan/oauth2/authorize']").await;
    }

    /// Ends the session in another tab, and comes back to this one.
    pub async fn end_session_elsewhere(&self) {
        let here = self.browser.tab().await;
        self.browser.new_tab().await;
        self.sign_out().await;
        self.browser.client.close_window().await.expect("the tab closes");
        self.browser.look_at(&here).await;
    }

    /// Logs out of Bitbucket itself.
    pub async fn leave_bitbucket(&self) {
        self.browser.open(&format!("{}/logout", self.stage.bitbucket.url())).await;
        self.browser.see("a[href$='/login']").await;
    }

    /// Types something, loses the session, and sends the form. Returns its tab.
    pub async fn send_a_form_too_late(&self) -> WindowHandle {
        let form = self.browser.tab().await;
        let field = self.browser.see("#text").await;
        field.clear().await.expect("the field is emptied");
        field.send_keys("three hours of work").await.expect("something is typed");
        self.end_session_elsewhere().await;
        self.browser.press("#send").await;
        form
    }

    /// Follows the advice of the page in the tab `form`, and looks at it again.
    pub async fn sign_in_in_a_new_tab(&self, form: &WindowHandle) {
        self.browser.press_words("Sign in in a new tab").await;
        self.browser.look_at_other_than(std::slice::from_ref(form)).await;
        self.browser.press("#allow").await;
        self.is_logged_in("jcitizen").await;
        self.browser.look_at(form).await;
    }

    /// The application shows what was typed, and got it once.
    pub async fn has_sent_the_form_once(&self) {
        self.browser.see("#sent").await;
        assert_eq!(self.browser.text("#sent").await, "three hours of work");
        let received = self.stage.codescan.requests_to("/form");
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].text(), Some("text=three+hours+of+work"));
    }
}
