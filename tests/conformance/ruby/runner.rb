# frozen_string_literal: true

# The Ruby runner: does what the peer says, one JSON line in, one JSON line out (`tests/conformance/README.md`).
#
# Through the public API of the gem only; nothing here decides anything.

require "flyte_auth"
require "json"

# What the commands name: sessions, logins that were begun, tokens that were kept.
SESSIONS = {}
LOGINS = {}
TOKENS = {}

def time(value) = value&.utc&.iso8601(3)

def shown(token) = token && { value: token.value, expires_at: time(token.expires_at), header_name: token.header_name }

def plain(struct) = struct.to_h.transform_values { |value| value.is_a?(Time) ? time(value) : value }

def token(session, command)
  if command["count"]
    return Array.new(command["count"]) { Thread.new { Thread.current.report_on_exception = false; session.token } }
                .map { |thread| shown(thread.value) }
  end

  found = session.token
  TOKENS[command["keep"]] = found if command["keep"]
  shown(found)
end

def open_session(options)
  keywords = options.transform_keys(&:to_sym)
  FlyteAuth::Session.from_config(keywords.delete(:config), **keywords)
end

def perform(command)
  name = command["session"] || "main"
  session = SESSIONS[name]
  case command["do"]
  when "open"
    SESSIONS[name] = open_session(command["options"] || {})
    {}
  when "token" then token(session, command)
  when "headers" then session.headers
  when "status" then plain(session.status)
  when "whoami" then plain(session.whoami)
  when "invalidate"
    session.invalidate(command["token"] && TOKENS[command["token"]])
    {}
  when "begin_login"
    login = LOGINS[name] = session.begin_login(flow: command["flow"], timeout: 120)
    login && { url: login.url, user_code: login.user_code, expires_at: time(login.expires_at) }
  when "finish"
    LOGINS.delete(name).finish(redirect_url: command["redirect_url"])
    {}
  when "cancel"
    LOGINS.delete(name).cancel
    {}
  when "logout"
    outcome = session.logout(revoke: command["revoke"] ? true : false)
    raise outcome.problem if outcome.problem

    { was_signed_in: outcome.was_signed_in }
  else raise "no command is called #{command["do"]}"
  end
end

def answer(line)
  { ok: perform(JSON.parse(line)) }
rescue FlyteAuth::Error => error
  { error: { kind: error.kind, code: error.code, retryable: error.retryable?, message: error.message } }
end

$stdout.sync = true
$stdin.set_encoding(Encoding::UTF_8)
$stdin.each_line { |line| puts JSON.generate(answer(line)) }
