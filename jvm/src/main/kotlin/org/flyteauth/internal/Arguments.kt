package org.flyteauth.internal

import org.flyteauth.ffi.Secret

/**
 * [value], if it can be written as UTF-8: half of a surrogate pair would otherwise become another text on the way.
 *
 * @throws IllegalArgumentException it cannot; the message holds nothing of it.
 */
internal fun text(name: String, value: String): String {
    val half = halfOfAPair(value, 0)
    require(half < 0) { "$name holds half of a surrogate pair at index $half" }
    return value
}

/** What somebody else wrote: half of a surrogate pair makes it another text, which is no token. */
internal fun foreign(value: String): String {
    var half = halfOfAPair(value, 0)
    if (half < 0) return value
    val written = StringBuilder(value)
    while (half >= 0) {
        written.setCharAt(half, '\uFFFD')
        half = halfOfAPair(value, half + 1)
    }
    return written.toString()
}

/** Where the first one is, from [start] on; -1 if there is none. */
private fun halfOfAPair(value: String, start: Int): Int {
    var index = start
    while (index < value.length) {
        val char = value[index]
        val isPair = char.isHighSurrogate() && index + 1 < value.length && value[index + 1].isLowSurrogate()
        if (!isPair && char.isSurrogate()) return index
        index += if (isPair) 2 else 1
    }
    return -1
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
