use super::super::{RelyingParty, RelyingPartyBuilder};
use super::*;

const KEY: &str = "a-cookie-key-of-the-tests-0123456789";

fn good() -> RelyingPartyBuilder {
    RelyingParty::builder("https://idp.example", "console", "https://console.example").cookie_key(KEY)
}

fn based(base: &str) -> RelyingPartyBuilder {
    RelyingParty::builder("https://idp.example", "console", base).cookie_key(KEY)
}

#[test]
fn what_is_wrong_is_named() {
    let minute = Duration::from_secs(59);
    let bare = RelyingParty::builder("https://idp.example", "console", "https://console.example");
    let table: Vec<(RelyingPartyBuilder, &str, &str)> = vec![
        (bare, "cookie_keys_missing", "cookieKeys"),
        (good().cookie_key("short"), "cookie_key_short", "cookieKeys"),
        (good().cookie_key("x".repeat(31)), "cookie_key_short", "cookieKeys"),
        ((0..16).fold(good(), |made, _| made.cookie_key(KEY)), "cookie_keys_invalid", "cookieKeys"),
        (RelyingParty::builder("http://idp.example", "c", "https://c.example"), "issuer_invalid", "issuer"),
        (RelyingParty::builder("idp", "c", "https://c.example"), "issuer_invalid", "issuer"),
        (RelyingParty::builder("https://idp.example", "", "https://c.example"), "client_id_missing", "clientId"),
        (based("http://console.example"), "base_url_invalid", "baseURL"),
        (based("console.example"), "base_url_invalid", "baseURL"),
        (based("https://console.example/?x"), "base_url_invalid", "baseURL"),
        (based("https://a@console.example/"), "base_url_invalid", "baseURL"),
        (good().login_path("login"), "path_invalid", "loginPath"),
        (good().login_path("/"), "path_invalid", "loginPath"),
        (good().callback_path("/a//b"), "path_invalid", "callbackPath"),
        (good().callback_path("/a/../b"), "path_invalid", "callbackPath"),
        (good().logout_path("/a?b"), "path_invalid", "logoutPath"),
        (good().me_path("/\"><script>"), "path_invalid", "mePath"),
        (good().me_path("/login"), "path_invalid", "loginPath"),
        (good().scopes(["profile"]), "scopes_invalid", "scopes"),
        (good().extra_param("state", "x"), "parameter_reserved", "extraParams"),
        (good().idp_query_parameter("redirect_uri"), "parameter_reserved", "idpQueryParameter"),
        (good().extra_param("response_mode", "fragment"), "parameter_invalid", "extraParams"),
        (good().cookie_name("a b"), "cookie_name_invalid", "cookieName"),
        (good().cookie_name("__Host-x"), "cookie_name_invalid", "cookieName"),
        (good().cookie_name(""), "cookie_name_invalid", "cookieName"),
        (good().cookie_domain("a; Path=/"), "cookie_domain_invalid", "cookieDomain"),
        (based("http://c.example").plaintext(true).same_site(SameSite::None), "same_site_invalid", "sameSite"),
        (good().return_origin("https://a.example/path"), "origin_invalid", "returnTo"),
        (good().return_origin("*"), "origin_invalid", "returnTo"),
        (good().return_origin("http://a.example"), "origin_invalid", "returnTo"),
        (good().trusted_origin("null"), "origin_invalid", "trustedOrigins"),
        (good().home("https://evil.example"), "home_invalid", "home"),
        (good().post_logout_redirect("bye"), "post_logout_redirect_invalid", "postLogoutRedirect"),
        (good().session_lifetime(minute), "lifetime_invalid", "sessionLifetime"),
        (good().idle_timeout(minute), "lifetime_invalid", "sessionLifetime"),
        (good().header_name("content-length"), "header_name_invalid", "headerName"),
        (good().header_name("a b"), "header_name_invalid", "headerName"),
    ];
    for (made, code, setting) in table {
        let error = made.build().unwrap_err();
        assert_eq!((error.code(), error.setting()), (code, Some(setting)), "{error}");
        assert!(!error.to_string().contains("short\"") && !error.to_string().contains(KEY));
    }
}

#[test]
fn the_cookie_s_prefix_says_what_browsers_enforce() {
    for (made, name) in [
        (good(), "__Host-flyte_auth"),
        (good().cookie_domain("example"), "__Secure-flyte_auth"),
        (based("http://localhost:3000").cookie_domain("localhost"), "flyte_auth"),
        (based("http://127.0.0.1:3000"), "flyte_auth"),
        (based("http://console.example").plaintext(true), "flyte_auth"),
    ] {
        assert_eq!(made.build().unwrap().inner.settings.cookie_name, name);
    }
}

#[test]
fn names() {
    assert_eq!(SameSite::named("Strict").unwrap(), SameSite::Strict);
    assert_eq!(SameSite::named("x").unwrap_err().code(), "same_site_invalid");
}
