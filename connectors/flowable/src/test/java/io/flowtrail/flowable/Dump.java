package io.flowtrail.flowable;

import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Locale;

/** The engine's own history tables as lines of JSON: columns by their names in lower case, times in UTC, bytes left out. */
final class Dump {
    private static final List<String> TABLES = List.of("act_hi_procinst", "act_hi_actinst", "act_hi_taskinst", "act_hi_varinst");

    private Dump() {}

    static void write(String database, Path folder) throws SQLException, IOException {
        Files.createDirectories(folder);
        try (Connection connection = DriverManager.getConnection(database, "sa", "")) {
            for (String table : TABLES) {
                try (Statement statement = connection.createStatement();
                        ResultSet rows = statement.executeQuery("SELECT * FROM " + table + " ORDER BY ID_");
                        BufferedWriter out = Files.newBufferedWriter(folder.resolve(table + ".ndjson"))) {
                    while (rows.next()) {
                        out.write(row(rows).toString());
                        out.newLine();
                    }
                }
            }
        }
    }

    private static Json row(ResultSet rows) throws SQLException {
        ResultSetMetaData columns = rows.getMetaData();
        Json row = new Json();
        for (int at = 1; at <= columns.getColumnCount(); at++) {
            String name = columns.getColumnName(at).toLowerCase(Locale.ROOT);
            // The engine writes its times in the zone of the JVM, and so does the driver read them.
            Object value = columns.getColumnTypeName(at).startsWith("TIMESTAMP") ? rows.getTimestamp(at) : rows.getObject(at);
            row.putAnyway(name, value);
        }
        return row;
    }
}
