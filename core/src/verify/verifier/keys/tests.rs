use super::*;

#[test]
fn the_issuer_says_how_long_within_bounds() {
    for (lines, seconds) in [
        (&[][..], 300),
        (&["max-age=600"], 600),
        (&["public, max-age=3600, must-revalidate"], 3600),
        (&["Max-Age=\"120\""], 120),
        (&["max-age=0"], 60),
        (&["max-age=99999999"], 86_400),
        (&["max-age=99999999999999999999999"], 300),
        (&["max-age=soon"], 300),
        (&["no-store, max-age=600"], 60),
        (&["max-age=600", "no-cache"], 60),
        (&["private"], 300),
    ] {
        let mut headers = http::HeaderMap::new();
        for line in lines {
            headers.append(http::header::CACHE_CONTROL, line.parse().unwrap());
        }
        let reply = Reply { status: http::StatusCode::OK, headers, body: Vec::new(), trailers: http::HeaderMap::new() };
        assert_eq!(lifetime(&reply), Duration::from_secs(seconds), "{lines:?}");
    }
}
