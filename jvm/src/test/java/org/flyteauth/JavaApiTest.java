package org.flyteauth;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.flyteauth.harness.Sandbox;
import org.flyteauth.harness.SandboxKt;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The API as a program in Java writes it. */
class JavaApiTest {
  private static Sandbox sandbox;

  @BeforeAll
  static void start() {
    sandbox = Sandbox.Companion.start("--auto-approve", SandboxKt.ALICE);
  }

  @AfterAll
  static void stop() {
    sandbox.close();
  }

  private static SessionOptions machine() {
    return new SessionOptions().store("memory").authType("ClientSecret").clientId("flytepropeller").clientSecret("foobar");
  }

  @Test
  void tokensAndHeaders() throws Exception {
    try (Session session = Session.forEndpoint(sandbox.getHttp(), machine())) {
      Token token = session.token();
      assertEquals("Bearer " + token.getValue(), token.getHeaderValue());
      assertEquals(Map.of(token.getHeaderName(), token.getHeaderValue()), session.headers());
      assertEquals(token, session.tokenAsync().get(10, TimeUnit.SECONDS));
      assertEquals(session.headers(), session.headersAsync().get(10, TimeUnit.SECONDS));
      session.invalidate(token);
      assertNull(session.tryToken());
      session.invalidate();
    }
  }

  @Test
  void aLoginInTwoSteps() throws Exception {
    try (Session session = Session.fromConfig(new SessionOptions().endpoint(sandbox.getHttp()).store("memory"));
        PendingLogin login = session.beginLogin(new LoginOptions().flow("pkce").noBrowser(true))) {
      CompletableFuture<LoginOutcome> finished = login.finishAsync();
      sandbox.visit(login.getUrl());
      assertTrue(finished.get(20, TimeUnit.SECONDS).getHasAuth());
      assertEquals(SandboxKt.ALICE, session.whoami().getEmail());
      assertTrue(session.status().isSignedIn());
      assertTrue(session.logout(true).getWasSignedIn());
    }
  }

  @Test
  void aLoginWithCallbacks() {
    LoginOptions options =
        new LoginOptions()
            .flow("pkce")
            .timeout(Duration.ofSeconds(20))
            .onEvent(event -> assertNotNull(event.getMessage()))
            .openBrowser(
                url -> {
                  CompletableFuture.runAsync(() -> sandbox.visit(url));
                  return true;
                });
    try (Session session = Session.fromConfig(new SessionOptions().endpoint(sandbox.getHttp()).store("memory"))) {
      assertTrue(session.login(options).getHasAuth());
    }
  }

  @Test
  void errorsNeedNoThrowsClauseAndSayWhatToDo() {
    try (Session session = Session.fromConfig(new SessionOptions().endpoint(sandbox.getHttp()).store("memory"))) {
      LoginRequiredException error = assertThrows(LoginRequiredException.class, session::token);
      assertEquals(ErrorKind.LOGIN_REQUIRED, error.getKind());
      assertNotNull(error.getNextStep());
    }
  }

  @Test
  void nullIsNoEndpointAndAnUnsetOption() {
    NullPointerException error = assertThrows(NullPointerException.class, () -> Session.forEndpoint(null));
    assertTrue(error.getMessage().contains("endpoint"), error.getMessage());
    assertThrows(NullPointerException.class, () -> Session.fromConfig(null));
    assertThrows(NullPointerException.class, () -> new VerifierOptions(null));
    assertThrows(NullPointerException.class, () -> new LoginOptions().flow(null));
    SessionOptions options = machine().config(null).profile(null).scopes(null).extraParams(null).insecure(null);
    try (Session session = Session.forEndpoint(sandbox.getHttp(), options)) {
      assertNotNull(session.token());
    }
  }

  @Test
  void aListWithNullIsRefused() {
    assertThrows(NullPointerException.class, () -> new SessionOptions().scopes(Arrays.asList("all", null)));
  }

  @Test
  void verifying() {
    try (Session session = Session.forEndpoint(sandbox.getHttp(), machine())) {
      Verifier verifier = new Verifier(new VerifierOptions(sandbox.getIssuer()).anyAudience(true));
      VerifiedToken token = verifier.verify(session.token().getValue());
      assertEquals("flytepropeller", token.getClientId());
    }
  }

  /** What Java's completion would offer beside the forms that are for it. */
  @Test
  void nothingOfKotlinsShows() {
    for (Class<?> type : List.of(Session.class, PendingLogin.class, Verifier.class)) {
      for (Method method : type.getDeclaredMethods()) {
        boolean takesContinuation =
            Arrays.stream(method.getParameterTypes()).anyMatch(it -> it.getName().startsWith("kotlin.coroutines"));
        boolean shows = Modifier.isPublic(method.getModifiers()) && !method.isSynthetic();
        assertFalse(shows && takesContinuation, method.toString());
        assertFalse(shows && method.getName().endsWith("Blocking"), method.toString());
      }
    }
  }
}
