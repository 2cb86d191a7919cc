package org.flyteauth

/** A setting or argument is wrong: [setting] names it. */
public class ConfigException
@JvmOverloads
constructor(
    message: String,
    code: String = "config",
    isRetryable: Boolean = false,
    cause: Throwable? = null,
) : FlyteAuthException(message, ErrorKind.CONFIG, code, isRetryable, cause)

/** No answer (DNS, TCP, TLS, timeout): try again later. */
public class NetworkException
@JvmOverloads
constructor(
    message: String,
    code: String = "network",
    isRetryable: Boolean = true,
    cause: Throwable? = null,
) : FlyteAuthException(message, ErrorKind.NETWORK, code, isRetryable, cause)

/** An unusable answer (5xx, 429, HTML, malformed): [isRetryable] says whether trying again can help. */
public class ServerException
@JvmOverloads
constructor(
    message: String,
    code: String = "server",
    isRetryable: Boolean = false,
    cause: Throwable? = null,
) : FlyteAuthException(message, ErrorKind.SERVER, code, isRetryable, cause)

/** Nobody is signed in, or the session has ended: start a login. */
public class LoginRequiredException
@JvmOverloads
constructor(
    message: String,
    code: String = "login_required",
    isRetryable: Boolean = false,
    cause: Throwable? = null,
) : FlyteAuthException(message, ErrorKind.LOGIN_REQUIRED, code, isRetryable, cause)

/** The authorization server or the resource refused: tell the user. */
public class AccessDeniedException
@JvmOverloads
constructor(
    message: String,
    code: String = "denied",
    isRetryable: Boolean = false,
    cause: Throwable? = null,
) : FlyteAuthException(message, ErrorKind.DENIED, code, isRetryable, cause)

/** The person declined, the deadline passed, or the wait was interrupted: stop quietly. */
public class LoginCancelledException
@JvmOverloads
constructor(
    message: String,
    code: String = "cancelled",
    isRetryable: Boolean = false,
    cause: Throwable? = null,
) : FlyteAuthException(message, ErrorKind.CANCELLED, code, isRetryable, cause)

/** The token store could not be read, written or locked. */
public class TokenStoreException
@JvmOverloads
constructor(
    message: String,
    code: String = "store",
    isRetryable: Boolean = false,
    cause: Throwable? = null,
) : FlyteAuthException(message, ErrorKind.STORE, code, isRetryable, cause)

/** A bug here. */
public class InternalException
@JvmOverloads
constructor(
    message: String,
    code: String = "internal",
    isRetryable: Boolean = false,
    cause: Throwable? = null,
) : FlyteAuthException(message, ErrorKind.INTERNAL, code, isRetryable, cause)
