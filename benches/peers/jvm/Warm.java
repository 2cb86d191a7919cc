// Nanoseconds of "give me the token" with a fresh one in memory, beside an empty call through UniFFI:
// `java @target/jvm/bench.args benches/peers/jvm/Warm.java [--quick]`.
//
// From the environment: BENCH_ENDPOINT (a Flyte endpoint), BENCH_CLIENT_ID, BENCH_CLIENT_SECRET.

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.flyteauth.Session;
import org.flyteauth.SessionOptions;
import org.flyteauth.ffi.Flyte_authKt;

public class Warm {
  /** What the calls give, so that none is left out. */
  static volatile Object seen;

  interface Subject {
    Object call() throws Exception;
  }

  public static void main(String[] arguments) throws Exception {
    boolean quick = Arrays.asList(arguments).contains("--quick");
    Map<String, String> env = System.getenv();
    SessionOptions options =
        new SessionOptions()
            .store("memory")
            .authType("ClientSecret")
            .clientId(env.get("BENCH_CLIENT_ID"))
            .clientSecret(env.get("BENCH_CLIENT_SECRET"));
    Session session = Session.forEndpoint(env.get("BENCH_ENDPOINT"), options);
    if (session.token() == null || session.tryToken() == null) throw new IllegalStateException("there is no token");

    List<String> names = List.of("an empty UniFFI call", "token()", "tokenAsync()", "headers()");
    List<Subject> subjects =
        List.of(
            () -> {
              Flyte_authKt.nothing();
              return null;
            },
            session::token,
            session::tokenAsync,
            session::headers);
    int count = quick ? 20_000 : 100_000;
    int rounds = quick ? 15 : 41;
    double[][] took = new double[subjects.size()][rounds];
    // They take turns, so that whatever else the machine does falls on all; the first rounds are the compiler's.
    for (int round = -rounds; round < rounds; round++) {
      for (int which = 0; which < subjects.size(); which++) {
        double nanos = timed(subjects.get(which), count);
        if (round >= 0) took[which][round] = nanos;
      }
    }
    for (int which = 0; which < subjects.size(); which++) {
      row("warm call", names.get(which), median(took[which]), "ns");
    }
    row("warm token(), in empty UniFFI calls", "flyte-auth", median(took[1]) / median(took[0]), "times");
    row("threads more for 500 calls that wait", "flyte-auth", threads(session), "threads");
  }

  static double timed(Subject subject, int count) throws Exception {
    long begun = System.nanoTime();
    for (int at = 0; at < count; at++) seen = subject.call();
    return (System.nanoTime() - begun) / (double) count;
  }

  static double median(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }

  /** How many threads more the process has while calls wait for one refresh. */
  static int threads(Session session) {
    session.statusAsync().join();
    session.invalidate();
    int before = tasks();
    List<CompletableFuture<?>> calls = new ArrayList<>();
    for (int at = 0; at < 500; at++) calls.add(session.tokenAsync());
    int most = tasks();
    calls.forEach(CompletableFuture::join);
    return Math.max(0, most - before);
  }

  static int tasks() {
    return new File("/proc/self/task").list().length;
  }

  static void row(String name, String subject, double value, String unit) {
    System.out.printf(
        "{\"case\":\"%s\",\"subject\":\"%s\",\"value\":%s,\"unit\":\"%s\"}%n",
        name, subject, value, unit);
  }
}
