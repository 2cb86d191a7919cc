package org.flyteauth;

import static org.junit.jupiter.api.Assertions.assertEquals;

import flyteidl.service.Identity.UserInfoRequest;
import flyteidl.service.IdentityServiceGrpc;
import io.grpc.CallCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.ManagedChannel;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import org.flyteauth.grpc.FlyteAuthInterceptor;
import org.flyteauth.grpc.FlyteCallCredentials;
import org.flyteauth.grpc.FlyteChannels;
import org.flyteauth.harness.Sandbox;
import org.flyteauth.http.FlyteHttpClient;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The plug-ins as README.md has them in Java. */
class JavaPluginsTest {
  private static Sandbox sandbox;

  @BeforeAll
  static void start() {
    sandbox = Sandbox.Companion.start();
  }

  @AfterAll
  static void stop() {
    sandbox.close();
  }

  @Test
  void grpc() {
    SessionOptions options =
        new SessionOptions().insecure(true).store("memory").clientId("flytepropeller").clientSecret("foobar");
    try (Session session = Session.forEndpoint(sandbox.getGrpc(), options)) {
      ManagedChannel channel = FlyteChannels.channel(session);
      ClientInterceptor interceptor = new FlyteAuthInterceptor(session);
      CallCredentials credentials = new FlyteCallCredentials(session);
      assertEquals("FlyteCallCredentials", credentials.getClass().getSimpleName());
      ManagedChannel own =
          NettyChannelBuilder.forTarget(sandbox.getGrpc()).usePlaintext().intercept(interceptor).build();
      for (ManagedChannel one : new ManagedChannel[] {channel, own}) {
        IdentityServiceGrpc.IdentityServiceBlockingStub stub = IdentityServiceGrpc.newBlockingStub(one);
        assertEquals("flytepropeller", stub.userInfo(UserInfoRequest.getDefaultInstance()).getSubject());
        one.shutdownNow();
      }
    }
  }

  @Test
  void http() throws Exception {
    try (Session session = sandbox.machine()) {
      HttpClient client = FlyteHttpClient.of(session);
      HttpRequest request = HttpRequest.newBuilder(URI.create(sandbox.getHttp() + "/me")).build();
      assertEquals(200, client.send(request, BodyHandlers.discarding()).statusCode());
      HttpClient named =
          FlyteHttpClient.of(session, HttpClient.newBuilder(), HttpClient.Redirect.NEVER, "https://flyte.example");
      assertEquals(HttpClient.Redirect.NEVER, named.followRedirects());
    }
  }

  @Test
  void okHttp() throws Exception {
    try (Session session = sandbox.machine()) {
      OkHttpClient client =
          new org.flyteauth.okhttp.FlyteAuthInterceptor(session).install(new OkHttpClient.Builder()).build();
      Request request = new Request.Builder().url(sandbox.getHttp() + "/me").build();
      try (Response response = client.newCall(request).execute()) {
        assertEquals(200, response.code());
      }
    }
  }
}
