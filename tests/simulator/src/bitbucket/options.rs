//! What is fixed when the double starts.

use super::faults::Faults;

/// How the double starts; [`Default`] is a well-behaved Bitbucket on a free port.
#[derive(Clone, Debug)]
pub struct BitbucketOptions {
    /// Path below the origin, such as `/bitbucket`; empty for none.
    pub context_path: String,
    /// TCP port on loopback; 0 takes a free one.
    pub port: u16,
    /// Serve https with a certificate of a private authority ([`super::Bitbucket::ca_pem`]).
    pub tls: bool,
    /// Client id of the application link; `None`: 32 random hex digits.
    pub client_id: Option<String>,
    /// Client secret of the application link; `None`: 64 random hex digits.
    pub client_secret: Option<String>,
    /// The application's name on the consent page.
    pub application: String,
    /// Redirect URLs of the application link, compared character for character.
    pub redirect_urls: Vec<String>,
    /// Scopes that the application link grants; others are `invalid_scope`. The default is what
    /// ticking "Repositories – Admin" gives.
    pub scopes: Vec<String>,
    /// How it behaves at first.
    pub faults: Faults,
}

impl Default for BitbucketOptions {
    fn default() -> Self {
        let scopes = ["PUBLIC_REPOS", "REPO_READ", "REPO_WRITE", "REPO_ADMIN"];
        Self {
            context_path: String::new(),
            port: 0,
            tls: false,
            client_id: None,
            client_secret: None,
            application: "CodeScan".to_owned(),
            redirect_urls: Vec::new(),
            scopes: scopes.map(str::to_owned).to_vec(),
            faults: Faults::default(),
        }
    }
}
