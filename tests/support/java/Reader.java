import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.Descriptors;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.DescriptorValidationException;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.Message;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import org.apache.avro.NameValidator;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/**
 * Reads records for the tests: Avro with Apache's library, Protobuf with Google's, fixed layouts with DataInput. One process
 * for many questions.
 *
 * <p>A question is a letter, a text (an Avro schema, a message's name and the base64 of a FileDescriptorSet, or format codes of
 * Python's struct module) and a list of records; blocks of bytes are led by their length as a big-endian int. Each record is
 * answered by two blocks: what was read, and for Avro and Protobuf how Java writes it. A length of -1 and a message stand for
 * a failure. Ends with its input.
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

    /** Each file of the set stands behind those that it imports. */
    private static Descriptor descriptor(String name, String set) throws IOException, DescriptorValidationException {
        var files = new LinkedHashMap<String, FileDescriptor>();
        for (FileDescriptorProto file : FileDescriptorSet.parseFrom(Base64.getDecoder().decode(set)).getFileList()) {
            FileDescriptor[] imported = file.getDependencyList().stream().map(files::get).toArray(FileDescriptor[]::new);
            files.put(file.getName(), FileDescriptor.buildFrom(file, imported));
        }
        for (FileDescriptor file : files.values()) {
            for (Descriptor one : file.getMessageTypes()) {
                if (one.getFullName().equals(name)) {
                    return one;
                }
            }
        }
        throw new IOException("no such message: " + name);
    }

    /** Bytes that Java keeps without knowing their field were not written by the schema. */
    private static void refuseUnknown(Message message) throws IOException {
        if (!message.getUnknownFields().asMap().isEmpty()) {
            throw new IOException("unknown fields: " + message.getUnknownFields().asMap().keySet());
        }
        for (var entry : message.getAllFields().entrySet()) {
            if (entry.getKey().getJavaType() == Descriptors.FieldDescriptor.JavaType.MESSAGE) {
                List<?> parts = entry.getKey().isRepeated() ? (List<?>) entry.getValue() : List.of(entry.getValue());
                for (Object part : parts) {
                    refuseUnknown((Message) part);
                }
            }
        }
    }

    private static void protobuf(Descriptor descriptor, byte[] record, DataOutputStream out) throws IOException {
        DynamicMessage message = DynamicMessage.parseFrom(descriptor, record);
        refuseUnknown(message);
        answer(out, message.toString().getBytes(StandardCharsets.UTF_8));
        answer(out, message.toByteArray());
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

    public static void main(String[] arguments) throws IOException, DescriptorValidationException {
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
            String[] words = text.split(" ");
            Descriptor message = kind == 'P' ? descriptor(words[0], words[1]) : null;
            for (int n = in.readInt(); n > 0; n--) {
                byte[] record = block(in);
                try {
                    if (schema != null) {
                        avro(schema, record, out);
                    } else if (message != null) {
                        protobuf(message, record, out);
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
