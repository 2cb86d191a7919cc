# frozen_string_literal: true

require "harness"
require "minitest/autorun"

# The gem as a user gets it: installed into an empty folder, and used from there alone.
class PackageTest < Minitest::Test
  GEM = File.join(ROOT, "target/ruby/flyte-auth.gem")
  OPENS = 'require "flyte_auth"; puts FlyteAuth::Session.for_endpoint("flyte.example.org").endpoint'

  def setup
    @home = Dir.mktmpdir
    # ffi is there already: rubygems.org is not asked.
    run!("gem", "install", "--local", "--ignore-dependencies", "--no-document", "--install-dir", @home, GEM)
    @gem = Dir["#{@home}/gems/flyte-auth-*"].first
    @native = Dir["#{@gem}/lib/flyte_auth/native/*/*"].first
  end

  def teardown = FileUtils.rm_rf(@home)

  def run!(*command)
    output, status = Open3.capture2e(*command)
    assert status.success?, output
    output
  end

  # What a program says that uses the installed gem.
  def says(env = {}, source = OPENS)
    path = [@home, *Gem.path].join(":")
    Open3.capture2e({ "GEM_PATH" => path, "RUBYLIB" => nil, **env }, "ruby", "-W1", "-e", source).first
  end

  # A sandbox whose signed-in person's access token has just run out.
  def lapsed(*flags)
    sandbox = Sandbox.new("--auto-approve", ALICE, "--access-token-lifetime", "2", *flags)
    sandbox.sign_in(FlyteAuth::Session.for_endpoint(sandbox.http))
    sleep 2.1
    sandbox
  end

  def test_it_is_used_from_its_folder_alone
    assert_equal "flyte.example.org\n", says
    assert_includes says({}, "require 'flyte_auth'; puts $LOADED_FEATURES.grep(/flyte_auth/)"), @gem
  end

  def test_a_missing_library
    FileUtils.rm(@native)
    assert_match(/flyte-auth: this gem has no native library for \S+.* Install the gem of this platform/, says)
    FileUtils.rm_rf(File.join(@gem, "lib/flyte_auth/native"))
    assert_match(/flyte-auth: this gem has no native library at all/, says)
  end

  def test_a_library_of_another_architecture
    bytes = File.binread(@native)
    # e_machine of an ELF header: EM_RISCV.
    bytes.setbyte(18, 0xF3)
    File.binwrite(@native, bytes)
    assert_match(/LoadError.*|cannot load #{Regexp.escape(@native)}: /, says)
    assert_match(/flyte-auth: \S+ cannot load .*Install the gem of this platform/, says)
  end

  def test_a_library_that_is_named
    said = says({ "FLYTE_AUTH_RUBY_LIBRARY" => "/nowhere/none.so" })
    assert_match(%r{cannot load /nowhere/none.so: .* or correct FLYTE_AUTH_RUBY_LIBRARY}, said)
    assert_equal "flyte.example.org\n", says({ "FLYTE_AUTH_RUBY_LIBRARY" => @native })
  end

  def test_a_program_ends_by_itself_and_a_refresh_arrives
    sandbox = lapsed("--rotate-refresh-tokens")
    before = sandbox.requests_to("/oauth2/token")
    sandbox.fault("delay-700", 1, "/oauth2/token")
    asks = "require 'flyte_auth'; s = FlyteAuth::Session.for_endpoint('#{sandbox.http}'); Thread.new { s.token }; sleep 0.4; exit"
    said = says({}, asks)
    assert_equal "", said
    assert_equal before + 1, sandbox.requests_to("/oauth2/token")
    # The server has replaced the refresh token: whoever has only the old one would need a login.
    assert_equal "authorization\n", says({}, "require 'flyte_auth'; puts FlyteAuth::Session.for_endpoint('#{sandbox.http}').token.header_name")
  ensure
    sandbox&.stop
  end

  # Their callbacks need Ruby's lock, and the runtime has two threads.
  def test_a_refresh_arrives_though_other_threads_wait
    sandbox = lapsed("--rotate-refresh-tokens")
    asks = <<~RUBY
      require "flyte_auth"
      others = Array.new(3) do
        FlyteAuth::Session.for_endpoint("#{sandbox.http}", store: "memory", client_id: "flytepropeller", client_secret: "foobar")
      end
      Thread.new { FlyteAuth::Session.for_endpoint("#{sandbox.http}").token }
      $stdout.puts; $stdout.flush; $stdin.gets
      others.each { |other| Thread.new { other.token } }
      $stdin.gets
    RUBY
    took = nil
    before = sandbox.requests_to("/oauth2/token")
    sandbox.fault("delay-2500", 1, "/oauth2/token")
    Open3.popen2(RbConfig.ruby, "-I", File.join(ROOT, "target/ruby/lib"), "-e", asks) do |input, output, program|
      output.gets
      sandbox.served("/oauth2/token", before + 1)
      sandbox.fault("delay-700", 3, "/oauth2/token")
      input.puts
      sandbox.served("/oauth2/token", before + 4)
      input.puts
      begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      assert program.value.success?
      took = Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun
    end
    assert_operator took, :<, 10
    assert_equal "authorization\n", says({}, "require 'flyte_auth'; puts FlyteAuth::Session.for_endpoint('#{sandbox.http}').token.header_name")
  ensure
    sandbox&.stop
  end

  def test_an_interrupt_ends_the_end
    sandbox = lapsed
    asks = "require 'flyte_auth'; Thread.new { FlyteAuth::Session.for_endpoint('#{sandbox.http}').token }; $stdin.gets"
    before = sandbox.requests_to("/oauth2/token")
    sandbox.fault("delay-9000", 1, "/oauth2/token")
    command = [RbConfig.ruby, "-I", File.join(ROOT, "target/ruby/lib"), "-e", asks]
    Open3.popen2(*command, err: File::NULL) do |input, _, program|
      sandbox.served("/oauth2/token", before + 1)
      input.puts
      begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      sleep 0.5
      assert program.alive?, "it waits for the refresh"
      Process.kill(:INT, program.pid)
      assert program.value.signaled?
      assert_operator Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun, :<, 5
    end
  ensure
    sandbox&.stop
  end

  def test_the_readmes_ruby_runs
    sandbox = Sandbox.new("--auto-approve", ALICE)
    blocks = File.read(File.join(ROOT, "ruby/README.md")).scan(/```ruby\n(.*?)```/m).flatten
    refute_empty blocks
    blocks.each do |block|
      source = block.gsub("flyte.example.org", sandbox.http).gsub("https://idp.example.org", sandbox.issuer)
      env = { "FLYTE_AUTH_CLIENT_ID" => "flytepropeller", "FLYTE_AUTH_CLIENT_SECRET" => "foobar", "FLYTE_AUTH_STORE" => "memory" }
      said = says(env, source)
      refute_match(/Error/, said, source)
    end
  ensure
    sandbox&.stop
  end
end
