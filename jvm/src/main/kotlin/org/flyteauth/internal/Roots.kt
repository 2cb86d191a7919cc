package org.flyteauth.internal

import java.io.File
import java.net.Socket
import java.security.KeyStore
import java.security.cert.CertificateFactory
import java.security.cert.X509Certificate
import javax.net.ssl.SSLEngine
import javax.net.ssl.TrustManager
import javax.net.ssl.TrustManagerFactory
import javax.net.ssl.X509ExtendedTrustManager
import javax.net.ssl.X509TrustManager

/** Whose certificates a server may have. */
internal object Roots {
    /** The JVM's own roots and those of [file]: PEM, or a folder of such files. */
    fun besides(file: File): Array<TrustManager> {
        val store = KeyStore.getInstance(KeyStore.getDefaultType()).apply { load(null) }
        val known = managers(null).filterIsInstance<X509TrustManager>().flatMap { it.acceptedIssuers.toList() }
        val files = if (file.isDirectory) file.listFiles().orEmpty().filter(File::isFile).sorted() else listOf(file)
        val factory = CertificateFactory.getInstance("X.509")
        val own = files.flatMap { one -> one.inputStream().use { factory.generateCertificates(it) } }
        (known + own).forEachIndexed { index, certificate -> store.setCertificateEntry("root-$index", certificate) }
        return managers(store)
    }

    private fun managers(store: KeyStore?): Array<TrustManager> =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()).apply { init(store) }.trustManagers

    /** `insecureSkipVerify`: looks at no certificate and, being an extended one, at no host name. */
    val TRUSTS_ANYBODY: TrustManager =
        object : X509ExtendedTrustManager() {
            override fun checkClientTrusted(chain: Array<X509Certificate>, type: String) = Unit

            override fun checkClientTrusted(chain: Array<X509Certificate>, type: String, socket: Socket) = Unit

            override fun checkClientTrusted(chain: Array<X509Certificate>, type: String, engine: SSLEngine) = Unit

            override fun checkServerTrusted(chain: Array<X509Certificate>, type: String) = Unit

            override fun checkServerTrusted(chain: Array<X509Certificate>, type: String, socket: Socket) = Unit

            override fun checkServerTrusted(chain: Array<X509Certificate>, type: String, engine: SSLEngine) = Unit

            override fun getAcceptedIssuers(): Array<X509Certificate> = emptyArray()
        }
}
