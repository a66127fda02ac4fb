import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import org.apache.avro.NameValidator;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/**
 * Reads records for the tests: Avro with Apache's library, fixed layouts with DataInput. One process for many questions.
 *
 * <p>A question is a letter, a text (an Avro schema, or format codes of Python's struct module) and a list of records; blocks
 * of bytes are led by their length as a big-endian int. Each record is answered by two blocks: what was read, and for Avro
 * how Java writes it. A length of -1 and a message stand for a failure. Ends with its input.
 */
public final class Reader {
    /** Maps in the order of the bytes, so that they are written again as they were; the fast reader has no say for that. */
    private static final class OrderedReader extends GenericDatumReader<Object> {
        OrderedReader(Schema schema) {
            super(schema, schema, new GenericData().setFastReaderEnabled(false));
        }

        @Override
        protected Object newMap(Object old, int size) {
            return new LinkedHashMap<>();
        }
    }

    private static byte[] block(DataInputStream in) throws IOException {
        byte[] bytes = new byte[in.readInt()];
        in.readFully(bytes);
        return bytes;
    }

    private static void answer(DataOutputStream out, byte[] bytes) throws IOException {
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    private static void avro(Schema schema, byte[] record, DataOutputStream out) throws IOException {
        BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(record, null);
        Object value = new OrderedReader(schema).read(null, decoder);
        if (!decoder.isEnd()) {
            throw new IOException("bytes are left behind the record");
        }
        var writer = new GenericDatumWriter<Object>(schema);
        var json = new ByteArrayOutputStream();
        var text = EncoderFactory.get().jsonEncoder(schema, json);
        writer.write(value, text);
        text.flush();
        var again = new ByteArrayOutputStream();
        var binary = EncoderFactory.get().directBinaryEncoder(again, null);
        writer.write(value, binary);
        binary.flush();
        answer(out, json.toByteArray());
        answer(out, again.toByteArray());
    }

    private static String field(char code, int width, DataInputStream in) throws IOException {
        return switch (code) {
            case 'b' -> Byte.toString(in.readByte());
            case 'B' -> Integer.toString(in.readUnsignedByte());
            case 'h' -> Short.toString(in.readShort());
            case 'H' -> Integer.toString(in.readUnsignedShort());
            case 'i', 'l' -> Integer.toString(in.readInt());
            case 'I', 'L' -> Integer.toUnsignedString(in.readInt());
            case 'q' -> Long.toString(in.readLong());
            case 'Q' -> Long.toUnsignedString(in.readLong());
            case 'f' -> Double.toString(in.readFloat());
            case 'd' -> Double.toString(in.readDouble());
            case '?' -> Boolean.toString(in.readBoolean());
            case 's' -> HexFormat.of().formatHex(in.readNBytes(width));
            default -> throw new IOException("no such code: " + code);
        };
    }

    /** Codes are a letter and, for 's', its width, separated by commas: "q,s5,d". */
    private static void fields(String codes, byte[] record, DataOutputStream out) throws IOException {
        var in = new DataInputStream(new ByteArrayInputStream(record));
        var read = new StringBuilder();
        for (String code : codes.split(",")) {
            int width = code.length() > 1 ? Integer.parseInt(code.substring(1)) : 0;
            read.append(read.isEmpty() ? "" : ",").append(field(code.charAt(0), width, in));
        }
        if (in.read() != -1) {
            throw new IOException("bytes are left behind the record");
        }
        answer(out, read.toString().getBytes(StandardCharsets.UTF_8));
        answer(out, record);
    }

    public static void main(String[] arguments) throws IOException {
        var in = new DataInputStream(new BufferedInputStream(System.in));
        var out = new DataOutputStream(new BufferedOutputStream(System.out));
        while (true) {
            char kind;
            try {
                kind = (char) in.readByte();
            } catch (EOFException end) {
                return;
            }
            String text = new String(block(in), StandardCharsets.UTF_8);
            Schema schema = switch (kind) {
                case 'A' -> new Schema.Parser().parse(text);
                case 'N' -> new Schema.Parser(NameValidator.NO_VALIDATION).parse(text);
                default -> null;
            };
            for (int n = in.readInt(); n > 0; n--) {
                byte[] record = block(in);
                try {
                    if (schema != null) {
                        avro(schema, record, out);
                    } else {
                        fields(text, record, out);
                    }
                } catch (IOException | RuntimeException error) {
                    out.writeInt(-1);
                    answer(out, error.toString().getBytes(StandardCharsets.UTF_8));
                }
            }
            out.flush();
        }
    }
}
