# frozen_string_literal: true

module FlyteAuth
  # An access token, ready for a call. No way of printing one shows a secret.
  class Token
    # The header that takes it, in lower case: the server's `authorization_metadata_key` (Flyte's `AuthMetadataService`),
    # else `authorization`.
    attr_reader :header_name
    # When it expires (Time, UTC); nil if nobody knows.
    attr_reader :expires_at

    # @api private
    attr_reader :native

    def initialize(native)
      @native = native
      @header_name = native.header_name.freeze
      @expires_at = native.expires_at&.utc
    end

    # The token itself: a secret.
    def value = @native.value

    # The header's value: `Bearer` and the token: a secret.
    def header_value = @native.header_value

    # Whether both are the same token.
    def ==(other) = other.is_a?(Token) && (equal?(other) || @native.is_same(other.native))
    alias eql? ==

    # Of the expiry alone: a hash of a secret says something of it.
    def hash = @expires_at.hash

    # Masked.
    def to_s = "Token(***, until #{@expires_at&.strftime("%FT%TZ") || "nobody knows"})"
    alias inspect to_s

    def pretty_print(printer) = printer.text(to_s)

    # Masked: a serializer is a way of printing.
    def to_json(*) = "\"#{self}\""
  end
end
