//! Whatever is sent, nothing panics, and nobody is signed in by it.

use http::{HeaderValue, Method, header};

use super::*;
use crate::protocol::secret::SecretBytes;

/// A small generator (xorshift), so that a failure comes again.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = usize::try_from(self.next() % from.len() as u64).unwrap();
        &from[at]
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.next() % most).map(|_| u8::try_from(self.next() & 0xff).unwrap()).collect()
    }

    /// Pieces that mean something, noise between them.
    fn text(&mut self) -> String {
        const PIECES: [&str; 30] = [
            "/",
            "//",
            "\\",
            "?",
            "&",
            "=",
            ";",
            "; ",
            ".",
            "..",
            "%",
            "%00",
            "%ff",
            "%2f",
            "#",
            "@",
            ":",
            "https://",
            "return_to=",
            "redirect_url=",
            "state=",
            "code=",
            "iss=https://idp.example",
            "error=",
            "/login",
            "/callback",
            "/logout",
            "\u{202e}",
            "\u{0}",
            "\u{1F600}",
        ];
        let mut text = String::new();
        for _ in 0..self.next() % 12 {
            let piece: &&str = self.pick(&PIECES);
            text.push_str(piece);
            text.push_str(&String::from_utf8_lossy(&self.bytes(4)));
        }
        text
    }

    fn cookie(&mut self, good: &[String]) -> Vec<u8> {
        const NAMES: [&str; 6] = [
            "__Host-flyte_auth",
            "__Host-flyte_auth.0",
            "__Host-flyte_auth.1",
            "__Host-flyte_auth.9",
            "__Secure-flyte_auth_i",
            "__Secure-flyte_auth_t_0123456789abcdef",
        ];
        let mut line = Vec::new();
        for _ in 0..1 + self.next() % 4 {
            line.extend(self.pick(&NAMES).bytes());
            line.push(b'=');
            let mut value = if self.once_in(3) { self.bytes(200) } else { self.pick(good).clone().into_bytes() };
            for _ in 0..1 + self.next() % 3 {
                if !value.is_empty() {
                    let at = usize::try_from(self.next() % value.len() as u64).unwrap();
                    value[at] = value[at].wrapping_add(1 + u8::try_from(self.next() % 250).unwrap());
                }
            }
            line.extend(value);
            line.extend(b"; ");
        }
        line
    }
}

#[tokio::test]
async fn any_request_is_answered() {
    for world in [World::new(), World::with_store()] {
        let mut browser = world.sign_in().await;
        world.begin(&mut browser, "/login").await;
        let mut good: Vec<String> = browser.cookies.iter().map(|cookie| cookie.value.clone()).collect();
        good.push(format!("2.{}", browser.session()[0].value));
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::OPTIONS];
        let paths = ["/login", "/callback", "/logout", "/me", "/x", ""];
        for _ in 0..4000 {
            let target = format!("{}?{}", noise.pick(&paths), noise.text());
            let target = if noise.once_in(8) { noise.text() } else { target };
            let mut request = Request::new(noise.pick(&methods).clone(), target, http::HeaderMap::new());
            for name in [header::COOKIE, header::ORIGIN, header::REFERER, header::ACCEPT, header::CONTENT_TYPE] {
                if noise.once_in(2) {
                    let value = if name == header::COOKIE { noise.cookie(&good) } else { noise.text().into_bytes() };
                    let value: Vec<u8> = value.into_iter().filter(|byte| *byte >= 32 && *byte != 127).collect();
                    request.headers.append(name, HeaderValue::from_bytes(&value).unwrap());
                }
            }
            for (name, values) in [
                ("sec-fetch-site", ["same-origin", "cross-site", "none", "\u{e9}"]),
                ("sec-fetch-mode", ["navigate", "cors", "websocket", ""]),
            ] {
                if noise.once_in(2) {
                    request.headers.append(name, HeaderValue::from_bytes(noise.pick(&values).as_bytes()).unwrap());
                }
            }
            if noise.once_in(2) {
                request.body =
                    Some(SecretBytes::from(if noise.once_in(2) { noise.bytes(300) } else { noise.text().into() }));
            }
            let guard = *noise.pick(&[Guard::Look, Guard::Login]);
            let now = world.rp.handle_now(&request, guard);
            assert!(now.is_none_or(|handled| handled.signed_in.is_none()), "{:?}", request.headers);
            let handled = world.rp.handle(&request, guard).await;
            assert!(handled.signed_in.is_none());
            if let Some(response) = handled.response {
                assert_ne!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{}", request.target);
            }
        }
        assert!(world.rp.handle(&browser.get("/x"), Guard::Login).await.signed_in.is_some(), "nobody was signed out");
    }
}
