// The app around the snippets of docs/browser-sdk/webview-android.md: stand-ins for Android's classes, and a main loop that
// plays the WebView and the native screens. A line on standard input is a page's body (JSON) or the type of a native event.
import java.io.*
import java.net.*
import java.util.*
import java.util.concurrent.*
import java.util.zip.GZIPOutputStream
import org.json.*

annotation class JavascriptInterface
object BuildConfig { val VERSION_NAME = "4.2.1" }
object Build {
    object VERSION { val RELEASE = "15" }
    val MODEL = "SM-S928N"
}
class Session(val id: String, val customerId: String?, val deviceId: String)

fun main(args: Array<String>) {
    val (folder, url, key) = args
    val native = JSONObject().put("platform", "android").put("app_version", BuildConfig.VERSION_NAME)
    val queue = SillokQueue(File(folder), url, key, native)
    val bridge = SillokBridge({ Session("native-session", "c-8731", "device-1") }, queue)
    println(bridge.context())
    for (line in generateSequence(::readLine)) {
        val isPage = line.startsWith("{")
        println(if (isPage) bridge.send(line) else queue.record(line, JSONObject().put("page_code", "M0301")))
    }
    System.exit(0)
}
