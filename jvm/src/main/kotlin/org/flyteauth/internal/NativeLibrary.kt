package org.flyteauth.internal

import java.io.File
import java.io.IOException
import java.io.InputStream
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import kotlin.concurrent.thread
import org.flyteauth.ffi.Naming
import org.flyteauth.ffi.endOfProcess
import org.flyteauth.ffi.uniffiEnsureInitialized
import org.flyteauth.ffi.useNaming

/** The property that names a library to load instead of the packed one. */
private const val OVERRIDE = "org.flyteauth.library"

/** The property by which UniFFI's generated code is told the file. */
private const val GENERATED = "uniffi.component.flyte_auth.libraryOverride"

/** The property that holds which files were loaded by name, by whatever class loader. */
private const val LOADED = "org.flyteauth.library.loaded"

/** The native library in the jar: chosen, unpacked, loaded once for each class loader that has these classes. */
internal object NativeLibrary {
    // Properties are the whole JVM's. A constant is one object for all class loaders.
    private val failure: UnsatisfiedLinkError? by lazy { synchronized(GENERATED) { load() } }

    /**
     * Loads the library the first time.
     *
     * @throws UnsatisfiedLinkError there is none for this machine, or it cannot be loaded; the same one each time.
     */
    fun ensure() {
        // An error's stack is where it was made: each caller has one of its own.
        failure?.let { throw UnsatisfiedLinkError(it.message).apply { initCause(it) } }
    }

    private fun load(): UnsatisfiedLinkError? {
        val (file, temporary) =
            try {
                System.getProperty(OVERRIDE)?.let(::named) ?: (unpacked() to true)
            } catch (error: UnsatisfiedLinkError) {
                return error
            } catch (error: IOException) {
                val next = "Make java.io.tmpdir writable, or unpack the jar's library and name it: -D$OVERRIDE=FILE"
                return failed("the native library cannot be unpacked: ${error.message}. $next", error)
            }
        return try {
            System.setProperty(GENERATED, file.path)
            uniffiEnsureInitialized()
            useNaming(Naming.CAMEL_CASE)
            if (!temporary) System.setProperty(LOADED, (loaded() + file.path).joinToString(File.pathSeparator))
            atTheEnd()
            null
        } catch (error: Throwable) {
            failed("${Platform.here} cannot load ${file.path}: ${reason(error)}. ${next(temporary)}", error)
        } finally {
            System.clearProperty(GENERATED)
            // Loaded, it needs no name any more; Windows deletes no file that is in use.
            if (temporary && !Platform.isWindows) file.deleteRecursivelyWithParent()
        }
    }

    /** A refresh that is on its way to the store arrives. */
    private fun atTheEnd() {
        try {
            Runtime.getRuntime().addShutdownHook(thread(start = false, name = "flyte-auth-end") { endOfProcess() })
        } catch (_: IllegalStateException) {
            // Another hook is the first to use it: the end has begun.
        }
    }

    private fun loaded(): List<String> = System.getProperty(LOADED)?.split(File.pathSeparator).orEmpty()

    /**
     * The file, and whether it is only a copy: of one file a second class loader would be given the first one's
     * library, with the first one's callbacks.
     */
    private fun named(path: String): Pair<File, Boolean> {
        val file = File(path).absoluteFile
        return if (file.path in loaded()) copied(file.inputStream()) to true else file to false
    }

    private fun next(packed: Boolean): String =
        if (packed) {
            "If java.io.tmpdir is mounted noexec, name another: -Djava.io.tmpdir=DIR"
        } else {
            "Correct or leave out -D$OVERRIDE, which names it"
        }

    /** What the loader said; initialisers wrap it. */
    private fun reason(error: Throwable): String {
        val cause = generateSequence(error) { it.cause }.last()
        return (cause.message ?: cause.javaClass.name).trim().lineSequence().first().removeSuffix(".")
    }

    private fun unpacked(): File {
        val resource = "/org/flyteauth/native/${Platform.here}/${Platform.file}"
        val packed =
            NativeLibrary::class.java.getResourceAsStream(resource)
                ?: throw failed("this jar has no native library for ${Platform.here}. ${instead()}", null)
        return copied(packed)
    }

    private fun copied(library: InputStream): File {
        // For its owner alone, as createTempDirectory makes it.
        val folder = Files.createTempDirectory("flyte-auth")
        val file = folder.resolve(Platform.file)
        try {
            library.use { Files.copy(it, file, StandardCopyOption.REPLACE_EXISTING) }
        } catch (error: IOException) {
            file.toFile().deleteRecursivelyWithParent()
            throw error
        }
        if (Platform.isWindows) {
            folder.toFile().deleteOnExit()
            file.toFile().deleteOnExit()
        }
        return file.toFile()
    }

    private fun instead(): String {
        val known = Platform.ALL.filter {
            NativeLibrary::class.java.getResource("/org/flyteauth/native/$it/${Platform.file(it)}") != null
        }
        val has = if (known.isEmpty()) "It has none at all" else "It has ${known.joinToString()}"
        return "$has; build one with `cargo build -p flyte-auth-uniffi` and name it: -D$OVERRIDE=FILE"
    }

    private fun failed(message: String, cause: Throwable?) =
        UnsatisfiedLinkError("flyte-auth: $message").apply { initCause(cause) }

    private fun File.deleteRecursivelyWithParent() {
        val folder: Path = toPath().parent
        delete()
        Files.deleteIfExists(folder)
    }
}
