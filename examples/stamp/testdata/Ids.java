import java.util.HexFormat;
import java.util.Scanner;
import java.util.stream.Stream;

/** Reads lines "FIELDS TAB PART TAB PART ..." (a part is null or x and hexadecimal digits) and prints the id of each. */
final class Ids {
    public static void main(String[] args) {
        Scanner in = new Scanner(System.in, "UTF-8");
        while (in.hasNextLine()) {
            String[] line = in.nextLine().split("\t");
            byte[][] parts = Stream.of(line).skip(1).map(Ids::bytes).toArray(byte[][]::new);
            System.out.println(Stamp.id(line[0], parts));
        }
    }

    private static byte[] bytes(String part) {
        return part.equals("null") ? null : HexFormat.of().parseHex(part.substring(1));
    }
}
