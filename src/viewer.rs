//! The viewer: a page, its style and its modules, as they lie in `src/viewer/`, in the binary.
//!
//! They hold nothing that anybody stored, so they are open to everybody who reaches the server; what they show they ask
//! the API for, as whoever looks.

use std::sync::LazyLock;

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};

use crate::hex::hex;

/// Whatever a flow may carry, nothing but these files runs, looks like anything, or is asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Addresses that are views; the page looks at its own address and shows the right one.
const VIEWS: [&str; 10] = [
    "/",
    "/flows",
    "/flows/{id}",
    "/compare",
    "/compare/{a}/{b}",
    "/grid",
    "/stats",
    "/tail",
    "/operations",
    "/operations/{page}",
];

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("viewer/", $name)).as_slice())),+]
    };
}

/// Each file with its name; a test holds it to what lies in the folder.
const FILES: [(&str, &[u8]); 39] = files![
    "api.js",
    "bars.js",
    "compare.js",
    "diff.js",
    "dom.js",
    "filters.js",
    "freshness.js",
    "grid.js",
    "histogram.js",
    "icon.svg",
    "index.html",
    "json.js",
    "keys.js",
    "kin.js",
    "letters.js",
    "line.js",
    "list.js",
    "main.js",
    "me.js",
    "messages.js",
    "minimap.js",
    "operations.js",
    "panel.js",
    "raw.js",
    "rerun.js",
    "router.js",
    "rows.js",
    "run.js",
    "runhead.js",
    "scale.js",
    "stats.js",
    "style.css",
    "tail.js",
    "time.js",
    "timeline.js",
    "token.js",
    "toolbar.js",
    "variables.js",
    "views.css",
];

/// A file, ready to be sent.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    content: &'static [u8],
    kind: &'static str,
    tag: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |(name, content): (&'static str, &'static [u8])| Asset {
        name,
        content,
        kind: kind(name),
        tag: format!("\"{}\"", hex(&Sha256::digest(content))),
    };
    FILES.map(asset).into()
});

/// `GET` of every view, and of the files below `/viewer/`. A browser may keep a file, and asks each time whether it is
/// still the same (`ETag`), so that a page never runs with half of another version.
pub fn routes() -> Router {
    let mut router = Router::new();
    for view in VIEWS {
        router = router.route(view, get(async |headers: HeaderMap| answer("index.html", &headers)));
    }
    for (name, _) in FILES {
        let show = async move |headers: HeaderMap| answer(name, &headers);
        router = router.route(&format!("/viewer/{name}"), get(show));
    }
    router
}

fn answer(name: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let always = [
        (header::ETAG, asset.tag.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    if known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == asset.tag) {
        return (StatusCode::NOT_MODIFIED, always).into_response();
    }
    (always, [(header::CONTENT_TYPE, asset.kind)], asset.content).into_response()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_binary_and_no_other() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/viewer");
        let mut there: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        assert_eq!(there, FILES.map(|(name, _)| name));
    }

    #[test]
    fn the_page_names_every_module_so_that_all_come_at_once() {
        let page = include_str!("viewer/index.html");
        for (name, _) in FILES.iter().filter(|(name, _)| kind(name).starts_with("text/javascript")) {
            assert!(page.contains(&format!("\"/viewer/{name}\"")), "index.html does not name {name}");
        }
    }

    #[test]
    fn a_file_is_sent_once_and_then_only_found_to_be_the_same() {
        let first = answer("main.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let header = |name: header::HeaderName| first.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header(header::CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert_eq!(header(header::CONTENT_SECURITY_POLICY), POLICY);
        let tag = first.headers().get(header::ETAG).unwrap();
        let again = answer("main.js", &HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.clone())]));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = answer("list.js", &HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.clone())]));
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn no_module_reads_text_as_markup_or_asks_elsewhere() {
        for (name, content) in FILES.into_iter().filter(|(name, _)| {
            Path::new(name).extension().is_some_and(|ending| ending == "js" || ending == "html")
        }) {
            let text = std::str::from_utf8(content).unwrap();
            let forbidden = [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "https://",
                "style=\"",
            ];
            for word in forbidden {
                assert!(!text.contains(word), "{name} has {word}");
            }
            assert!(text.lines().count() < 400, "{name} is to be taken apart");
        }
    }
}
