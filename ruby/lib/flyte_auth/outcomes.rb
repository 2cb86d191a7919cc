# frozen_string_literal: true

module FlyteAuth
  # What a login tells the person; `message` (and `to_s`) is a line for them. `kind` is `explain`, `url`, `user_code`,
  # `waiting` or `fallback`; the other members belong to one of these and are nil elsewhere. `remaining` is seconds.
  LoginEvent =
    Struct.new(
      :kind, :message, :url, :opened, :ssh_hint, :paste, :user_code, :verification_uri, :verification_uri_complete,
      :remaining, keyword_init: true
    ) do
      def to_s = message

      # Without the address and the code: they are for the person, not for a log.
      def inspect = "LoginEvent(#{kind})"

      def pretty_print(printer) = printer.text(inspect)
    end

  # What a login did: whether the endpoint has auth at all, whether another program's login was shared, who it is
  # (`subject`, `email`), `has_refresh_token`, and `expires_at` (Time) of the access token.
  LoginOutcome = Struct.new(:has_auth, :shared, :subject, :email, :has_refresh_token, :expires_at, keyword_init: true)

  # What a logout did. `revoked`: whether the server took the tokens back, nil if it was not asked; `problem`: why not.
  LogoutOutcome = Struct.new(:was_signed_in, :revoked, :copies_removed, :problem, keyword_init: true)

  # What is known of a session without the network; nothing secret. Times are Time or nil.
  Status =
    Struct.new(
      :endpoint, :generation, :auth_type, :issuer, :client_id, :subject, :email, :scopes, :signed_in, :token_source,
      :access_token_expires_at, :has_refresh_token, :session_expires_at, :store, :store_reason, :store_location,
      :profile, :account, :config_file, keyword_init: true
    )

  # The identity behind a token, as the server sees it; what it left out is nil.
  Identity = Struct.new(:subject, :name, :email, :preferred_username, keyword_init: true)

  # Claims of a verified ID token (OpenID Connect Core section 2).
  IdTokenClaims = Struct.new(:subject, :email, :preferred_username, keyword_init: true)

  # Claims of a verified logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4). Remember `token_id` until
  # `expires_at`, and refuse it the second time.
  LogoutTokenClaims = Struct.new(:subject, :session_id, :token_id, :expires_at, keyword_init: true)

  # A struct with the members of a record of the generated half.
  def self.filled(type, record, **others)
    members = type.members - others.keys
    type.new(**members.to_h { |name| [name, record.public_send(name)] }, **others).freeze
  end
end
