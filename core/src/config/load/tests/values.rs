//! Values that have a form are refused where they were written, not where they would be used.

use super::*;

fn refused(variable: &str, value: &str) -> crate::error::Error {
    let place = Place::new().env("FLYTE_AUTH_ENDPOINT", "dns:///h").env(variable, value);
    let Err(error) = place.load() else { panic!("{variable}={value}") };
    assert_eq!(error.kind(), crate::error::ErrorKind::Config, "{error}");
    assert!(error.to_string().contains(variable) && error.next_step().is_some(), "{error}");
    error
}

#[test]
fn extra_parameters_do_not_replace_what_the_grants_send() {
    for name in ["client_id", "grant_type", "state", "code_challenge", "redirect_uri", "scope", "audience"] {
        let error = refused("FLYTE_AUTH_EXTRA_PARAMS", &format!("prompt=login,{name}=evil"));
        assert_eq!(error.code(), "extra_param_reserved");
        assert!(error.to_string().contains(name));
    }
    let allowed = Place::new()
        .env("FLYTE_AUTH_ENDPOINT", "dns:///h")
        .env("FLYTE_AUTH_EXTRA_PARAMS", "prompt=login,resource=urn:x,response_mode=form_post");
    assert_eq!(allowed.load().unwrap().extra_params.len(), 3);
}

#[test]
fn addresses_and_header_names_have_a_form() {
    for variable in ["FLYTE_AUTH_TOKEN_URL", "FLYTE_AUTH_ISSUER"] {
        for value in
            ["nonsense", "file:///etc/passwd", "https://", "/token", "https://u:canary@h/t", "https://h/t#canary"]
        {
            let error = refused(variable, value);
            assert_eq!(error.code(), "url_invalid", "{value}");
            assert!(!error.to_string().contains("canary"));
        }
    }
    for value in ["bad header", "x\r\ny: 1", "ü", "a:b"] {
        assert_eq!(refused("FLYTE_AUTH_AUTHORIZATION_HEADER", value).code(), "header_invalid", "{value:?}");
    }
}

#[test]
fn a_host_name_has_an_end() {
    let long = "a".repeat(64);
    let many = "abc.".repeat(70);
    for host in [&long, &many, &"x".repeat(100_000)] {
        assert_eq!(refused("FLYTE_AUTH_ENDPOINT", host).code(), "endpoint_invalid");
    }
}
