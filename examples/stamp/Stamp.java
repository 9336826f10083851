import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** The header noecho-id, as docs/stamping.md defines it. JDK 17, nothing else. */
final class Stamp {
    static final String HEADER = "noecho-id";

    /** The id of a message: fields says what its parts are; a part is null where the message has null. */
    static String id(String fields, byte[]... parts) {
        try {
            MessageDigest sha = MessageDigest.getInstance("SHA-256");
            update(sha, "noecho-id/1".getBytes(StandardCharsets.UTF_8));
            update(sha, fields.getBytes(StandardCharsets.UTF_8));
            for (byte[] part : parts) {
                update(sha, part);
            }
            return HexFormat.of().formatHex(sha.digest(), 0, 16);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every JDK has SHA-256
        }
    }

    private static void update(MessageDigest sha, byte[] field) {
        sha.update(ByteBuffer.allocate(4).putInt(field == null ? -1 : field.length).array());
        if (field != null) {
            sha.update(field);
        }
    }
}
