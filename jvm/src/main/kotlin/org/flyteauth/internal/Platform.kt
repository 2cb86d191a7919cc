package org.flyteauth.internal

import java.io.File
import java.io.IOException

/** Operating system, architecture and C library, as the jar's folders are named. */
internal object Platform {
    val ALL =
        listOf("linux-x86_64-gnu", "linux-aarch64-gnu", "linux-x86_64-musl", "linux-aarch64-musl") +
            listOf("macos-x86_64", "macos-aarch64", "windows-x86_64")

    private val os: String = os(System.getProperty("os.name"))

    val isWindows: Boolean = os == "windows"

    /** This machine. */
    val here: String = name(os, System.getProperty("os.arch"), ::isMusl)

    /** The library's file on this machine. */
    val file: String = file(here)

    fun file(platform: String): String =
        when (platform.substringBefore('-')) {
            "windows" -> "flyte_auth_uniffi.dll"
            "macos" -> "libflyte_auth_uniffi.dylib"
            else -> "libflyte_auth_uniffi.so"
        }

    fun os(name: String): String =
        when {
            name.startsWith("Windows") -> "windows"
            name.startsWith("Mac") || name == "Darwin" -> "macos"
            else -> name.lowercase().replace(' ', '_')
        }

    /** JVMs name one architecture in several ways. */
    fun name(os: String, arch: String, isMusl: () -> Boolean): String {
        val architecture =
            when (arch) {
                "amd64", "x86_64", "x64" -> "x86_64"
                "aarch64", "arm64" -> "aarch64"
                else -> arch
            }
        return if (os == "linux") "$os-$architecture-${if (isMusl()) "musl" else "gnu"}" else "$os-$architecture"
    }

    /** The C library that this JVM itself is linked with. */
    private fun isMusl(): Boolean =
        try {
            File("/proc/self/maps").useLines { lines -> lines.any { "ld-musl-" in it } }
        } catch (_: IOException) {
            false
        }
}
