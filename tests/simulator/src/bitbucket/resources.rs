//! What REST has: people, projects, repositories, groups.

use super::people::{Person, Project};
use super::rest::{Caller, error, no_such_thing};
use super::routes::Asked;
use super::state::State;
use crate::answer::{self, Body};
use crate::form::Form;
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// What the path names, for this caller.
pub(super) fn resource(
    state: &State,
    asked: &Asked,
    path: &[&str],
    caller: &Caller,
) -> Response<Body> {
    let query = asked.query();
    match (path, caller) {
        (["application-properties"], _) => answer::json(
            StatusCode::OK,
            &json!({"version": "9.4.0", "buildNumber": "9004000", "buildDate": "1730000000000",
                    "displayName": "Bitbucket"}),
        ),
        (["projects", key], _) => project(state, caller, key, None),
        (["projects", key, "repos", slug], _) => project(state, caller, key, Some(slug)),
        (["repos"], _) => repositories(state, caller, &query),
        (["users"] | ["users", _] | ["admin", ..], Caller::Anonymous) => {
            error(StatusCode::UNAUTHORIZED, "You are not permitted to access users.", None)
        }
        (["users", slug], _) => user(state, slug),
        (["users"], _) => users(state, &query, query.one("group")),
        (["admin", "groups", "more-members"], _) => users(state, &query, query.one("context")),
        _ => no_such_thing("There is no such resource."),
    }
}

fn user(state: &State, slug: &str) -> Response<Body> {
    match state.people().iter().find(|person| person.slug == slug) {
        Some(person) => answer::json(StatusCode::OK, &person.json(&state.base())),
        None => error(
            StatusCode::NOT_FOUND,
            &format!("{slug} does not exist."),
            Some("com.atlassian.bitbucket.user.NoSuchUserException"),
        ),
    }
}

fn users(state: &State, query: &Form, group: Option<&str>) -> Response<Body> {
    let base = state.base();
    let filter = query.one("filter").unwrap_or_default();
    let in_group = |person: &&Person| {
        group.is_none_or(|group| person.groups.iter().any(|one| one.eq_ignore_ascii_case(group)))
    };
    let people = state.people();
    let chosen = people.iter().filter(in_group).filter(|person| person.matches(filter));
    paged(query, chosen.map(|person| person.json(&base)).collect())
}

/// 401, not 403, for what the caller may not see.
fn project(state: &State, caller: &Caller, key: &str, slug: Option<&&str>) -> Response<Body> {
    let projects = state.projects();
    let Some(project) = projects.iter().find(|project| project.key.eq_ignore_ascii_case(key))
    else {
        return error(
            StatusCode::NOT_FOUND,
            &format!("Project {key} does not exist."),
            Some("com.atlassian.bitbucket.project.NoSuchProjectException"),
        );
    };
    if !visible(project, caller) {
        return error(
            StatusCode::UNAUTHORIZED,
            "You are not permitted to access this resource.",
            Some("com.atlassian.bitbucket.AuthorisationException"),
        );
    }
    match slug {
        None => answer::json(StatusCode::OK, &project.json()),
        Some(slug) if project.repositories.iter().any(|one| one == slug) => {
            answer::json(StatusCode::OK, &project.repository_json(slug))
        }
        Some(slug) => error(
            StatusCode::NOT_FOUND,
            &format!("Repository {key}/{slug} does not exist."),
            Some("com.atlassian.bitbucket.repository.NoSuchRepositoryException"),
        ),
    }
}

/// What is private needs a person who may see it and a token with a repository scope.
fn visible(project: &Project, caller: &Caller) -> bool {
    match caller {
        Caller::Person { person, scopes } => {
            let scoped = scopes.iter().any(|scope| scope != "PUBLIC_REPOS");
            project.public || scoped && project.visible_to(&person.slug)
        }
        Caller::Anonymous | Caller::DeadToken => project.public,
    }
}

fn repositories(state: &State, caller: &Caller, query: &Form) -> Response<Body> {
    let permitted = |project: &&Project| match (query.one("permission"), caller) {
        (None, _) => true,
        (Some(permission), Caller::Person { person, .. }) => {
            project.allows(&person.slug, permission)
        }
        (Some(_), Caller::Anonymous | Caller::DeadToken) => false,
    };
    let wanted = |project: &&Project| {
        query.one("projectkey").is_none_or(|key| project.key.eq_ignore_ascii_case(key))
    };
    let projects = state.projects();
    let visible = projects.iter().filter(|project| visible(project, caller));
    let chosen = visible.filter(wanted).filter(permitted);
    let each = |project: &Project| {
        let slugs = project.repositories.iter();
        slugs.map(|slug| project.repository_json(slug)).collect::<Vec<_>>()
    };
    paged(query, chosen.flat_map(each).collect())
}

/// The page wrapper; `limit` is 25 if not given, 1000 at most.
fn paged(query: &Form, all: Vec<Value>) -> Response<Body> {
    let (start, limit) = (query.number("start", 0), query.number("limit", 25).clamp(1, 1000));
    let total = all.len();
    let values: Vec<Value> = all.into_iter().skip(start).take(limit).collect();
    let next = start + values.len();
    let mut page = json!({"size": values.len(), "limit": limit, "isLastPage": next >= total,
                          "values": values, "start": start});
    if next < total {
        page["nextPageStart"] = next.into();
    }
    answer::json(StatusCode::OK, &page)
}
