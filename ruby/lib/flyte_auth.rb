# frozen_string_literal: true

# Flyte authentication: one login for every program on this machine, whatever its language.
#
#   require "flyte_auth"
#
#   session = FlyteAuth::Session.from_config   # as flytekit and flyte would be configured
#   session.headers                            # {"authorization" => "Bearer …"}, refreshed when it is due
#
# `Session` gets tokens, `Verifier` checks those that a service receives, `FlyteAuth::Error` is what can go wrong.
module FlyteAuth
end

# Ruby 3.1 has `IO#wait_readable` in a library of its own, which the generated half uses unasked.
require "io/wait"

require_relative "flyte_auth/version"
require_relative "flyte_auth/native_library"
require_relative "flyte_auth/generated"
require_relative "flyte_auth/handles"
require_relative "flyte_auth/errors"
require_relative "flyte_auth/arguments"
require_relative "flyte_auth/outcomes"
require_relative "flyte_auth/token"
require_relative "flyte_auth/login"
require_relative "flyte_auth/session"
require_relative "flyte_auth/verifier"

# A refresh that is on its way to the store arrives; Ctrl-C ends the wait for it. Ruby's own sleep lets the callbacks of other
# threads run meanwhile, which the refresh may wait for.
at_exit do
  clock = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
  till = clock.call + 20
  sleep 0.005 while FlyteAuth::Native.is_ending && clock.call < till
end
