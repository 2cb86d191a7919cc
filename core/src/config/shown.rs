//! What `{:?}` shows of a configuration: command lines masked as in `config explain`, names of further parameters alone.

use std::fmt;

use super::explain::masked_argv;
use super::load::Overrides;
use super::{Config, SecretSource, Setting};

/// Each field is named, so that a new one is decided upon.
macro_rules! shown {
    ($self:ident, $f:ident, $type:ident { $($plain:ident),* $(,)? } masked { $($masked:ident: $shown:expr),* $(,)? }) => {{
        let $type { $($plain,)* $($masked,)* } = $self;
        $f.debug_struct(stringify!($type))
            $(.field(stringify!($plain), $plain))*
            $(.field(stringify!($masked), &$shown))*
            .finish()
    }};
}

fn command(setting: Option<&Setting<Vec<String>>>) -> Option<Setting<Vec<String>>> {
    setting.map(|setting| Setting::new(masked_argv(&setting.value), setting.origin.clone()))
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown!(self, f, Config {
            endpoint, profile, account, adopt, auth_type, client_id, client_secret, scopes, audience, issuer, token_url,
            authorization_header, command_is_ours, static_token, network, store, interactive, file, insecure,
            proxy_command_is_ours, endpoint_pinned, endpoint_candidates, other_files, withheld, inside_command, warnings,
        } masked {
            extra_params: extra_params.keys(),
            command: self::command(command.as_ref()),
            proxy_command: self::command(proxy_command.as_ref()),
        })
    }
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown!(self, f, Overrides {
            config, endpoint, profile, account, store, interactive, insecure, insecure_skip_verify, ca_cert, client_cert,
            client_key, http_proxy_url, auth_type, client_id, client_secret, issuer, scopes, audience, from_client,
        } masked {
            extra_params: extra_params.keys(),
        })
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(secret) => f.debug_tuple("Value").field(secret).finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::Command(argv) => f.debug_tuple("Command").field(&masked_argv(argv)).finish(),
        }
    }
}
