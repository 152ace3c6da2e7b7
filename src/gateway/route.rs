//! What an address on the public listener is.

use crate::telemetry::worker_metrics::Route;

/// Names the raw path. Other spellings of our addresses (escapes, dots) are `CodeScan`'s to judge.
pub fn route(path: &str, prefix: &str) -> Route {
    let own = path.strip_prefix(prefix).and_then(|path| path.strip_prefix("/_codescan/oauth2/"));
    match own {
        Some("authorize") => Route::Authorize,
        Some("logout") => Route::Logout,
        Some("userinfo") => Route::Userinfo,
        Some("auth") => Route::Auth,
        _ => Route::App,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_addresses_and_all_others() {
        for (path, prefix, wanted) in [
            ("/_codescan/oauth2/authorize", "", Route::Authorize),
            ("/_codescan/oauth2/logout", "", Route::Logout),
            ("/_codescan/oauth2/userinfo", "", Route::Userinfo),
            ("/_codescan/oauth2/auth", "", Route::Auth),
            ("/_codescan/oauth2/authorize/", "", Route::App),
            ("/_codescan/oauth2/Authorize", "", Route::App),
            ("/_codescan/oauth2/%61uthorize", "", Route::App),
            ("/_codescan/oauth2/auth", "/cs", Route::App),
            ("/cs/_codescan/oauth2/auth", "/cs", Route::Auth),
            ("/_codescan/actuator/health", "", Route::App),
            ("/", "", Route::App),
        ] {
            assert_eq!(route(path, prefix), wanted, "{path} below {prefix}");
        }
    }
}
