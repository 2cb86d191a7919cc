# frozen_string_literal: true

require "ffi"
require "rbconfig"

module FlyteAuth
  # The native library in the gem: chosen by operating system, architecture and C library.
  module NativeLibrary
    # Names a library to load instead of the packed one.
    OVERRIDE = "FLYTE_AUTH_RUBY_LIBRARY"

    class << self
      # The file to load. Raises LoadError if there is none for this machine.
      def path
        return ENV.fetch(OVERRIDE) if ENV[OVERRIDE]

        file = File.join(__dir__, "native", platform, name)
        return file if File.file?(file)

        known = Dir.children(File.join(__dir__, "native")).sort.join(", ")
        raise LoadError, "flyte-auth: this gem has no native library for #{platform}#{known.empty? ? "" : "; it has #{known}"}. " \
                         "Install the gem of this platform, or name a library: #{OVERRIDE}=FILE"
      rescue Errno::ENOENT
        raise LoadError, "flyte-auth: this gem has no native library at all. Install the gem of this platform, " \
                         "or name a library: #{OVERRIDE}=FILE"
      end

      # Loads it. Raises LoadError if it cannot be loaded; what is wrong with it is in the message.
      def load(generated)
        file = path
        generated.ffi_lib(file)
      rescue LoadError => error
        raise if error.message.start_with?("flyte-auth: ")

        raise LoadError, "flyte-auth: #{platform} cannot load #{file}: #{error.message.lines.first.strip}. " \
                         "Install the gem of this platform#{", or correct #{OVERRIDE}" if ENV[OVERRIDE]}"
      end

      # As the gem's folders are named.
      def platform
        arch = { "arm64" => "aarch64", "x64" => "x86_64", "amd64" => "x86_64" }.fetch(cpu, cpu)
        case host_os
        when /darwin/ then "macos-#{arch}"
        when /mswin|mingw|cygwin/ then "windows-#{arch}"
        when /linux-musl/ then "linux-#{arch}-musl"
        when /linux/ then "linux-#{arch}-gnu"
        else "#{host_os}-#{arch}"
        end
      end

      private

      def cpu = RbConfig::CONFIG.fetch("host_cpu")

      def host_os = RbConfig::CONFIG.fetch("host_os")

      def name
        case platform
        when /\Awindows/ then "flyte_auth_uniffi.dll"
        when /\Amacos/ then "libflyte_auth_uniffi.dylib"
        else "libflyte_auth_uniffi.so"
        end
      end
    end
  end
end
