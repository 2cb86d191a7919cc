package org.flyteauth.internal

import org.flyteauth.ffi.Secret

/**
 * [value], if it can be written as UTF-8: half of a surrogate pair would otherwise become another text on the way.
 *
 * @throws IllegalArgumentException it cannot; the message holds nothing of it.
 */
internal fun text(name: String, value: String): String {
    var index = 0
    while (index < value.length) {
        val char = value[index]
        val isPair = char.isHighSurrogate() && index + 1 < value.length && value[index + 1].isLowSurrogate()
        require(isPair || !char.isSurrogate()) { "$name holds half of a surrogate pair at index $index" }
        index += if (isPair) 2 else 1
    }
    return value
}

/** The running program's name, for a prompt: the main class or jar, without the arguments. */
internal fun program(): String {
    val command = System.getProperty("sun.java.command").orEmpty().substringBefore(' ')
    return command.substringAfterLast('/').ifEmpty { "java" }
}

/** Hides [value] from generated code, which prints its records. */
internal fun secret(name: String, value: String): Secret {
    NativeLibrary.ensure()
    return Secret(text(name, value))
}
