//! The least of a browser: cookies for each host, and what a person clicks on.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use url::{Url, form_urlencoded};

#[derive(Default)]
pub struct Browser {
    /// By host, as browsers keep them: ports share.
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

pub struct Page {
    pub url: Url,
    pub status: u16,
    head: String,
    pub body: String,
}

impl Browser {
    /// Opens an address and follows where it leads.
    pub fn open(&mut self, url: &str) -> Page {
        let page = self.ask("GET", &Url::parse(url).unwrap(), "");
        self.follow(page)
    }

    /// Submits a form of this page.
    pub fn submit(&mut self, action: &Url, fields: &[(&str, &str)]) -> Page {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let page = self.ask("POST", action, &form);
        self.follow(page)
    }

    /// The whole way through the Bitbucket simulator, from an address of `CodeScan`'s back to it.
    pub fn log_in(&mut self, url: &str, user: &str) -> Page {
        let login = self.open(url);
        assert_eq!(login.url.path(), "/login", "{}", login.body);
        let (_, next) = login.url.query_pairs().find(|(name, _)| name == "next").unwrap();
        let fields = [("user", user), ("next", &*next)];
        let consent = self.submit(&login.url, &fields);
        assert!(consent.body.contains("id=\"allow\""), "{}", consent.body);
        self.submit(&consent.url, &[("decision", "allow")])
    }

    fn follow(&mut self, mut page: Page) -> Page {
        for _ in 0..10 {
            let Some(location) = page.header("location") else { return page };
            let next = page.url.join(location).unwrap();
            page = self.ask("GET", &next, "");
        }
        panic!("redirected for ever, now at {}", page.url);
    }

    fn ask(&mut self, method: &str, url: &Url, body: &str) -> Page {
        let address = url.socket_addrs(|| None).unwrap();
        let mut stream = TcpStream::connect(&address[..]).unwrap();
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let cookies = self.cookies.entry(url.host_str().unwrap().to_owned()).or_default();
        let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
             Cookie: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            pairs.join("; "),
            body.len(),
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let page = Page {
            url: url.clone(),
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        };
        for line in page.headers("set-cookie") {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        page
    }
}

impl Page {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.head.lines().filter_map(move |line| {
            let (other, value) = line.split_once(':')?;
            other.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}
