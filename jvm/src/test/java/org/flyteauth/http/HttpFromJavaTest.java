package org.flyteauth.http;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import org.flyteauth.ConfigException;
import org.flyteauth.FlyteAuthException;
import org.flyteauth.LoginRequiredException;
import org.flyteauth.Session;
import org.flyteauth.SessionOptions;
import org.flyteauth.harness.Sandbox;
import org.flyteauth.okhttp.FlyteAuthIOException;
import org.flyteauth.okhttp.FlyteAuthInterceptor;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Both plug-ins as a program in Java writes them. */
class HttpFromJavaTest {
  private static Sandbox sandbox;

  @BeforeAll
  static void start() {
    sandbox = Sandbox.Companion.start();
  }

  @AfterAll
  static void stop() {
    sandbox.close();
  }

  private static SessionOptions machine() {
    return new SessionOptions().store("memory").clientId("flytepropeller").clientSecret("foobar");
  }

  private static HttpRequest get(String url) {
    return HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(20)).build();
  }

  @Test
  void anHttpClientLikeAnyOther() throws Exception {
    try (Session session = Session.forEndpoint(sandbox.getHttp(), machine())) {
      HttpClient client = FlyteHttpClient.of(session);
      HttpResponse<String> answer = client.send(get(sandbox.getHttp() + "/me"), BodyHandlers.ofString());
      assertEquals(200, answer.statusCode());
      HttpResponse<Void> other =
          client.sendAsync(get(sandbox.getHttp() + "/me"), BodyHandlers.discarding()).get(20, TimeUnit.SECONDS);
      assertEquals(200, other.statusCode());
    }
  }

  @Test
  void aClientOfMyMakingAndMoreHosts() throws Exception {
    String other = sandbox.getHttp().replace("127.0.0.1", "localhost");
    HttpClient.Builder builder = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5));
    try (Session session = Session.forEndpoint(sandbox.getHttp(), machine())) {
      HttpClient client = FlyteHttpClient.of(session, builder, HttpClient.Redirect.NEVER, other);
      assertEquals(Duration.ofSeconds(5), client.connectTimeout().orElseThrow());
      assertEquals(HttpClient.Redirect.NEVER, client.followRedirects());
      assertEquals(200, client.send(get(other + "/me"), BodyHandlers.ofString()).statusCode());
      ConfigException refused =
          assertThrows(
              ConfigException.class,
              () -> FlyteHttpClient.of(session).send(get(other + "/me"), BodyHandlers.ofString()));
      assertEquals("foreign_host", refused.getCode());
    }
  }

  @Test
  void whatGoesWrongWithTheSession() {
    try (Session nobody = Session.forEndpoint(sandbox.getHttp(), new SessionOptions().store("memory"))) {
      HttpClient client = FlyteHttpClient.of(nobody);
      HttpRequest request = get(sandbox.getHttp() + "/me");
      FlyteAuthException sent =
          assertThrows(FlyteAuthException.class, () -> client.send(request, BodyHandlers.ofString()));
      assertInstanceOf(LoginRequiredException.class, sent);
      ExecutionException later =
          assertThrows(ExecutionException.class, () -> client.sendAsync(request, BodyHandlers.ofString()).get());
      assertInstanceOf(LoginRequiredException.class, later.getCause());
    }
  }

  @Test
  void okHttp() throws IOException {
    try (Session session = Session.forEndpoint(sandbox.getHttp(), machine())) {
      OkHttpClient client = new FlyteAuthInterceptor(session).install(new OkHttpClient.Builder()).build();
      Request request = new Request.Builder().url(sandbox.getHttp() + "/me").build();
      try (Response response = client.newCall(request).execute()) {
        assertEquals(200, response.code());
      }
      Request elsewhere = new Request.Builder().url("http://localhost:1/").build();
      try (Response response = client.newCall(elsewhere).execute()) {
        throw new AssertionError(response);
      } catch (FlyteAuthIOException error) {
        assertEquals("foreign_host", error.getError().getCode());
      }
    }
  }
}
