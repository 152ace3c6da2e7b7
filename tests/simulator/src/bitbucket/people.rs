//! The sample people, projects and groups: one for each trap that real names set.

use serde_json::{Value, json};

/// Somebody with an account at Bitbucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Stays when the name changes.
    pub id: u64,
    /// What `X-AUSERNAME` says.
    pub name: String,
    /// What addresses hold; Bitbucket derives it from the name and drops special characters.
    pub slug: String,
    /// For people to read.
    pub display_name: String,
    /// May be missing.
    pub email: Option<String>,
    /// An inactive account is one that must not get in.
    pub active: bool,
    /// `NORMAL` or `SERVICE`.
    pub kind: String,
    /// Groups the person is in.
    pub groups: Vec<String>,
}

impl Person {
    /// An active person whose slug is the name, without e-mail or groups.
    pub fn new(id: u64, name: &str, display_name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            slug: name.to_owned(),
            display_name: display_name.to_owned(),
            email: None,
            active: true,
            kind: "NORMAL".to_owned(),
            groups: vec!["stash-users".to_owned()],
        }
    }

    fn slug(self, slug: &str) -> Self {
        Self { slug: slug.to_owned(), ..self }
    }

    fn email(self, email: &str) -> Self {
        Self { email: Some(email.to_owned()), ..self }
    }

    fn in_group(mut self, group: &str) -> Self {
        self.groups.push(group.to_owned());
        self
    }

    /// The user object of REST; `base` is Bitbucket's own address.
    pub(super) fn json(&self, base: &str) -> Value {
        let mut user = json!({
            "name": self.name, "active": self.active, "displayName": self.display_name,
            "id": self.id, "slug": self.slug, "type": self.kind,
            "links": {"self": [{"href": format!("{base}/users/{}", self.slug)}]},
        });
        if let Some(email) = &self.email {
            user["emailAddress"] = email.as_str().into();
        }
        user
    }

    /// `filter` of `users`: a substring of name, display name or e-mail, without case.
    pub(super) fn matches(&self, filter: &str) -> bool {
        let filter = filter.to_lowercase();
        let texts = [Some(&self.name), Some(&self.display_name), self.email.as_ref()];
        texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&filter))
    }
}

/// A project and its repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// `CORE`.
    pub key: String,
    /// For people to read.
    pub name: String,
    /// Whether everybody may see it, nobody included.
    pub public: bool,
    /// Slugs of its repositories.
    pub repositories: Vec<String>,
    /// Slugs of those who administer it.
    pub admins: Vec<String>,
    /// Slugs of those who may read and write.
    pub members: Vec<String>,
}

impl Project {
    /// Whether the person with this slug may see it.
    pub(super) fn visible_to(&self, slug: &str) -> bool {
        self.public || self.members.iter().chain(&self.admins).any(|one| one == slug)
    }

    /// Whether the person with this slug has `permission` on its repositories.
    pub(super) fn allows(&self, slug: &str, permission: &str) -> bool {
        let admin = self.admins.iter().any(|one| one == slug);
        match permission {
            "REPO_ADMIN" => admin,
            _ => admin || self.members.iter().any(|one| one == slug),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({"key": self.key, "name": self.name, "public": self.public, "type": "NORMAL"})
    }

    pub(super) fn repository_json(&self, slug: &str) -> Value {
        json!({"slug": slug, "name": slug, "public": self.public, "project": self.json(),
               "scmId": "git", "state": "AVAILABLE"})
    }
}

/// Everybody that the double knows at first.
pub(super) fn people() -> Vec<Person> {
    let service = |person| Person { kind: "SERVICE".to_owned(), ..person };
    let inactive = |person| Person { active: false, ..person };
    vec![
        Person::new(101, "jcitizen", "Jane Citizen")
            .email("jane@example.com")
            .in_group("salesforce-team"),
        Person::new(102, "asmith", "Alex Smith")
            .email("alex@example.com")
            .in_group("salesforce-team")
            .in_group("codescan-admins"),
        // The name is the beginning of another's.
        Person::new(103, "jcit", "Jo Citrine").email("jo@example.com"),
        // Name and slug differ.
        Person::new(104, "r.o'hara", "Rose O'Hara").slug("r.o_hara").email("rose@example.com"),
        // Not ASCII.
        Person::new(105, "jürgen", "Jürgen Groß").slug("jurgen").email("juergen@example.com"),
        // An e-mail address for a name.
        Person::new(106, "lee@example.com", "Lee Chen")
            .slug("lee_example.com")
            .email("lee@example.com"),
        inactive(Person::new(107, "rpast", "Robin Past").email("robin@example.com")),
        // No e-mail.
        Person::new(108, "nlevi", "Noa Levi"),
        service(Person::new(109, "ci-robot", "CI Robot").email("robot@example.com")),
    ]
}

/// One public project and one private.
pub(super) fn projects() -> Vec<Project> {
    let slugs = |slugs: &[&str]| slugs.iter().map(ToString::to_string).collect();
    let public = Project {
        key: "OPEN".to_owned(),
        name: "Open Samples".to_owned(),
        public: true,
        repositories: slugs(&["samples"]),
        admins: slugs(&["asmith"]),
        members: Vec::new(),
    };
    let private = Project {
        key: "CORE".to_owned(),
        name: "Core Salesforce".to_owned(),
        public: false,
        repositories: slugs(&["billing", "crm"]),
        admins: slugs(&["asmith"]),
        members: slugs(&["jcitizen"]),
    };
    vec![public, private]
}
