package io.flowtrail.flowable;

import java.net.InetAddress;
import java.net.UnknownHostException;

/** What this machine calls itself. */
final class HostName {
    private HostName() {}

    /** Empty if it can't be found out. */
    static String get() {
        String container = System.getenv("HOSTNAME");
        if (container != null && !container.isEmpty()) {
            return container;
        }
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException nameless) {
            return "";
        }
    }
}
