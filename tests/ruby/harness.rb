# frozen_string_literal: true

require "io/console"
require "json"
require "net/http"
require "open3"
require "pp"
require "tmpdir"
require "timeout"
require "yaml"

# A home of its own: nobody reads or writes the developer's.
HOME = Dir.mktmpdir("flyte-auth-home")
ENV.delete_if { |name, _| name.start_with?("FLYTE", "SSH_") }
ENV.update("HOME" => HOME, "FLYTE_AUTH_HOME" => File.join(HOME, "state"), "FLYTE_AUTH_STORE" => "file")
at_exit { FileUtils.rm_rf(HOME) }

require "flyte_auth"

ROOT = File.expand_path("../..", __dir__)
ALICE = "alice@example.org"

# `flyte-auth sandbox` in a process of its own, driven by its ready line and admin interface.
class Sandbox
  def initialize(*flags)
    command = [File.join(ROOT, "target/debug/flyte-auth"), "sandbox", "--http-port", "0", "--grpc-port", "0"]
    @stdin, stdout, @process = Open3.popen2(*command, "--exit-with-stdin", *flags, err: File::NULL)
    @ready = JSON.parse(Timeout.timeout(30) { stdout.gets })
  end

  def http = @ready.fetch("http")

  def issuer = @ready.fetch("issuer")

  def session(**options) = FlyteAuth::Session.for_endpoint(http, store: "memory", **options)

  # Flyte's own machine client, and the made-up secret that the sandbox has for it.
  def machine = session(client_id: "flytepropeller", client_secret: "foobar")

  # Signs ALICE in, as a browser would; for a sandbox with `--auto-approve`.
  def sign_in(session)
    login = session.begin_login(flow: "pkce", no_browser: true)
    finished = Thread.new { login.finish }
    visit(login.url)
    finished.value
  end

  # Follows an address to the program's own page, which it gives.
  def visit(url)
    10.times do
      answer = Net::HTTP.get_response(URI(url))
      return answer.body unless answer["location"]

      url = URI.join(url, answer["location"]).to_s
    end
    raise "no page"
  end

  # The next requests go wrong.
  def fault(kind, count = 1, path = nil) = admin("Post", "/faults", { kind:, count:, path: }.compact)

  def clear_faults = admin("Delete", "/faults")

  # How many requests it has served on paths that contain `part`.
  def requests_to(part)
    JSON.parse(admin("Get", "/stats")).fetch("requests").sum { |path, count| path.include?(part) ? count : 0 }
  end

  def served(part, count)
    Timeout.timeout(30) { sleep 0.01 until requests_to(part) >= count }
  end

  # The status with which its resource server answers to these headers.
  def me(headers) = Net::HTTP.get_response(URI("#{http}/me"), headers).code.to_i

  def stop
    @stdin.close
    @process.value
  end

  private

  def admin(method, path, body = nil)
    uri = URI(@ready.fetch("admin") + path)
    request = Net::HTTP.const_get(method).new(uri, "content-type" => "application/json")
    request.body = JSON.generate(body) if body
    answer = Net::HTTP.start(uri.host, uri.port) { |http| http.request(request) }
    raise "#{path}: #{answer.code} #{answer.body}" unless answer.code.start_with?("2")

    answer.body
  end
end
