# frozen_string_literal: true

module FlyteAuth
  # What the user gave, checked for what only Ruby can see to be wrong; what it means is the core's affair.
  module Arguments
    module_function

    # `value` as UTF-8. Raises TypeError for another class, ArgumentError for bytes that are no text.
    def text(name, value)
      raise TypeError, "#{name} must be a String, not #{value.class}" unless value.is_a?(String)

      encoded = value.encoding == Encoding::UTF_8 ? value : value.encode(Encoding::UTF_8)
      raise ArgumentError, "#{name} is no valid UTF-8" unless encoded.valid_encoding?

      encoded
    rescue EncodingError
      raise ArgumentError, "#{name} cannot be written as UTF-8"
    end

    # What somebody else wrote: bytes that are no text make it another text, which is no token.
    def foreign(name, value)
      raise TypeError, "#{name} must be a String, not #{value.class}" unless value.is_a?(String)

      value.encode(Encoding::UTF_8, invalid: :replace, undef: :replace, replace: "\u{FFFD}").scrub
    end

    def path(name, value)
      text(name, value.respond_to?(:to_path) ? value.to_path : value)
    end

    def texts(name, value)
      raise TypeError, "#{name} must be an Array, not #{value.class}" unless value.is_a?(Array)

      value.map { |one| text(name, one) }
    end

    def table(name, value)
      raise TypeError, "#{name} must be a Hash, not #{value.class}" unless value.is_a?(Hash)

      value.to_h { |key, one| [text(name, key.is_a?(Symbol) ? key.to_s : key), text(name, one)] }
    end

    def boolean(name, value)
      raise TypeError, "#{name} must be true or false, not #{value.class}" unless [true, false].include?(value)

      value
    end

    # Seconds. The generated half has durations as times.
    def duration(name, value)
      raise TypeError, "#{name} must be a number of seconds, not #{value.class}" unless value.is_a?(Numeric) && value.real?
      raise ArgumentError, "#{name} must be a number of seconds from 0" unless value >= 0 && value < 2**40

      Time.at(value)
    end

    def count(name, value)
      raise TypeError, "#{name} must be an Integer, not #{value.class}" unless value.is_a?(Integer)
      raise ArgumentError, "#{name} must be from 0 to #{2**32 - 1}" unless (0...2**32).cover?(value)

      value
    end

    # Hidden from generated code, which prints its records.
    def secret(name, value)
      Native::Secret.new(text(name, value))
    end
  end
  private_constant :Arguments
end
