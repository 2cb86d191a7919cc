# frozen_string_literal: true

require_relative "lib/flyte_auth/version"

# `scripts/ruby.sh` lays the folder out: the generated half and the native library are beside what is written by hand.
Gem::Specification.new do |spec|
  spec.name = "flyte-auth"
  spec.version = FlyteAuth::VERSION
  spec.summary = "Flyte authentication: one login for every program on this machine, whatever its language"
  spec.authors = ["The flyte-auth authors"]
  spec.homepage = "https://github.com/flyteorg/flyte-auth"
  spec.license = "Apache-2.0"
  spec.required_ruby_version = ">= 3.1"
  # One gem for each platform: the native library is in it.
  spec.platform = Gem::Platform.local
  spec.files = Dir["lib/**/*", "README.md", "LICENSE"].select { |file| File.file?(file) }
  spec.metadata = { "rubygems_mfa_required" => "true" }
  spec.add_dependency "ffi", "~> 1.15"
end
