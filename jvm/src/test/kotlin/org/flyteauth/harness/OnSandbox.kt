package org.flyteauth.harness

import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.Timeout

/** One sandbox for a class of tests; each of them begins without faults. [flags]: those of `flyte-auth sandbox`. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(60)
abstract class OnSandbox(private vararg val flags: String) {
    protected lateinit var sandbox: Sandbox

    @BeforeAll
    fun startSandbox() {
        sandbox = Sandbox.start(*flags)
    }

    @AfterAll
    fun stopSandbox() {
        sandbox.close()
    }

    @AfterEach
    fun clearFaults() {
        sandbox.clearFaults()
    }
}
